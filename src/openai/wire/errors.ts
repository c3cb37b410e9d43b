import { type ApiError, ERRORS } from '../../domain/errors.ts';
import { isObject, type Json, parseJson } from '../body.ts';

/** One SDK sleeps through any `retry-after`, however long, so none is longer than this. */
const MAX_RETRY_AFTER_MS = 60_000;
const DEFAULT_RETRY_AFTER_MS = 1_000;
/** Error bodies are short; a longer one is an answer of something else. */
const MAX_ERROR_BYTES = 1024 * 1024;

/** The body of an error in OpenAI's shape, from which the official SDKs raise their usual exceptions. */
export function errorBody(error: ApiError): Buffer {
  return Buffer.from(JSON.stringify({ error: errorObject(error) }));
}

/** An error as it stands in a body, or in an event. */
export function errorObject(error: ApiError) {
  return {
    message: error.message,
    type: ERRORS[error.code].type,
    param: error.param ?? null,
    code: error.code,
    ...error.details,
  };
}

/**
 * The event that ends a stream which the upstream left without its last one, in the one form that every client tried
 * raises an error from. In a stream of chunks that is the body of an error; in a Responses stream the documented event
 * and that body in one object: of either alone, some clients report half a text as success.
 * @param sequenceNumber of the event in a Responses stream; null: it is a stream of chunks
 */
export function errorEvent(error: ApiError, sequenceNumber: number | null): string {
  if (sequenceNumber === null) return `data: ${JSON.stringify({ error: errorObject(error) })}\n\n`;
  const { message, param = null, code } = error;
  const event = {
    type: 'error',
    code,
    message,
    param,
    sequence_number: sequenceNumber,
    error: errorObject(error),
  };
  return `event: error\ndata: ${JSON.stringify(event)}\n\n`;
}

/**
 * The headers of an error; its writer adds the content length. The official SDKs retry 409, 429 and all
 * 5xx by themselves, and each retry may be billed: `x-should-retry: false` stops them where a retry cannot help.
 */
export function errorHeaders(error: ApiError): Record<string, string> {
  const headers: Record<string, string> = { 'content-type': 'application/json', ...error.headers };
  if (!ERRORS[error.code].retryable) {
    headers['x-should-retry'] = 'false';
    return headers;
  }
  const wanted = Math.ceil(error.retryAfterMs ?? DEFAULT_RETRY_AFTER_MS);
  const retryAfterMs = Math.min(Math.max(wanted, 1), MAX_RETRY_AFTER_MS);
  headers['retry-after-ms'] = String(retryAfterMs);
  headers['retry-after'] = String(Math.ceil(retryAfterMs / 1000));
  return headers;
}

/**
 * Returns whether an error status came from the API itself (`{"error": {"message": …}}`), which bills nothing, and not
 * by something between, which may hide a call that was served.
 */
export function isOpenAiError(body: Buffer): boolean {
  if (body.length === 0 || body.length > MAX_ERROR_BYTES) return false;
  const answer = parseJson(body.toString());
  return isObject(answer) && isObject(answer.error) && typeof answer.error.message === 'string';
}

/**
 * Codes and types by which the API, or a server that imitates it, refuses a request before any work. Sources: the
 * published schema (`ResponseErrorCode`, `Error`), the official SDKs, Codex, vLLM, llama.cpp.
 */
const DECLINED_CODES = new Set([
  ...['invalid_request_error', 'invalid_request', 'BadRequestError', 'invalid_prompt', 'invalid_type'],
  ...['invalid_value', 'missing_required_parameter', 'unknown_parameter', 'unsupported_parameter'],
  ...['unsupported_value', 'string_above_max_length', 'array_above_max_length', 'invalid_json_schema'],
  ...['context_length_exceeded', 'exceed_context_size_error', 'max_context_length_exceeded'],
  ...['rate_limit_exceeded', 'rate_limit_error', 'RateLimitError', 'requests', 'tokens', 'slow_down'],
  ...['insufficient_quota', 'billing_hard_limit_reached', 'billing_not_active', 'usage_limit_reached'],
  ...['usage_not_included', 'server_is_overloaded', 'overloaded', 'overloaded_error', 'engine_overloaded'],
  ...['model_overloaded', 'unavailable_error', 'model_not_found', 'unsupported_model', 'not_found'],
  ...['not_found_error', 'NotFoundError', 'previous_response_not_found', 'invalid_api_key'],
  ...['authentication_error', 'AuthenticationError', 'permission_error', 'permission_denied'],
  ...['PermissionDeniedError', 'account_deactivated', 'unsupported_country_region_territory'],
  ...[
    'invalid_image',
    'invalid_image_format',
    'invalid_base64_image',
    'invalid_image_url',
    'image_too_large',
  ],
  ...[
    'image_too_small',
    'image_parse_error',
    'invalid_image_mode',
    'image_file_too_large',
    'empty_image_file',
  ],
  ...['unsupported_image_media_type', 'failed_to_download_image', 'image_file_not_found'],
]);

/** Some servers give the status that they would have responded with as the code. */
const DECLINED_STATUSES = new Set(['400', '401', '403', '404', '409', '413', '422', '429']);

/** Returns whether an error object of a response says that the upstream did no work. */
export function isDeclined(error: Json | undefined): boolean {
  if (!isObject(error)) return false;
  const { code, type } = error;
  return isDeclinedCode(code) || isDeclinedCode(type);
}

function isDeclinedCode(code: Json | undefined): boolean {
  const text = String(code ?? '');
  return DECLINED_CODES.has(text) || DECLINED_STATUSES.has(text);
}

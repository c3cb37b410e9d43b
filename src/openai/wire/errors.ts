import { type ApiError, ERRORS } from '../../domain/errors.ts';
import { isObject, parseJson } from '../body.ts';

/** One SDK sleeps through any `retry-after`, however long, so none is longer than this. */
const MAX_RETRY_AFTER_MS = 60_000;
const DEFAULT_RETRY_AFTER_MS = 1_000;
/** Error bodies are short; a longer one is an answer of something else. */
const MAX_ERROR_BYTES = 1024 * 1024;

/** The body of a refusal in OpenAI's shape, from which the official SDKs raise their usual exceptions. */
export function errorBody(error: ApiError): Buffer {
  const { type } = ERRORS[error.code];
  const body = {
    message: error.message,
    type,
    param: error.param ?? null,
    code: error.code,
    ...error.details,
  };
  return Buffer.from(JSON.stringify({ error: body }));
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

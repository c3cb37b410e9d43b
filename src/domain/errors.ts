/**
 * The catalogue of errors: every code that Tollgate itself responds with, its kind, HTTP status, OpenAI error type and
 * whether a client may retry. `docs/ERRORS.md` lists the same codes (held equal by a test).
 * The public text is written where the error is found; internal detail never goes into it.
 */

/** A denial: a limit said no. An error: everything else that Tollgate refuses or that fails. */
export type ErrorKind = 'denial' | 'error';

interface CatalogueEntry {
  kind: ErrorKind;
  status: number;
  /** OpenAI's `error.type`, from which SDKs and their users tell errors apart. */
  type: string;
  retryable: boolean;
}

export const ERRORS = {
  invalid_json: { kind: 'error', status: 400, type: 'invalid_request_error', retryable: false },
  body_too_complex: { kind: 'error', status: 400, type: 'invalid_request_error', retryable: false },
  invalid_request: { kind: 'error', status: 400, type: 'invalid_request_error', retryable: false },
  unknown_price: { kind: 'error', status: 400, type: 'invalid_request_error', retryable: false },
  invalid_tag: { kind: 'error', status: 400, type: 'invalid_request_error', retryable: false },
  missing_tag: { kind: 'error', status: 400, type: 'invalid_request_error', retryable: false },
  missing_end_user: { kind: 'error', status: 400, type: 'invalid_request_error', retryable: false },
  hold_too_large: { kind: 'denial', status: 400, type: 'invalid_request_error', retryable: false },
  unbounded_request: { kind: 'error', status: 400, type: 'invalid_request_error', retryable: false },
  websocket_connection_limit_reached: {
    kind: 'error',
    status: 400,
    type: 'invalid_request_error',
    retryable: false,
  },
  websocket_stream_limit_reached: {
    kind: 'error',
    status: 400,
    type: 'invalid_request_error',
    retryable: false,
  },
  invalid_api_key: { kind: 'error', status: 401, type: 'invalid_request_error', retryable: false },
  csrf_failed: { kind: 'error', status: 403, type: 'invalid_request_error', retryable: false },
  not_allowed: { kind: 'error', status: 403, type: 'invalid_request_error', retryable: false },
  model_not_allowed: { kind: 'error', status: 403, type: 'invalid_request_error', retryable: false },
  unsupported_operation: { kind: 'error', status: 404, type: 'invalid_request_error', retryable: false },
  not_found: { kind: 'error', status: 404, type: 'invalid_request_error', retryable: false },
  request_timeout: { kind: 'error', status: 408, type: 'invalid_request_error', retryable: true },
  conflict: { kind: 'error', status: 409, type: 'invalid_request_error', retryable: false },
  request_too_large: { kind: 'error', status: 413, type: 'invalid_request_error', retryable: false },
  upgrade_required: { kind: 'error', status: 426, type: 'invalid_request_error', retryable: false },
  insufficient_quota: { kind: 'denial', status: 429, type: 'insufficient_quota', retryable: false },
  too_many_users: { kind: 'denial', status: 429, type: 'insufficient_quota', retryable: false },
  too_many_tag_values: { kind: 'denial', status: 429, type: 'insufficient_quota', retryable: false },
  rate_limit_exceeded: { kind: 'denial', status: 429, type: 'requests', retryable: true },
  internal_error: { kind: 'error', status: 500, type: 'api_error', retryable: false },
  upstream_unavailable: { kind: 'error', status: 503, type: 'api_error', retryable: true },
  upstream_unreachable: { kind: 'error', status: 502, type: 'api_error', retryable: true },
  upstream_interrupted: { kind: 'error', status: 502, type: 'api_error', retryable: false },
  upstream_over_limit: { kind: 'error', status: 502, type: 'api_error', retryable: false },
  upstream_not_configured: { kind: 'error', status: 503, type: 'api_error', retryable: false },
  gateway_busy: { kind: 'error', status: 503, type: 'api_error', retryable: true },
  upstream_busy: { kind: 'error', status: 503, type: 'api_error', retryable: true },
  ledger_unavailable: { kind: 'error', status: 503, type: 'api_error', retryable: true },
  shutting_down: { kind: 'error', status: 503, type: 'api_error', retryable: true },
  upstream_timeout: { kind: 'error', status: 504, type: 'api_error', retryable: false },
} as const satisfies Record<string, CatalogueEntry>;

export type ErrorCode = keyof typeof ERRORS;

/** The codes, in the order of the catalogue. */
export const ERROR_CODES = Object.keys(ERRORS) as ErrorCode[];

/** Extra fields of the body's `error` object (for example `affordable_output_tokens`). */
type ErrorDetails = Record<string, string | number | null | readonly string[]>;

/** What may stand beside an error's code and text. */
export interface ErrorDetail {
  /** The request field that is wrong, as OpenAI's `error.param`. */
  param?: string | undefined;
  details?: ErrorDetails | undefined;
  /** Headers that belong to the error (`x-ratelimit-*`). */
  headers?: Record<string, string> | undefined;
  /** Only on retryable errors: when a retry may succeed, in milliseconds from now. */
  retryAfterMs?: number | undefined;
  /** The model whose prices say what was refused might cost; not part of the response. */
  model?: string | undefined;
}

/**
 * An error of the API as a value: nothing was forwarded, nothing was charged. It is returned, not thrown, so it has no
 * stack; being a class, `instanceof` tells it from every result.
 */
export class ApiError {
  readonly code: ErrorCode;
  /** Public text: what is wrong and what to do. */
  readonly message: string;
  readonly param: string | undefined;
  readonly details: ErrorDetails | undefined;
  readonly headers: Record<string, string> | undefined;
  readonly retryAfterMs: number | undefined;
  readonly model: string | undefined;

  constructor(code: ErrorCode, message: string, detail: ErrorDetail = {}) {
    const { param, details, headers, retryAfterMs, model } = detail;
    this.code = code;
    this.message = message;
    this.param = param;
    this.details = details;
    this.headers = headers;
    this.retryAfterMs = retryAfterMs;
    this.model = model;
  }
}

/** Returns an error with a code of the catalogue. */
export function apiError(code: ErrorCode, message: string, detail?: ErrorDetail): ApiError {
  return new ApiError(code, message, detail);
}

/** Whether a result is an error. */
export function isApiError(value: unknown): value is ApiError {
  return value instanceof ApiError;
}

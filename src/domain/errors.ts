/**
 * The catalogue of errors: every code that Tollgate itself may answer with, its HTTP status, OpenAI error type and
 * whether a client may retry. `docs/ERRORS.md` lists the same codes (held equal by a test).
 * The public text of each answer is made where the fault is found; internal detail never goes into it.
 */

export interface ErrorKind {
  status: number;
  /** OpenAI's `error.type`, from which SDKs and their users tell faults apart. */
  type: string;
  retryable: boolean;
}

export const ERRORS = {
  invalid_json: { status: 400, type: 'invalid_request_error', retryable: false },
  invalid_request: { status: 400, type: 'invalid_request_error', retryable: false },
  unknown_price: { status: 400, type: 'invalid_request_error', retryable: false },
  missing_end_user: { status: 400, type: 'invalid_request_error', retryable: false },
  hold_too_large: { status: 400, type: 'invalid_request_error', retryable: false },
  unbounded_request: { status: 400, type: 'invalid_request_error', retryable: false },
  invalid_api_key: { status: 401, type: 'invalid_request_error', retryable: false },
  csrf_failed: { status: 403, type: 'invalid_request_error', retryable: false },
  not_allowed: { status: 403, type: 'invalid_request_error', retryable: false },
  model_not_allowed: { status: 403, type: 'invalid_request_error', retryable: false },
  unsupported_operation: { status: 404, type: 'invalid_request_error', retryable: false },
  not_found: { status: 404, type: 'invalid_request_error', retryable: false },
  conflict: { status: 409, type: 'invalid_request_error', retryable: false },
  request_too_large: { status: 413, type: 'invalid_request_error', retryable: false },
  insufficient_quota: { status: 429, type: 'insufficient_quota', retryable: false },
  too_many_users: { status: 429, type: 'insufficient_quota', retryable: false },
  rate_limit_exceeded: { status: 429, type: 'requests', retryable: true },
  internal_error: { status: 500, type: 'api_error', retryable: false },
  upstream_unreachable: { status: 502, type: 'api_error', retryable: true },
  upstream_interrupted: { status: 502, type: 'api_error', retryable: false },
  upstream_not_configured: { status: 503, type: 'api_error', retryable: false },
  ledger_unavailable: { status: 503, type: 'api_error', retryable: true },
  shutting_down: { status: 503, type: 'api_error', retryable: true },
  upstream_timeout: { status: 504, type: 'api_error', retryable: false },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof ERRORS;

/** A refusal as a value: nothing was forwarded, nothing was charged. */
export interface Fault {
  code: ErrorCode;
  /** Public text: what is wrong and what to do. */
  message: string;
  /** The request field at fault, as OpenAI's `error.param`. */
  param?: string;
  /** Extra fields of the body's `error` object (for example `affordable_output_tokens`). */
  details?: Record<string, string | number | null>;
  /** Headers that belong to the refusal (`x-ratelimit-*`). */
  headers?: Record<string, string>;
  /** Only on retryable faults: when a retry may succeed, in milliseconds from now. */
  retryAfterMs?: number;
}

export function fault(code: ErrorCode, message: string, extra: Omit<Fault, 'code' | 'message'> = {}): Fault {
  return { code, message, ...extra };
}

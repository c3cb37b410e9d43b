/** The end of a call that is not forwarded. */
import type { Account } from '../../domain/budget.ts';
import type { ApiError } from '../../domain/errors.ts';
import type { Call } from '../call.ts';

/** Instead of the next stage's type. What the stages had found by then decides how the error is counted. */
export interface Stopped {
  readonly kind: 'stopped';
  readonly call: Call;
  /** Null: the client left, so there is nothing to say. */
  readonly error: ApiError | null;
  /** Name of the operation; null: the request line names none that is known. */
  readonly operation: string | null;
  /** Whose call it was; null: not known. */
  readonly account: Account | null;
  readonly endUser: string | null;
}

/** Stops a call whose account is known. */
export function stopped(
  call: Call,
  error: ApiError | null,
  operation: string,
  account: Account,
  endUser: string | null,
): Stopped {
  return { kind: 'stopped', call, error, operation, account, endUser };
}

/** Warnings as the gateway tells its clients of them. Pure. */
import type { GrantId, LimitId } from './ids.ts';

/** The highest threshold that a limit or grant of an account has reached in a window. */
export interface Warning {
  /** The limit or grant. */
  sourceId: LimitId | GrantId;
  /** Whom it counts, and so whose calls tell of it; null: all of them. */
  endUser: string | null;
  /** Percent of its amount. */
  percent: number;
  /** The end of the window; null: it has none. */
  untilMs: number | null;
}

/** The value of `x-tollgate-warning` on a call for this end user; null where no window of a warning is open any more. */
export function warningHeader(
  warnings: readonly Warning[],
  callsEndUser: string | null,
  nowMs: number,
): string | null {
  const told = warnings.filter(
    ({ endUser, untilMs }) =>
      (endUser === null || endUser === callsEndUser) && (untilMs === null || nowMs < untilMs),
  );
  if (told.length === 0) return null;
  return told.map(({ sourceId, percent }) => `${sourceId}; percent=${percent}`).join(', ');
}

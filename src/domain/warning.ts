/** Warnings as the gateway tells its clients of them. Pure. */
import type { GrantId, LimitId } from './ids.ts';
import type { TagText } from './tags.ts';

/** The highest threshold that a limit or grant of an account has reached in a window. */
export interface Warning {
  /** The limit or grant. */
  sourceId: LimitId | GrantId;
  /** Whom it counts, and so whose calls tell of it; null: all of them. */
  endUser: string | null;
  /** The tag that it counts, as text; missing or null: not one of many. */
  tag?: TagText | null;
  /** Percent of its amount. */
  percent: number;
  /** The end of the window; null: it has none. */
  untilMs: number | null;
}

/** The value of `x-tollgate-warning` on a call of this end user and these tags; null where no window of a warning is open any more. */
export function warningHeader(
  warnings: readonly Warning[],
  callsEndUser: string | null,
  nowMs: number,
  tags: readonly TagText[] | null = null,
): string | null {
  const told = warnings.filter(
    ({ endUser, tag = null, untilMs }) =>
      (endUser === null || endUser === callsEndUser) &&
      (tag === null || tags?.includes(tag) === true) &&
      (untilMs === null || nowMs < untilMs),
  );
  if (told.length === 0) return null;
  return told.map(({ sourceId, percent }) => `${sourceId}; percent=${percent}`).join(', ');
}

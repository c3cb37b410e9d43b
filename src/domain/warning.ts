/** Warnings as the gateway tells its clients of them. Pure. */

/** The highest threshold that a limit or grant of an account has reached in a window. */
export interface Warning {
  /** The limit or grant. */
  sourceId: string;
  /** Percent of its amount. */
  percent: number;
  /** The end of the window; null: it has none. */
  untilMs: number | null;
}

/** The value of `x-tollgate-warning`; null where no window of a warning is open any more. */
export function warningHeader(warnings: readonly Warning[], nowMs: number): string | null {
  const open = warnings.filter(({ untilMs }) => untilMs === null || nowMs < untilMs);
  if (open.length === 0) return null;
  return open.map(({ sourceId, percent }) => `${sourceId}; percent=${percent}`).join(', ');
}

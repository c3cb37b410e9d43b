/**
 * Windows: the stretch of time over which a limit counts. Pure: the moment is an argument, in milliseconds since the
 * epoch; calendar boundaries follow the named time zone, daylight saving included.
 */

export type Window =
  | { type: 'lifetime' }
  | { type: 'calendar'; unit: 'day' | 'week' | 'month'; timeZone: string }
  | { type: 'rolling'; seconds: number };

/** A concrete window: start inclusive, end exclusive; null end: it never ends. */
export interface WindowSpan {
  startMs: number;
  endMs: number | null;
}

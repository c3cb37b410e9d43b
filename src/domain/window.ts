/**
 * Windows: the time range over which a limit counts. Pure: the moment is an argument, in milliseconds since the
 * epoch; calendar boundaries follow the named time zone, daylight saving included.
 */
import { Temporal } from 'temporal-polyfill';

/** Rollups sum by quarters of an hour: every time zone's midnight is a boundary of one. */
export const QUARTER_HOUR_MS = 900_000;
export const DAY_MS = 86_400_000;

export type LifetimeWindow = { type: 'lifetime' };
export type CalendarWindow = { type: 'calendar'; unit: 'day' | 'week' | 'month'; timeZone: string };
export type RollingWindow = { type: 'rolling'; seconds: number };
export type Window = LifetimeWindow | CalendarWindow | RollingWindow;

/** Start inclusive, end exclusive; null: it never ends. */
export interface OpenTimeRange {
  startMs: number;
  endMs: number | null;
}

/** Start inclusive, end exclusive. */
export interface TimeRange {
  startMs: number;
  endMs: number;
}

/**
 * Rolling windows are counted in sub-buckets of half a second, or of a 120th of a long window. What was admitted in a
 * bucket counts until the bucket has left the window as a whole, and one bucket more, for clocks that differ.
 */
const BUCKET_MS_MIN = 500;
const BUCKETS_PER_WINDOW = 120;

/** The length of a rolling window's sub-buckets. */
export function bucketMs(rollingMs: number): number {
  const even = rollingMs / BUCKETS_PER_WINDOW;
  return Math.max(BUCKET_MS_MIN, Math.ceil(even / BUCKET_MS_MIN) * BUCKET_MS_MIN);
}

/** The sub-bucket of a rolling window that contains a moment. */
export function bucketRange(rollingMs: number, atMs: number): TimeRange {
  const length = bucketMs(rollingMs);
  const startMs = Math.floor(atMs / length) * length;
  return { startMs, endMs: startMs + length };
}

/** The start of the oldest bucket that still counts while this one is filled. */
export function oldestBucketMs(rollingMs: number, bucketStartMs: number): number {
  const length = bucketMs(rollingMs);
  return bucketStartMs - (Math.ceil(rollingMs / length) + 1) * length;
}

const LIFETIME: OpenTimeRange = { startMs: 0, endMs: null };

/** The last range asked for, by unit and zone: shared by all limits, so a midnight costs one computation for each zone. */
const ranges = new Map<string, TimeRange>();
const RANGES_MAX = 2_000;

/**
 * The time range of a window that contains a moment. Days begin at the zone's first instant of the date (not always 00:00),
 * weeks on Monday (ISO 8601). Throws a RangeError for a time zone that {@link isTimeZone} refuses.
 * Rolling windows have no such range: they move with every moment.
 */
export function windowRange(window: CalendarWindow | LifetimeWindow, atMs: number): OpenTimeRange {
  if (window.type === 'lifetime') return LIFETIME;
  const key = `${window.unit} ${window.timeZone}`;
  const known = ranges.get(key);
  if (known && atMs >= known.startMs && atMs < known.endMs) return known;
  const range = calendarRange(window, atMs);
  if (ranges.size >= RANGES_MAX) ranges.clear();
  ranges.set(key, range);
  return range;
}

function calendarRange({ unit, timeZone }: CalendarWindow, atMs: number): TimeRange {
  const date = Temporal.Instant.fromEpochMilliseconds(atMs).toZonedDateTimeISO(timeZone).toPlainDate();
  let start = firstDate(date, unit);
  let end = start.add({ [`${unit}s`]: 1 });
  // Where clocks went back over midnight (St. John's, until 2011) an instant of the new day bears the old date again;
  // it belongs to the window that has already begun, or windows would overlap.
  while (firstInstantMs(end, timeZone) <= atMs) {
    start = end;
    end = start.add({ [`${unit}s`]: 1 });
  }
  return { startMs: firstInstantMs(start, timeZone), endMs: firstInstantMs(end, timeZone) };
}

function firstDate(date: Temporal.PlainDate, unit: CalendarWindow['unit']): Temporal.PlainDate {
  if (unit === 'day') return date;
  if (unit === 'week') return date.subtract({ days: date.dayOfWeek - 1 });
  return date.with({ day: 1 });
}

function firstInstantMs(date: Temporal.PlainDate, timeZone: string): number {
  return date.toZonedDateTime(timeZone).epochMilliseconds;
}

/**
 * Whether a text names a time zone of this runtime (`Europe/Berlin`, `UTC`). Bare offsets such as `+05:17` are not
 * names: usage is rolled up by quarter hours, and only the named zones are known to start their days on one.
 */
export function isTimeZone(text: string): boolean {
  if (!/^[A-Za-z]/.test(text)) return false;
  try {
    new Intl.DateTimeFormat('en', { timeZone: text });
    return true;
  } catch {
    return false;
  }
}

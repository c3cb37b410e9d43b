/**
 * Windows: the time range over which a limit counts. Pure: the moment is an argument, in milliseconds since the
 * epoch; calendar boundaries follow the named time zone, daylight saving included.
 */
import { Temporal } from 'temporal-polyfill';

/** Rollups sum by quarters of an hour: every time zone's midnight is a boundary of one. */
export const QUARTER_HOUR_MS = 900_000;
export const DAY_MS = 86_400_000;

export type LifetimeWindow = { type: 'lifetime' };
export const CALENDAR_UNITS = ['day', 'week', 'month', 'quarter', 'year'] as const;
export type CalendarUnit = (typeof CALENDAR_UNITS)[number];
export interface CalendarWindow {
  type: 'calendar';
  unit: CalendarUnit;
  timeZone: string;
  /** Of a quarter and a year: in which month a year begins, 1–12; missing: 1. */
  startMonth?: number | undefined;
  /** Of a week: the weekday on which it begins, 1 (Monday) to 7. Of a longer unit the day of the month, 1–31; missing: 1. */
  startDay?: number | undefined;
  /** The hour at which it begins, 0–23; missing: the first instant of the day. */
  startHour?: number | undefined;
}
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
 * The time range of a window that contains a moment. Days begin at the zone's first instant of the date (not always 00:00), or
 * at the hour that was chosen: where clocks skip it as much later as they skip, where they repeat it the first time. Weeks begin
 * on Monday (ISO 8601) or on the weekday that was chosen; where a month has no such day, on its last.
 * Throws a RangeError for a time zone that {@link isTimeZone} refuses. Rolling windows have no such range: they move with every moment.
 */
export function windowRange(window: CalendarWindow | LifetimeWindow, atMs: number): OpenTimeRange {
  if (window.type === 'lifetime') return LIFETIME;
  const { unit, timeZone, startMonth = 1, startDay = 1, startHour = 0 } = window;
  const key = `${unit} ${timeZone} ${startMonth} ${startDay} ${startHour}`;
  const known = ranges.get(key);
  if (known && atMs >= known.startMs && atMs < known.endMs) return known;
  const range = calendarRange(window, atMs);
  if (ranges.size >= RANGES_MAX) ranges.clear();
  ranges.set(key, range);
  return range;
}

/** Months of a unit; of the others days. */
const MONTHS = { day: null, week: null, month: 1, quarter: 3, year: 12 } as const;

function calendarRange(window: CalendarWindow, atMs: number): TimeRange {
  const { timeZone } = window;
  const start = (number: number) => instantMs(startDate(window, number), timeZone, window.startHour ?? 0);
  let number = numberOf(window, Temporal.Instant.fromEpochMilliseconds(atMs).toZonedDateTimeISO(timeZone));
  while (start(number) > atMs) number--;
  // Where clocks went back over midnight (St. John's, until 2011) an instant of the new day bears the old date again;
  // it belongs to the window that has already begun, or windows would overlap.
  while (start(number + 1) <= atMs) number++;
  return { startMs: start(number), endMs: start(number + 1) };
}

/** Windows of a unit are numbered. Returns the number of the one in which a date lies, or of one beside it. */
function numberOf(
  { unit, startMonth = 1, startDay = 1 }: CalendarWindow,
  date: Temporal.ZonedDateTime,
): number {
  const months = MONTHS[unit];
  if (months !== null) return Math.floor((date.year * 12 + date.month - startMonth) / months);
  const day = Date.UTC(date.year, date.month - 1, date.day) / DAY_MS;
  return unit === 'day' ? day : Math.floor((day - MONDAY - (startDay - 1)) / 7);
}

/** The first Monday before 1970, as a number of days since 1 January 1970. */
const MONDAY = -3;

function startDate(
  { unit, startMonth = 1, startDay = 1 }: CalendarWindow,
  number: number,
): Temporal.PlainDate {
  const months = MONTHS[unit];
  if (months === null) {
    const days = unit === 'day' ? number : MONDAY + (startDay - 1) + number * 7;
    return new Temporal.PlainDate(1970, 1, 1).add({ days });
  }
  const month = number * months + startMonth - 1;
  // A day that the month does not have becomes its last.
  return Temporal.PlainDate.from({
    year: Math.floor(month / 12),
    month: (month % 12) + 1,
    day: startDay,
  });
}

function instantMs(date: Temporal.PlainDate, timeZone: string, hour: number): number {
  // Without a time it is the first instant of the day, which is not 00:00 everywhere.
  const start =
    hour === 0 ? date.toZonedDateTime(timeZone) : date.toZonedDateTime({ timeZone, plainTime: { hour } });
  return start.epochMilliseconds;
}

/** Returns a window as the admin API writes it. */
export function windowFields(window: Window) {
  if (window.type !== 'calendar') return window;
  const { type, unit, timeZone, startMonth, startDay, startHour } = window;
  return {
    ...{ type, unit, time_zone: timeZone },
    ...(startMonth === undefined ? {} : { start_month: startMonth }),
    ...(startDay === undefined ? {} : { start_day: startDay }),
    ...(startHour === undefined ? {} : { start_hour: startHour }),
  };
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

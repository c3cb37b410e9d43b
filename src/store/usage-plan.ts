/**
 * How sums over any calendar are put together from few rows: whole UTC days as they are, quarters of an hour at both
 * ends, and, where a midnight of the time zone cuts a UTC day, the quarters of the shorter piece, moved from the interval
 * that got the whole day to the one they belong to. A day in Berlin so costs a day's sums and one hour's quarters. Pure.
 */
import { Temporal } from 'temporal-polyfill';
import { DAY_MS, type TimeRange } from '../domain/window.ts';

export type UsageInterval = '15m' | 'hour' | 'day' | 'week' | 'month' | 'total';

export interface UsagePlan {
  /** Summed by quarter. */
  edges: TimeRange[];
  /** Whole UTC days, or none; each counts in the interval of its noon, in UTC. */
  days: TimeRange;
  /** Quarters of these days that count in another interval than the noon of their day. */
  moved: TimeRange[];
}

/** Plans the sums over a time range that begins and ends on quarters of an hour. */
export function planUsage(
  interval: UsageInterval,
  timeZone: string,
  { startMs, endMs }: TimeRange,
): UsagePlan {
  const firstDayMs = Math.ceil(startMs / DAY_MS) * DAY_MS;
  const lastDayMs = Math.floor(endMs / DAY_MS) * DAY_MS;
  if (interval === '15m' || interval === 'hour' || firstDayMs >= lastDayMs) {
    return { edges: [{ startMs, endMs }], days: { startMs, endMs: startMs }, moved: [] };
  }
  const ends = [
    { startMs, endMs: firstDayMs },
    { startMs: lastDayMs, endMs },
  ];
  const days = { startMs: firstDayMs, endMs: lastDayMs };
  return {
    edges: ends.filter((end) => end.startMs < end.endMs),
    days,
    moved: interval === 'total' ? [] : movedIn(interval, timeZone, days),
  };
}

type Calendar = 'day' | 'week' | 'month';

function movedIn(unit: Calendar, timeZone: string, days: TimeRange): TimeRange[] {
  const moved: TimeRange[] = [];
  for (let date = firstDate(unit, timeZone, days.startMs); ; date = date.add({ [`${unit}s`]: 1 })) {
    const cutMs = date.toZonedDateTime(timeZone).epochMilliseconds;
    if (cutMs >= days.endMs) return moved;
    const dayMs = Math.floor(cutMs / DAY_MS) * DAY_MS;
    if (cutMs === dayMs || cutMs < days.startMs) continue;
    const isMorning = cutMs <= dayMs + DAY_MS / 2;
    moved.push(isMorning ? { startMs: dayMs, endMs: cutMs } : { startMs: cutMs, endMs: dayMs + DAY_MS });
  }
}

/** The first date of the interval in which a moment lies. */
function firstDate(unit: Calendar, timeZone: string, atMs: number): Temporal.PlainDate {
  const date = Temporal.Instant.fromEpochMilliseconds(atMs).toZonedDateTimeISO(timeZone).toPlainDate();
  if (unit === 'week') return date.subtract({ days: date.dayOfWeek - 1 });
  return unit === 'month' ? date.with({ day: 1 }) : date;
}

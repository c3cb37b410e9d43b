/**
 * How sums over any calendar are put together from few rows: whole UTC days as they are, quarters of an hour at both
 * ends, and, where a midnight of the time zone cuts a UTC day, the quarters of the shorter piece, moved from the interval
 * that got the whole day to the one they belong to. A day in Berlin so costs a day's sums and one hour's quarters. Pure.
 */
import { Temporal } from 'temporal-polyfill';
import { DAY_MS } from '../domain/window.ts';

export type UsageInterval = '15m' | 'hour' | 'day' | 'week' | 'month' | 'total';

/** From inclusive, to exclusive. */
export interface Stretch {
  fromMs: number;
  toMs: number;
}

export interface UsagePlan {
  /** Summed by quarter. */
  edges: Stretch[];
  /** Whole UTC days, or none; each counts in the interval of its noon, in UTC. */
  days: Stretch;
  /** Quarters of these days that count in another interval than the noon of their day. */
  moved: Stretch[];
}

/** Plans the sums over a stretch that begins and ends on quarters of an hour. */
export function planUsage(interval: UsageInterval, timeZone: string, { fromMs, toMs }: Stretch): UsagePlan {
  const firstDayMs = Math.ceil(fromMs / DAY_MS) * DAY_MS;
  const lastDayMs = Math.floor(toMs / DAY_MS) * DAY_MS;
  if (interval === '15m' || interval === 'hour' || firstDayMs >= lastDayMs) {
    return { edges: [{ fromMs, toMs }], days: { fromMs, toMs: fromMs }, moved: [] };
  }
  const ends = [
    { fromMs, toMs: firstDayMs },
    { fromMs: lastDayMs, toMs },
  ];
  const days = { fromMs: firstDayMs, toMs: lastDayMs };
  return {
    edges: ends.filter((end) => end.fromMs < end.toMs),
    days,
    moved: interval === 'total' ? [] : movedIn(interval, timeZone, days),
  };
}

type Calendar = 'day' | 'week' | 'month';

function movedIn(unit: Calendar, timeZone: string, days: Stretch): Stretch[] {
  const moved: Stretch[] = [];
  for (let date = firstDate(unit, timeZone, days.fromMs); ; date = date.add({ [`${unit}s`]: 1 })) {
    const cutMs = date.toZonedDateTime(timeZone).epochMilliseconds;
    if (cutMs >= days.toMs) return moved;
    const dayMs = Math.floor(cutMs / DAY_MS) * DAY_MS;
    if (cutMs === dayMs || cutMs < days.fromMs) continue;
    const isMorning = cutMs <= dayMs + DAY_MS / 2;
    moved.push(isMorning ? { fromMs: dayMs, toMs: cutMs } : { fromMs: cutMs, toMs: dayMs + DAY_MS });
  }
}

/** The first date of the interval in which a moment lies. */
function firstDate(unit: Calendar, timeZone: string, atMs: number): Temporal.PlainDate {
  const date = Temporal.Instant.fromEpochMilliseconds(atMs).toZonedDateTimeISO(timeZone).toPlainDate();
  if (unit === 'week') return date.subtract({ days: date.dayOfWeek - 1 });
  return unit === 'month' ? date.with({ day: 1 }) : date;
}

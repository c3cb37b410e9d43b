/** The range of time that a report sums: whole quarters of an hour, with at most ROWS_MAX rows. */
import { type ApiError, apiError } from '../domain/errors.ts';
import { QUARTER_HOUR_MS } from '../domain/window.ts';
import type { UsageInterval } from '../store/usage.ts';
import { instantOf } from './page.ts';

export const ROWS_MAX = 10_000;

interface ReportRangeQuery {
  interval: UsageInterval;
  time_zone: string;
  from?: string | undefined;
  to?: string | undefined;
}

export interface ReportRange {
  interval: UsageInterval;
  timeZone: string;
  from: Date | null;
  to: Date | null;
}

/** Returns the range of a query, widened to quarters of an hour: sums are kept by them. */
export function reportRangeOf(query: ReportRangeQuery): ReportRange | ApiError {
  const from = quarterOf(query.from, Math.floor);
  const to = quarterOf(query.to, Math.ceil);
  if (from && to && from >= to) return apiError('invalid_request', 'to must be after from', { param: 'to' });
  return { interval: query.interval, timeZone: query.time_zone, from, to };
}

function quarterOf(text: string | undefined, round: (quarters: number) => number): Date | null {
  if (text === undefined) return null;
  return new Date(round(Date.parse(text) / QUARTER_HOUR_MS) * QUARTER_HOUR_MS);
}

/** Returns a report of these rows; an error when there are too many. */
export function reportOf<Row>({ interval, timeZone, from, to }: ReportRange, data: Row[]) {
  if (data.length > ROWS_MAX) {
    const message = `more than ${ROWS_MAX} rows: ask for less time, a longer interval or the top groups`;
    return apiError('invalid_request', message, { param: 'interval' });
  }
  return { interval, time_zone: timeZone, from: instantOf(from), to: instantOf(to), data };
}

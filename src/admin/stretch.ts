/** Stretches of time that sums are asked for: in whole quarters of an hour, and with so many rows at most. */
import { type ApiError, apiError } from '../domain/errors.ts';
import { QUARTER_HOUR_MS } from '../domain/window.ts';
import type { UsageInterval } from '../store/usage.ts';
import { instantOf } from './page.ts';

export const ROWS_MAX = 10_000;

interface StretchQuery {
  interval: UsageInterval;
  time_zone: string;
  from?: string | undefined;
  to?: string | undefined;
}

export interface Stretch {
  interval: UsageInterval;
  timeZone: string;
  from: Date | null;
  to: Date | null;
}

/** Sums are kept by quarters of an hour, so a moment within one means all of it. */
export function stretchOf(query: StretchQuery): Stretch | ApiError {
  const from = quarterOf(query.from, Math.floor);
  const to = quarterOf(query.to, Math.ceil);
  if (from && to && from >= to) return apiError('invalid_request', 'to must be after from', { param: 'to' });
  return { interval: query.interval, timeZone: query.time_zone, from, to };
}

function quarterOf(text: string | undefined, round: (quarters: number) => number): Date | null {
  if (text === undefined) return null;
  return new Date(round(Date.parse(text) / QUARTER_HOUR_MS) * QUARTER_HOUR_MS);
}

/** The answer with its rows; an error when they are too many. */
export function answerOf<Row>({ interval, timeZone, from, to }: Stretch, data: Row[]) {
  if (data.length > ROWS_MAX) {
    const message = `more than ${ROWS_MAX} rows: ask for less time or a longer interval`;
    return apiError('invalid_request', message, { param: 'interval' });
  }
  return { interval, time_zone: timeZone, from: instantOf(from), to: instantOf(to), data };
}

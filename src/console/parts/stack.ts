/** From usage rows to a stacked chart: which moments, which series, which heights. Pure, so that it can be tested. */
import { compare, sum, toFloat } from '../money.ts';

export type Step = '15m' | 'hour' | 'day' | 'month';

export interface Point {
  /** When its bucket begins, ISO. */
  at: string;
  series: string;
  usd: string;
}

export interface Series {
  name: string;
  /** By moment; `0` where nothing was spent. */
  amounts: string[];
  total: string;
}

export interface Stack {
  /** Milliseconds, every bucket of the range, also the empty ones. */
  moments: number[];
  /** The largest first; what is beyond the most that a chart can tell apart is one series. */
  series: Series[];
  totals: string[];
  total: string;
}

const ZERO = '0';

export function stackOf(points: readonly Point[], moments: number[], most: number, otherName: string): Stack {
  const bySeries = new Map<string, Map<number, string[]>>();
  for (const { at, series, usd } of points) {
    const amounts = bySeries.get(series) ?? new Map<number, string[]>();
    const ms = Date.parse(at);
    amounts.set(ms, [...(amounts.get(ms) ?? []), usd]);
    bySeries.set(series, amounts);
  }
  const all = [...bySeries].map(([name, amounts]) =>
    seriesOf(
      name,
      moments.map((ms) => sum(amounts.get(ms) ?? [])),
    ),
  );
  all.sort((a, b) => compare(b.total, a.total) || a.name.localeCompare(b.name));
  const series =
    all.length <= most ? all : [...all.slice(0, most - 1), merge(all.slice(most - 1), otherName)];
  const totals = moments.map((_, index) => sum(series.map(({ amounts }) => amounts[index] ?? ZERO)));
  return { moments, series, totals, total: sum(totals) };
}

function seriesOf(name: string, amounts: string[]): Series {
  return { name, amounts, total: sum(amounts) };
}

function merge(series: readonly Series[], name: string): Series {
  const moments = series[0]!.amounts.map((_, index) => sum(series.map(({ amounts }) => amounts[index]!)));
  return seriesOf(name, moments);
}

/** Heights of the lines of a stack, the lowest series first: each stands on those before it. */
export function heights({ series, moments }: Stack): number[][] {
  const standing = moments.map(() => 0);
  return series.map(({ amounts }) =>
    amounts.map((amount, index) => {
      standing[index] = (standing[index] ?? 0) + toFloat(amount);
      return standing[index];
    }),
  );
}

/** The first moments of so many buckets, the last of them the one that now is in; days and months in local time. */
export function bucketsOf(step: Step, count: number, nowMs: number): number[] {
  const moments = [floorOf(step, nowMs)];
  while (moments.length < count) moments.unshift(previousOf(step, moments[0]!));
  return moments;
}

const QUARTER_MS = 900_000;

function floorOf(step: Step, ms: number): number {
  if (step === '15m') return Math.floor(ms / QUARTER_MS) * QUARTER_MS;
  const date = new Date(ms);
  date.setMinutes(0, 0, 0);
  if (step !== 'hour') date.setHours(0);
  if (step === 'month') date.setDate(1);
  return date.getTime();
}

function previousOf(step: Step, ms: number): number {
  if (step === '15m') return ms - QUARTER_MS;
  if (step === 'hour') return ms - 4 * QUARTER_MS;
  const date = new Date(ms);
  if (step === 'day') date.setDate(date.getDate() - 1);
  else date.setMonth(date.getMonth() - 1);
  return date.getTime();
}

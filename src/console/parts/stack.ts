/** From usage rows to a stacked chart: its buckets, series and heights. Pure. */
import { compare, sum, toFloat } from '../money.ts';

export type Step = '15m' | 'hour' | 'day' | 'month';

export interface Point {
  /** When its bucket begins, ISO. */
  at: string;
  /** Null: of none that is known by name, but of the others. */
  series: string | null;
  /** What tells series of one name apart; missing: their name does. */
  id?: string | undefined;
  usd: string;
}

export interface Series {
  id: string;
  /** With the end of the id, where another has the same. */
  name: string;
  /** By bucket; `0` where nothing was spent. */
  amounts: string[];
  total: string;
}

export interface Stack {
  /** When each bucket of the range begins, in milliseconds; also the empty ones. */
  startsMs: number[];
  /** The largest first; the last one is the sum of the others and of those beyond the most that the chart can distinguish. */
  series: Series[];
  totals: string[];
  total: string;
}

const ZERO = '0';
/** No id of a series, and no name either. */
const OTHER_ID = ' other';

export function stackOf(
  points: readonly Point[],
  startsMs: number[],
  most: number,
  otherName: string,
): Stack {
  const bySeries = new Map<string | null, { name: string; amounts: Map<number, string[]> }>();
  for (const { at, series, id = series, usd } of points) {
    const key = series === null ? null : id;
    const { name, amounts } = bySeries.get(key) ?? { name: series ?? otherName, amounts: new Map() };
    // The one in which it lies: of a midnight that a clock shows twice, browser and database may take another.
    const ms = startsMs.findLast((startMs) => startMs <= Date.parse(at)) ?? Number.NEGATIVE_INFINITY;
    amounts.set(ms, [...(amounts.get(ms) ?? []), usd]);
    bySeries.set(key, { name, amounts });
  }
  const names = Map.groupBy(bySeries, ([id, { name }]) => (id === null ? null : name));
  const all = [...bySeries].map(([id, { name, amounts }]) => ({
    isOther: id === null,
    ...seriesOf(
      id ?? OTHER_ID,
      id !== null && (names.get(name)?.length ?? 0) > 1 ? `${name} (…${id.slice(-4)})` : name,
      startsMs.map((ms) => sum(amounts.get(ms) ?? [])),
    ),
  }));
  all.sort(
    (a, b) =>
      Number(a.isOther) - Number(b.isOther) || compare(b.total, a.total) || a.name.localeCompare(b.name),
  );
  const series =
    all.length <= most ? all : [...all.slice(0, most - 1), merge(all.slice(most - 1), otherName)];
  const totals = startsMs.map((_, index) => sum(series.map(({ amounts }) => amounts[index] ?? ZERO)));
  return { startsMs, series, totals, total: sum(totals) };
}

function seriesOf(id: string, name: string, amounts: string[]): Series {
  return { id, name, amounts, total: sum(amounts) };
}

function merge(series: readonly Series[], name: string): Series {
  const length = series[0]?.amounts.length ?? 0;
  const sumAt = (index: number) => sum(series.map(({ amounts }) => amounts[index] ?? ZERO));
  return seriesOf(
    OTHER_ID,
    name,
    Array.from({ length }, (_, index) => sumAt(index)),
  );
}

/** Returns the heights of a stack's bars, the lowest series first: each is the sum with those before it. */
export function heights({ series, startsMs }: Stack): number[][] {
  const standing = startsMs.map(() => 0);
  return series.map(({ amounts }) =>
    amounts.map((amount, index) => {
      standing[index] = (standing[index] ?? 0) + toFloat(amount);
      return standing[index];
    }),
  );
}

/** Returns when each of so many buckets begins; the last contains `nowMs`. Days and months are in local time. */
export function bucketsOf(step: Step, count: number, nowMs: number): [number, ...number[]] {
  const startsMs: [number, ...number[]] = [floorOf(step, nowMs)];
  while (startsMs.length < count) startsMs.unshift(previousOf(step, startsMs[0]));
  return startsMs;
}

const QUARTER_MS = 900_000;

function floorOf(step: Step, ms: number): number {
  if (step === '15m') return Math.floor(ms / QUARTER_MS) * QUARTER_MS;
  const date = new Date(ms);
  // Setting the minutes to 0 would lead into the first of two hours that a clock shows alike when it goes back.
  if (step === 'hour') return ms - ((ms - date.getTimezoneOffset() * 60_000) % (4 * QUARTER_MS));
  date.setHours(0, 0, 0, 0);
  if (step === 'month') date.setDate(1);
  return date.getTime();
}

function previousOf(step: Step, ms: number): number {
  if (step === '15m') return ms - QUARTER_MS;
  if (step === 'hour') return floorOf(step, ms - 1);
  const date = new Date(ms);
  if (step === 'day') date.setDate(date.getDate() - 1);
  else date.setMonth(date.getMonth() - 1);
  return date.getTime();
}

/** The judge of rolling windows: what was admitted in any 60 seconds, and how much of the limit could be used. Pure. */

export const LIMIT = 600;
export const WINDOW_MS = 60_000;
const USED_LEAST = 570;

/** One call, in milliseconds since the epoch. */
export interface Moment {
  admittedMs: number;
  /** When the upstream saw it; null: it was admitted, and killed on its way. */
  arrivedMs: number | null;
}

export interface RollingRow {
  pattern: string;
  /** It asks evenly, so the limit can be used up. */
  even: boolean;
  replicas: number;
  seconds: number;
  kills: number;
  asked: number;
  admitted: number;
  /** The most in any 60 s: as admitted, and as they came to the upstream. */
  most: number;
  mostAtUpstream: number;
  firstMinute: number;
  perMinute: number;
}

/** What is known of a row before its calls are looked at. */
export type RollingFacts = Pick<RollingRow, 'pattern' | 'even' | 'replicas' | 'seconds' | 'kills' | 'asked'>;

export function judgeWindow(facts: RollingFacts, moments: readonly Moment[]): RollingRow {
  const admitted = moments.map(({ admittedMs }) => admittedMs);
  const firstMs = Math.min(...admitted);
  return {
    ...facts,
    admitted: admitted.length,
    most: mostInAWindow(admitted),
    mostAtUpstream: mostInAWindow(moments.map(({ arrivedMs }) => arrivedMs).filter((ms) => ms !== null)),
    firstMinute: admitted.filter((ms) => ms < firstMs + WINDOW_MS).length,
    perMinute: (admitted.length * WINDOW_MS) / (facts.seconds * 1000),
  };
}

/** The most moments in any window, its start inclusive, its end exclusive. */
function mostInAWindow(moments: readonly number[]): number {
  const sorted = moments.toSorted((a, b) => a - b);
  let most = 0;
  let first = 0;
  for (let last = 0; last < sorted.length; last++) {
    while (sorted[last]! - sorted[first]! >= WINDOW_MS) first++;
    most = Math.max(most, last - first + 1);
  }
  return most;
}

/** Every promise that a row breaks. */
export function brokenRollingPromises(row: RollingRow): string[] {
  const broken: string[] = [];
  const promise = (kept: boolean, text: string) => {
    if (!kept) broken.push(`${row.pattern}: ${text}`);
  };
  promise(row.most <= LIMIT, `${row.most} calls admitted in 60 s`);
  promise(!row.even || row.firstMinute >= USED_LEAST, `only ${row.firstMinute} in the first minute`);
  promise(!row.even || row.perMinute >= USED_LEAST, `only ${row.perMinute.toFixed(0)} a minute on average`);
  return broken;
}

const COLUMNS: readonly [string, (row: RollingRow) => string | number][] = [
  ['pattern', (row) => row.pattern],
  ['replicas', (row) => row.replicas],
  ['kills', (row) => row.kills],
  ['asked', (row) => row.asked],
  ['admitted', (row) => row.admitted],
  ['most in 60 s', (row) => row.most],
  ['at the upstream', (row) => row.mostAtUpstream],
  ['first minute', (row) => row.firstMinute],
  ['a minute', (row) => row.perMinute.toFixed(0)],
];

/** The rows as cells, with a heading. */
export function rollingCells(rows: readonly RollingRow[]): string[][] {
  return [
    COLUMNS.map(([title]) => title),
    ...rows.map((row) => COLUMNS.map(([, text]) => String(text(row)))),
  ];
}

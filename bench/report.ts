/** Turns the cells of all rounds into the tables that the bench prints. Pure. */
import type { Cell, Measure } from './measure.ts';
import { type Summary, summarize } from './statistics.ts';

interface Column {
  title: string;
  digits: number;
  /** Gateways that the number is set in relation to, round by round. */
  ratios?: readonly string[];
}

const COLUMNS: Record<Measure, Column> = {
  cpuUs: { title: 'CPU µs/call', digits: 0, ratios: ['bare', 'previous', 'tollgate'] },
  frameCpuUs: { title: 'CPU µs/frame', digits: 1, ratios: ['bare', 'tollgate'] },
  sessionKb: { title: 'RSS kB/session', digits: 1 },
  usedSessionKb: { title: 'after a response', digits: 1 },
  databaseCpuUs: { title: 'database µs/call', digits: 1, ratios: ['previous', 'tollgate'] },
  callsPerSecond: { title: 'calls/s', digits: 0 },
  rssPeakMb: { title: 'peak RSS MB', digits: 0, ratios: ['previous'] },
  addedP50Ms: { title: 'added p50 ms', digits: 2 },
  addedP99Ms: { title: 'added p99 ms', digits: 2 },
  chunkP50Ms: { title: 'chunk p50 ms', digits: 2 },
  chunkP99Ms: { title: 'chunk p99 ms', digits: 2 },
  eventsPerSecond: { title: 'events/s in Postgres', digits: 0 },
  eventsLagMs: { title: 'last event after ms', digits: 0 },
  readyMs: { title: 'ready ms', digits: 0 },
  readyCpuMs: { title: 'CPU ms to ready', digits: 0, ratios: ['previous'] },
  readyRssMb: { title: 'RSS MB at ready', digits: 0, ratios: ['previous'] },
  firstCallMs: { title: 'first call ms', digits: 1 },
  warmCallMs: { title: 'warm call ms', digits: 2 },
  firstCallExtraMs: { title: 'first − warm ms', digits: 1 },
  idlePercent: { title: 'idle CPU %', digits: 2, ratios: ['previous'] },
  databaseIdlePercent: { title: 'database idle %', digits: 2, ratios: ['previous'] },
  rssMb: { title: 'RSS MB', digits: 0, ratios: ['previous'] },
};
const MEASURES = Object.keys(COLUMNS) as Measure[];

export function spread({ median, min, max }: Summary, digits: number): string {
  return `${median.toFixed(digits)} (${min.toFixed(digits)}–${max.toFixed(digits)})`;
}

/** Returns one number of one gateway in one case, over the rounds; null when it was not measured. */
export function summaryOf(
  cells: readonly Cell[],
  caseName: string,
  contestant: string,
  measure: Measure,
): Summary | null {
  const values = cells
    .filter((cell) => cell.case === caseName && cell.contestant === contestant)
    .map((cell) => cell.numbers[measure])
    .filter((value) => value !== undefined);
  return values.length === 0 ? null : summarize(values);
}

/**
 * Returns one number of one gateway over that of another, or null when one of them has none. Taken within each round, then
 * summarized: what slowed the machine in a round slowed both.
 */
export function ratioOf(
  cells: readonly Cell[],
  caseName: string,
  [contestant, other]: readonly [string, string],
  measure: Measure,
): Summary | null {
  const value = (name: string, round: number) =>
    cells.find((cell) => cell.case === caseName && cell.contestant === name && cell.round === round)?.numbers[
      measure
    ];
  const ratios: number[] = [];
  for (const cell of cells) {
    if (cell.case !== caseName || cell.contestant !== contestant) continue;
    const own = cell.numbers[measure];
    const others = value(other, cell.round);
    if (own !== undefined && others) ratios.push(own / others);
  }
  return ratios.length === 0 ? null : summarize(ratios);
}

/** Whether the ratio says something: a gateway is compared with what is simpler or older, and others with Tollgate. */
function isCompared(contestant: string, other: string): boolean {
  if (contestant === other || contestant === 'bare') return false;
  if (other === 'bare') return true;
  if (other === 'previous') return contestant === 'tollgate' || contestant === 'workers';
  return contestant !== 'previous';
}

/** Returns the texts of one column, from its title down; empty where there is no number. */
function columnsOf(
  cells: readonly Cell[],
  caseName: string,
  contestants: string[],
  measure: Measure,
): string[][] {
  const { title, digits, ratios = [] } = COLUMNS[measure];
  const texts = contestants.map((contestant) => {
    const summary = summaryOf(cells, caseName, contestant, measure);
    return summary ? spread(summary, digits) : '';
  });
  const relations = ratios.map((other) => {
    const column = contestants.map((contestant) => {
      const ratio = isCompared(contestant, other)
        ? ratioOf(cells, caseName, [contestant, other], measure)
        : null;
      return ratio ? spread(ratio, 2) : '';
    });
    return [`× ${other}`, ...column];
  });
  return [[title, ...texts], ...relations];
}

/** Lines of equal width: the first column to the left, numbers to the right; columns without a number are left out. */
export function table(columns: readonly string[][]): string {
  const padded = columns
    .filter(([, ...texts]) => texts.some((text) => text !== ''))
    .map((texts, column) => {
      const width = Math.max(...texts.map((text) => text.length));
      return texts.map((text) => (column === 0 ? text.padEnd(width) : text.padStart(width)));
    });
  const lines = (padded[0] ?? []).map((_, line) => padded.map((texts) => texts[line]).join('  '));
  return lines.map((line) => line.trimEnd()).join('\n');
}

/** Returns one table a case, each number as median (minimum–maximum) over the rounds. */
export function report(cells: readonly Cell[], contestants: string[]): string {
  const caseNames = [...new Set(cells.map((cell) => cell.case))];
  const sections = caseNames.map((caseName) => {
    const columns = MEASURES.flatMap((measure) => columnsOf(cells, caseName, contestants, measure));
    return `${caseName}\n${table([['gateway', ...contestants], ...columns])}`;
  });
  return sections.join('\n\n');
}

/** Turns the cells of all rounds into the table that the bench prints. Pure. */
import type { Cell } from './cell.ts';
import { type Summary, summarize } from './statistics.ts';

const COLUMNS = [
  'gateway',
  'CPU µs/call',
  'calls/CPU-s',
  '× bare',
  '× portkey',
  'added p50 ms',
  'added p99 ms',
  'chunk p50 ms',
  'chunk p99 ms',
  'database µs/call',
];

function spread({ median, min, max }: Summary, digits: number): string {
  return `${median.toFixed(digits)} (${min.toFixed(digits)}–${max.toFixed(digits)})`;
}

function milliseconds(cells: Cell[], pick: (cell: Cell) => number | undefined): string {
  const values = cells.map(pick).filter((value) => value !== undefined);
  return values.length === 0 ? '' : spread(summarize(values.map((us) => us / 1_000)), 2);
}

/**
 * CPU per call of one gateway over that of another, or null when one of them did not run. Taken within each round, then
 * summarized: what slowed the machine in a round slowed both.
 */
function cpuRatio(cells: Cell[], caseName: string, contestant: string, other: string): Summary | null {
  const find = (name: string, round: number) =>
    cells.find((cell) => cell.case === caseName && cell.contestant === name && cell.round === round);
  const ratios = cells
    .filter((cell) => cell.case === caseName && cell.contestant === contestant)
    .map((cell) => cell.cpuUsPerCall / (find(other, cell.round)?.cpuUsPerCall ?? Number.NaN));
  return ratios.length === 0 || ratios.some(Number.isNaN) ? null : summarize(ratios);
}

function row(cells: Cell[], caseName: string, contestant: string): string[] {
  const own = cells.filter((cell) => cell.case === caseName && cell.contestant === contestant);
  const cpu = summarize(own.map((cell) => cell.cpuUsPerCall));
  const database = summarize(own.map((cell) => cell.databaseCpuUsPerCall));
  const ratio = (other: string, digits: number) => {
    const summary = contestant === other ? null : cpuRatio(cells, caseName, contestant, other);
    return summary ? spread(summary, digits) : '';
  };
  return [
    contestant,
    spread(cpu, cpu.median < 100 ? 1 : 0),
    (1_000_000 / cpu.median).toFixed(0),
    ratio('bare', 2),
    ratio('portkey', 3),
    milliseconds(own, (cell) => cell.addedLatency.p50Us),
    milliseconds(own, (cell) => cell.addedLatency.p99Us),
    milliseconds(own, (cell) => cell.addedChunkDelay?.p50Us),
    milliseconds(own, (cell) => cell.addedChunkDelay?.p99Us),
    database.max > 0 ? database.median.toFixed(1) : '',
  ];
}

/** Lines of equal width: the first column to the left, numbers to the right; columns without a number are left out. */
function table(rows: string[][]): string {
  const columns = COLUMNS.map((title, column) => [title, ...rows.map((row) => row[column]!)]);
  const padded = columns
    .filter(([, ...texts]) => texts.some((text) => text !== ''))
    .map((texts, column) => {
      const width = Math.max(...texts.map((text) => text.length));
      return texts.map((text) => (column === 0 ? text.padEnd(width) : text.padStart(width)));
    });
  const lines = ['', ...rows].map((_, line) => padded.map((texts) => texts[line]).join('  '));
  return lines.map((line) => line.trimEnd()).join('\n');
}

/** One table a case, each number as median (minimum–maximum) over the rounds. */
export function report(cells: Cell[]): string {
  const caseNames = [...new Set(cells.map((cell) => cell.case))];
  const contestants = [...new Set(cells.map((cell) => cell.contestant))];
  const sections = caseNames.map((caseName) => {
    const rows = contestants.map((contestant) => row(cells, caseName, contestant));
    return `${caseName}\n${table(rows)}`;
  });
  return sections.join('\n\n');
}

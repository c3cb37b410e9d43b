/** What a row has to keep, in words; and the rows as a table. Pure. */
import { type PicoUsd, usd } from '../../src/domain/money.ts';
import { formatUsd } from '../../src/domain/quantities.ts';
import type { GrantRow } from './grant.ts';
import { IN_FLIGHT_LEAST } from './strikes.ts';

/** Of what was neither unknown nor left, this much must have been of use. */
const SETTLED_PERCENT_LEAST = 95n;

/** Every promise that a row breaks; empty when it keeps them all. The naive gateway promised nothing. */
export function brokenPromises(row: GrantRow, strikesLeast: number): string[] {
  const broken: string[] = [];
  const none = (name: string, count: number) => {
    if (count > 0) broken.push(`${count} ${name}`);
  };
  const strikes = row.strikes.filter(({ inFlight }) => inFlight >= IN_FLIGHT_LEAST);
  if (strikes.length < strikesLeast) broken.push(`only ${strikes.length} kills of ${strikesLeast}`);
  if (row.gateway === 'naive') return broken;
  if (row.overspend > 0n) broken.push(`$${formatUsd(row.overspend)} over the limit`);
  none('calls lost', row.lost);
  none('events written twice', row.double);
  none('events that differ from their bill', row.wrong);
  none('false denials', row.falseDenials);
  none(`answers that should not be: ${row.oddities[0]}`, row.oddities.length);
  const share = settledShare(row);
  if (share < SETTLED_PERCENT_LEAST * 10n) broken.push(`only ${Number(share) / 10} % settled`);
  return broken;
}

/** Per mille of (amount − unknown). */
function settledShare({ budgetUsd, unknown, settled }: GrantRow): bigint {
  return (settled * 1000n) / (usd(budgetUsd) - unknown);
}

const COLUMNS: readonly [string, (row: GrantRow) => string][] = [
  ['gateway', (row) => row.gateway],
  ['replicas', (row) => String(row.replicas)],
  ['kills', (row) => String(row.strikes.length)],
  ['calls', (row) => String(row.calls)],
  ['billed', (row) => dollars(row.billed)],
  ['limit', (row) => dollars(usd(row.budgetUsd))],
  ['overspend', (row) => dollars(row.overspend)],
  ['unknown', (row) => dollars(row.unknown)],
  ['unused', (row) => dollars(row.unused)],
  ['settled', (row) => `${(Number(settledShare(row)) / 10).toFixed(1)}%`],
  ['lost', (row) => String(row.lost)],
  ['double', (row) => String(row.double)],
  ['false denials', (row) => String(row.falseDenials)],
  ['held 429s', (row) => String(row.held)],
  ['503s', (row) => String(row.unavailable)],
];

/** Lines of equal width; the first column to the left, numbers to the right. */
export function renderTable(rows: readonly GrantRow[]): string {
  return align([COLUMNS.map(([title]) => title), ...rows.map((row) => COLUMNS.map(([, text]) => text(row)))]);
}

/** Pads the cells of each column to one width. */
export function align(rows: readonly string[][]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const lines = rows.map((row) =>
    row.map((text, column) => (column === 0 ? text.padEnd(widths[0]!) : text.padStart(widths[column]!))),
  );
  return lines.map((cells) => cells.join('  ').trimEnd()).join('\n');
}

/** To a hundredth of a cent; what is more than nothing is never shown as nothing. */
function dollars(amount: PicoUsd): string {
  const text = (Number(amount) / 1e12).toFixed(4);
  return amount > 0n && Number(text) === 0 ? '<$0.0001' : `$${text}`;
}

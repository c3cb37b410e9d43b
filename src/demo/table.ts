/** The table of the demo as lines of text. Pure: figures in, lines out. */
import type { PicoUsd } from '../domain/money.ts';
import { formatUsd } from '../domain/quantities.ts';
import type { TeamFigures } from './figures.ts';

/** How parts of the table are emphasised; without colour, `(text) => text`. */
export interface TableStyle {
  quiet(text: string): string;
  strong(text: string): string;
  alarm(text: string): string;
}

interface Row {
  team: string;
  model: string;
  calls: string;
  tokens: string;
  cost: string;
  remaining: string;
  denied: string;
}

const COLUMNS: readonly { key: keyof Row; title: string; align: 'left' | 'right' }[] = [
  { key: 'team', title: 'TEAM', align: 'left' },
  { key: 'model', title: 'MODEL', align: 'left' },
  { key: 'calls', title: 'CALLS', align: 'right' },
  { key: 'tokens', title: 'TOKENS', align: 'right' },
  { key: 'cost', title: 'COST', align: 'right' },
  { key: 'remaining', title: 'REMAINING', align: 'right' },
  { key: 'denied', title: 'DENIED', align: 'right' },
];
const GAP = '  ';
/** A ten-thousandth of a dollar moves visibly with every call, and fits. */
const REMAINING_PLACES = 4;
const NUMBER = new Intl.NumberFormat('en-US');

/** Returns a line for each model of each team (with the team's budget on its first line), and the total. */
export function renderTable(figures: readonly TeamFigures[], style: TableStyle): string[] {
  const all = alignCosts([...figures.flatMap(teamRows), totalRow(figures)]);
  const rows = all.slice(0, -1);
  const columns = COLUMNS.map(({ key, title, align }) => {
    const width = Math.max(title.length, ...all.map((row) => row[key].length));
    const pad = (text: string) => (align === 'left' ? text.padEnd(width) : text.padStart(width));
    return { key, title, pad };
  });
  const cellOf = (row: Row, { key, pad }: (typeof columns)[number]) => {
    const cell = pad(row[key]);
    if (key === 'team') return style.strong(cell);
    return key === 'denied' ? style.alarm(cell) : cell;
  };
  const lineOf = (row: Row) =>
    columns
      .map((column) => cellOf(row, column))
      .join(GAP)
      .trimEnd();
  const heading = columns.map(({ title, pad }) => pad(title)).join(GAP);
  const rule = style.quiet('─'.repeat(heading.length));
  return [style.quiet(heading), rule, ...rows.map(lineOf), rule, ...all.slice(-1).map(lineOf)];
}

function teamRows(team: TeamFigures): Row[] {
  const first = {
    team: team.name,
    remaining: `${dollars(team.remainingPicoUsd)} of ${amount(team.amountPicoUsd)}`,
    denied: team.denials > 0 ? NUMBER.format(team.denials) : '',
  };
  if (team.models.length === 0) return [{ ...first, model: '', calls: '', tokens: '', cost: '' }];
  return team.models.map(({ model, calls, tokens, costPicoUsd }, index) => ({
    ...(index === 0 ? first : { team: '', remaining: '', denied: '' }),
    model,
    calls: NUMBER.format(calls),
    tokens: NUMBER.format(tokens),
    cost: `$${formatUsd(costPicoUsd)}`,
  }));
}

function totalRow(figures: readonly TeamFigures[]): Row {
  const models = figures.flatMap((team) => team.models);
  const sum = (numbers: number[]) => NUMBER.format(numbers.reduce((total, number) => total + number, 0));
  const cost = models.reduce((total, { costPicoUsd }) => total + costPicoUsd, 0n);
  return {
    team: 'total',
    model: '',
    calls: sum(models.map(({ calls }) => calls)),
    tokens: sum(models.map(({ tokens }) => tokens)),
    cost: `$${formatUsd(cost)}`,
    remaining: '',
    denied: sum(figures.map(({ denials }) => denials)),
  };
}

/** Pads amounts with blanks, so that their decimal points stand under each other. */
function alignCosts(rows: readonly Row[]): Row[] {
  const places = (text: string) => (text === '' ? 0 : text.length - text.indexOf('.'));
  const most = Math.max(...rows.map(({ cost }) => places(cost)));
  return rows.map((row) => ({ ...row, cost: row.cost + ' '.repeat(most - places(row.cost)) }));
}

/** Truncated, not rounded: the table never shows more than what remains. */
function dollars(picoUsd: PicoUsd): string {
  const unit = 10n ** BigInt(12 - REMAINING_PLACES);
  const whole = formatUsd((picoUsd / unit) * unit);
  return `$${whole.padEnd(whole.indexOf('.') + 1 + REMAINING_PLACES, '0')}`;
}

function amount(picoUsd: PicoUsd): string {
  return `$${formatUsd(picoUsd).replace(/\.00$/, '')}`;
}

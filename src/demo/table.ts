/** The table of the demo as lines of text. Pure: figures in, lines out. */
import { formatUsd, type PicoUsd } from '../domain/money.ts';
import type { TeamFigures } from './figures.ts';

/** How parts of the table are set off; where there is no colour, `(text) => text`. */
export interface Look {
  quiet(text: string): string;
  strong(text: string): string;
  alarm(text: string): string;
}

type Align = 'left' | 'right';

const COLUMNS: readonly { title: string; align: Align }[] = [
  { title: 'TEAM', align: 'left' },
  { title: 'MODEL', align: 'left' },
  { title: 'CALLS', align: 'right' },
  { title: 'TOKENS', align: 'right' },
  { title: 'COST', align: 'right' },
  { title: 'REMAINING', align: 'right' },
  { title: 'DENIED', align: 'right' },
];
const GAP = '  ';
const COST = 4;
const DENIED = 6;
/** A ten-thousandth of a dollar moves visibly with every call, and fits. */
const REMAINING_PLACES = 4;
const NUMBER = new Intl.NumberFormat('en-US');

/** A line for each model of each team, the team's purse on its first line, and the sum of all. */
export function renderTable(figures: readonly TeamFigures[], look: Look): string[] {
  const rows = [...figures.flatMap(teamRows), totalRow(figures)];
  alignPoints(rows, COST);
  const widths = COLUMNS.map(({ title }, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]!.length)),
  );
  const pad = (text: string, column: number) =>
    COLUMNS[column]!.align === 'left' ? text.padEnd(widths[column]!) : text.padStart(widths[column]!);
  const heading = COLUMNS.map(({ title }, column) => pad(title, column)).join(GAP);
  const rule = look.quiet('─'.repeat(heading.length));
  const lines = rows.map((row) =>
    row
      .map((text, column) => {
        const cell = pad(text, column);
        if (column === 0) return look.strong(cell);
        return column === DENIED ? look.alarm(cell) : cell;
      })
      .join(GAP)
      .trimEnd(),
  );
  return [look.quiet(heading), rule, ...lines.slice(0, -1), rule, lines.at(-1)!];
}

function teamRows(team: TeamFigures): string[][] {
  const purse = `${dollars(team.remainingPicoUsd)} of ${amount(team.amountPicoUsd)}`;
  const denied = team.denials > 0 ? NUMBER.format(team.denials) : '';
  if (team.models.length === 0) return [[team.name, '', '', '', '', purse, denied]];
  return team.models.map(({ model, calls, tokens, costPicoUsd }, index) => [
    index === 0 ? team.name : '',
    model,
    NUMBER.format(calls),
    NUMBER.format(tokens),
    `$${formatUsd(costPicoUsd)}`,
    index === 0 ? purse : '',
    index === 0 ? denied : '',
  ]);
}

function totalRow(figures: readonly TeamFigures[]): string[] {
  const models = figures.flatMap((team) => team.models);
  const sum = (numbers: number[]) => NUMBER.format(numbers.reduce((total, number) => total + number, 0));
  const cost = models.reduce((total, { costPicoUsd }) => total + costPicoUsd, 0n);
  return [
    'total',
    '',
    sum(models.map(({ calls }) => calls)),
    sum(models.map(({ tokens }) => tokens)),
    `$${formatUsd(cost)}`,
    '',
    sum(figures.map(({ denials }) => denials)),
  ];
}

/** Exact amounts have as many digits as they need; blanks behind them put their points under each other. */
function alignPoints(rows: string[][], column: number): void {
  const places = (text: string) => (text === '' ? 0 : text.length - text.indexOf('.'));
  const most = Math.max(...rows.map((row) => places(row[column]!)));
  for (const row of rows) row[column] += ' '.repeat(most - places(row[column]!));
}

/** Cut off, not rounded: what remains is never shown as more than there is. */
function dollars(picoUsd: PicoUsd): string {
  const unit = 10n ** BigInt(12 - REMAINING_PLACES);
  const whole = formatUsd((picoUsd / unit) * unit);
  return `$${whole.padEnd(whole.indexOf('.') + 1 + REMAINING_PLACES, '0')}`;
}

function amount(picoUsd: PicoUsd): string {
  return `$${formatUsd(picoUsd).replace(/\.00$/, '')}`;
}

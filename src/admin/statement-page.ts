/** The statement of a month as a page to print: one file of HTML, without scripts or anything from elsewhere. Pure. */
import type { PicoUsd } from '../domain/money.ts';
import type { Provenance } from '../domain/outcome.ts';
import { formatUsd } from '../domain/quantities.ts';

export interface StatementLine {
  /** Null: all lines are of one team. */
  team: { id: string; name: string } | null;
  kind: 'usage' | 'correction';
  model: string;
  operation: string;
  tier: string;
  provenance: Provenance;
  /** Calls that were charged, or corrections. */
  calls: bigint;
  inputTokens: bigint;
  cachedInputTokens: bigint;
  outputTokens: bigint;
  cost: PicoUsd;
}

export interface Statement {
  of: 'Team' | 'Department';
  id: string;
  name: string;
  /** `2026-11`, in UTC. */
  month: string;
  lines: readonly StatementLine[];
  /** When it was made. */
  atMs: number;
}

export function statementPage({ of, id, name, month, lines, atMs }: Statement): string {
  const total = lines.reduce((sum, line) => sum + line.cost, 0n);
  const title = `Statement of ${month}: ${name}`;
  const heads = of === 'Team' ? HEADS : ['Team', ...HEADS];
  const isOpen = new Date(atMs).toISOString().slice(0, 7) <= month;
  const notes = [
    isOpen ? 'The month is not over: this is what was charged until now.' : '',
    'Costs are those of the ledger in US dollars, at the prices of the day of each call; days and months are in UTC.',
    lines.some(({ provenance }) => provenance === 'unknown')
      ? 'Calls of unknown outcome are charged at the worst case until evidence corrects them.'
      : '',
    lines.some(({ kind }) => kind === 'correction')
      ? 'Corrections stand in the month of the calls that they correct.'
      : '',
  ].filter((note) => note !== '');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<nav>${[-1, 1].map((step) => linkTo(monthAfter(month, step))).join('\n')}
<a href="?month=${month}&amp;format=csv">CSV</a></nav>
<h1>Statement of ${monthName(month)}</h1>
<dl>
<div><dt>${of}</dt><dd>${escaped(name)}</dd></div>
<div><dt>${of} id</dt><dd>${escaped(id)}</dd></div>
<div><dt>Made</dt><dd>${new Date(atMs).toISOString().slice(0, 16).replace('T', ' ')} UTC</dd></div>
<div><dt>Total</dt><dd class="total">${formatUsd(total)} USD</dd></div>
</dl>
<table>
<caption>Charges by model, operation and tier</caption>
<thead><tr>${heads.map((head) => `<th scope="col">${head}</th>`).join('')}</tr></thead>
<tbody>
${lines.map(rowOf).join('\n')}
</tbody>
<tfoot><tr><th scope="row" colspan="${heads.length - 1}">Total</th><td>${formatUsd(total)}</td></tr></tfoot>
</table>
${notes.map((note) => `<p>${note}</p>`).join('\n')}
</main>
</body>
</html>
`;
}

const HEADS = ['Model', 'Operation', 'Charge', 'Calls', 'Input tokens', 'Output tokens', 'Cost, USD'];

function rowOf(line: StatementLine): string {
  const operation = line.tier === 'default' ? line.operation : `${line.operation}, ${line.tier}`;
  const texts = [...(line.team === null ? [] : [line.team.name]), line.model, operation, chargeText(line)];
  const isUsage = line.kind === 'usage';
  const amounts = [line.calls, isUsage ? line.inputTokens : '', isUsage ? line.outputTokens : ''];
  const [first = '', ...others] = texts.map(escaped);
  return `<tr><th scope="row">${first}</th>${others.map((text) => `<td>${text}</td>`).join('')}${[
    ...amounts,
    formatUsd(line.cost),
  ]
    .map((amount) => `<td class="number">${amount}</td>`)
    .join('')}</tr>`;
}

function chargeText({ kind, provenance }: StatementLine): string {
  if (kind === 'correction') return 'Correction';
  return { reported: 'Usage', estimated: 'Usage, estimated', unknown: 'Outcome unknown' }[provenance];
}

function monthAfter(month: string, step: number): string {
  const [year = 0, number = 0] = month.split('-').map(Number);
  return new Date(Date.UTC(year, number - 1 + step)).toISOString().slice(0, 7);
}

function linkTo(month: string): string {
  return `<a href="?month=${month}">${monthName(month)}</a>`;
}

function monthName(month: string): string {
  const format = new Intl.DateTimeFormat('en', { month: 'long', year: 'numeric', timeZone: 'UTC' });
  return format.format(new Date(`${month}-01T00:00:00Z`));
}

function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');
}

const STYLE = `
:root { color-scheme: light; }
body { margin: 0; background: #fff; color: #1a1a1a; font: 14px/1.45 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 2rem 1.5rem; }
nav { display: flex; gap: 1.5rem; margin-bottom: 1.5rem; }
a { color: #0b57d0; }
h1 { margin: 0 0 1rem; font-size: 1.6rem; }
dl { margin: 0 0 1.5rem; }
dl div { display: flex; gap: 1rem; }
dt { width: 6rem; color: #555; }
dd { margin: 0; overflow-wrap: anywhere; }
.total { font-weight: 600; }
table { width: 100%; border-collapse: collapse; }
caption { padding-bottom: 0.5rem; text-align: left; font-weight: 600; }
th, td { padding: 0.35rem 0.5rem; border-bottom: 1px solid #ccc; text-align: left; vertical-align: top; }
tbody th { font-weight: 400; overflow-wrap: anywhere; }
thead th, tfoot th, tfoot td { border-bottom: 2px solid #1a1a1a; font-weight: 600; }
thead th:nth-last-child(-n + 4), td.number, tfoot td { text-align: right; font-variant-numeric: tabular-nums; }
p { color: #555; }
@page { size: A4; margin: 15mm; }
@media print {
  body { font-size: 12px; }
  main { max-width: none; padding: 0; }
  nav { display: none; }
  thead { display: table-header-group; }
  tr { break-inside: avoid; }
}
`;

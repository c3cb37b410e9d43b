/** Estimates as text for people and as CSV. Pure. Owns: the columns and how amounts are rounded to be read. */
import { csvLine } from '../../domain/csv.ts';
import { type PicoUsd, usd } from '../../domain/money.ts';
import { grouped, quotientText, scientific, trimmed } from '../../planner/numbers.ts';
import type { PretrainEstimate } from '../../planner/pretrain.ts';
import type { UsageEstimate } from '../../planner/usage.ts';

export type AnyEstimate = PretrainEstimate | UsageEstimate;

const PICO_PER_CENT: PicoUsd = 10_000_000_000n;

/** Returns an estimate as text that ends with a newline. */
export function renderText(estimate: AnyEstimate): string {
  switch (estimate.kind) {
    case 'pretrain':
      return pretrainText(estimate);
    case 'usage':
      return usageText(estimate);
  }
}

/** Returns an estimate as CSV (RFC 4180) with a header; amounts are exact. */
export function renderCsv(estimate: AnyEstimate): string {
  const rows =
    estimate.kind === 'usage' ? estimate.models.map((row) => ({ ...row })) : [pretrainRow(estimate)];
  const names = Object.keys(rows[0] ?? {});
  const lines = [names, ...rows.map((row) => Object.values(row))];
  return lines.map(csvLine).join('');
}

function pretrainRow({ published, sources: _, ...row }: PretrainEstimate): Record<string, unknown> {
  return { ...row, published_cost: published?.cost, published_gpu_years: published?.gpu_years };
}

function pretrainText(estimate: PretrainEstimate): string {
  const { flops, tflops, utilisation, usd_per_hour, gpu_hours, gpu_years, cost_usd, published } = estimate;
  const share = utilisation === '100' ? '' : ` × ${utilisation} %`;
  const hours = grouped(quotientText(scaled(gpu_hours), 100n, 0));
  const found = `${hours} GPU-hours, ${grouped(gpu_years)} GPU-years, ${short(usd(cost_usd))}`;
  const beside = published === null ? '' : ` (published: ${published.cost}, rounded)`;
  const lines = [
    `${scientific(BigInt(flops))} FLOPs at ${tflops} TFLOPS${share} and ${dollars(usd(usd_per_hour))} an hour: ${found}${beside}`,
    '',
    `Cost        ${dollars(usd(cost_usd))}`,
  ];
  if (estimate.gpus !== null)
    lines.push(`With        ${grouped(estimate.gpus)} GPUs at once: ${grouped(estimate.days ?? '')} days`);
  if (published !== null) {
    lines.push(
      `Published   ${published.gpu_years} GPU-years, ${published.cost}`,
      `            ${published.source}`,
    );
  }
  lines.push('', ...table([['WHAT', 'VALUE', 'SOURCE'], ...estimate.sources.map(sourceRow)], 'lrl'));
  return `${lines.join('\n')}\n`;
}

function sourceRow({ what, value, source }: PretrainEstimate['sources'][number]): string[] {
  return [what, value, source];
}

/** Digits of a decimal text as hundredths. */
function scaled(text: string): bigint {
  return BigInt(text.replace('.', ''));
}

function usageText(estimate: UsageEstimate): string {
  const { calls_per_day, prompt_tokens, cached_tokens, answer_tokens, days, date, tier, credit_usd } =
    estimate;
  const cached = cached_tokens === 0 ? '' : ` (${grouped(cached_tokens)} cached)`;
  const rows = estimate.models.map((row) => [
    row.model,
    fine(usd(row.cost_per_call_usd)),
    dollars(usd(row.cost_usd)),
    row.credit_calls === null ? 'free' : grouped(row.credit_calls),
    row.credit_days === null ? '' : grouped(row.credit_days),
    row.said ?? '',
  ]);
  const credit = dollars(usd(credit_usd));
  const head = ['MODEL', 'A CALL', `${days} DAYS`, `CALLS FOR ${credit}`, 'DAYS', ''];
  const tiers = tier === 'default' ? '' : `, tier ${tier}`;
  return `${[
    `${grouped(calls_per_day)} calls a day, each of ${grouped(prompt_tokens)} prompt tokens${cached} and ${grouped(answer_tokens)} answer tokens, at the prices of ${date}${tiers}`,
    '',
    ...table([head, ...rows], 'lrrrrl'),
  ].join('\n')}\n`;
}

/** Lines of columns as wide as their widest cell, aligned left (`l`) or right (`r`). */
function table(rows: readonly (readonly string[])[], align: string): string[] {
  const widths = [...align].map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) =>
        align[column] === 'r' ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd(),
  );
}

/** To the cent, as an invoice has it; rounded up, so that no cost is shown too low. */
function dollars(amount: PicoUsd): string {
  const cents = (amount + PICO_PER_CENT - 1n) / PICO_PER_CENT;
  return `$${grouped(quotientText(cents, 100n, 2))}`;
}

/** Of a single call: all digits down to a millionth of a dollar, at least two; smaller ones round up. */
function fine(amount: PicoUsd): string {
  const millionths = (amount + 999_999n) / 1_000_000n;
  const text = trimmed(quotientText(millionths, 1_000_000n, 6));
  const [whole = '', fraction = ''] = text.split('.');
  return `$${grouped(whole)}.${fraction.padEnd(2, '0')}`;
}

/** Three digits and the unit: `$4.67M`, rounded half up. */
function short(amount: PicoUsd): string {
  const units: [PicoUsd, string][] = [
    [10n ** 24n, 'T'],
    [10n ** 21n, 'B'],
    [10n ** 18n, 'M'],
  ];
  for (const [unit, letter] of units) {
    if (amount >= unit) return `$${grouped(quotientText(amount, unit, 2))}${letter}`;
  }
  return dollars(amount);
}

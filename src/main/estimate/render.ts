/** Estimates as text for people and as CSV. Pure. Owns: the columns and how amounts are rounded to be read. */
import { csvLine } from '../../domain/csv.ts';
import { usd } from '../../domain/money.ts';
import type { BatchEstimate } from '../../planner/batch.ts';
import type { Estimate } from '../../planner/estimate.ts';
import type { FineTuneEstimate } from '../../planner/fine-tune.ts';
import { grouped, quotientText, scientific } from '../../planner/numbers.ts';
import type { PretrainEstimate } from '../../planner/pretrain.ts';
import type { UsageEstimate } from '../../planner/usage.ts';
import { fineTuneText, problemLines } from './fine-tune-text.ts';
import { amount, dollars, fine, short, table } from './layout.ts';

/** Returns an estimate as text that ends with a newline. */
export function renderText(estimate: Estimate): string {
  switch (estimate.kind) {
    case 'pretrain':
      return pretrainText(estimate);
    case 'usage':
      return usageText(estimate);
    case 'fine_tune':
      return fineTuneText(estimate);
    case 'batch':
      return batchText(estimate);
  }
}

/** Returns an estimate as CSV (RFC 4180) with a header; amounts are exact. A batch of which no line has a price is empty. */
export function renderCsv(estimate: Estimate): string {
  const rows = csvRows(estimate);
  if (rows.length === 0) return '';
  const names = Object.keys(rows[0] ?? {});
  const lines = [names, ...rows.map((row) => Object.values(row))];
  return lines.map(csvLine).join('');
}

function csvRows(estimate: Estimate): Record<string, unknown>[] {
  switch (estimate.kind) {
    case 'pretrain':
      return [pretrainRow(estimate)];
    case 'usage':
      return estimate.models.map((row) => ({ ...row }));
    case 'fine_tune':
      return [fineTuneRow(estimate)];
    case 'batch':
      return estimate.models.map((row) => ({ ...row }));
  }
}

function fineTuneRow(estimate: FineTuneEstimate): Record<string, unknown> {
  const { histogram: _, problems: __, longest_example, price, inference, ...row } = estimate;
  return {
    ...row,
    longest_example_tokens: longest_example?.tokens,
    price_usd: price.usd,
    price_per: price.per,
    inference_input_usd: inference?.input_usd,
    inference_output_usd: inference?.output_usd,
  };
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

function batchText(estimate: BatchEstimate): string {
  const { lines, open_ended_lines: open, answer_tokens, batch_usd, single_usd, date } = estimate;
  const rows = estimate.models.map((row) => [
    row.model,
    row.operation,
    ...[row.lines, row.input_tokens, row.output_tokens].map(grouped),
    amount(usd(row.batch_usd)),
    amount(usd(row.single_usd)),
  ]);
  const head = ['MODEL', 'OPERATION', 'CALLS', 'INPUT TOKENS', 'OUTPUT TOKENS', 'IN A BATCH', 'SENT SINGLY'];
  const total = ['', '', '', '', '', amount(usd(batch_usd)), amount(usd(single_usd))];
  const assumed =
    answer_tokens === null ? 'the most that their model writes' : `${grouped(answer_tokens)} tokens`;
  const unpriced = estimate.unpriced_lines;
  return `${[
    `A batch of ${counted(lines, 'call', 'calls')}, at most, at the prices of ${date}`,
    ...(rows.length === 0
      ? []
      : ['', ...table([head, ...rows, ...(rows.length > 1 ? [total] : [])], 'llrrrrr')]),
    ...(open === 0
      ? []
      : ['', `${counted(open, 'call sets', 'calls set')} no output limit: taken at ${assumed}.`]),
    ...(unpriced === 0
      ? []
      : ['', `${counted(unpriced, 'line is', 'lines are')} in no sum: see the problems.`]),
    ...problemLines(estimate.problem_count, estimate.problems),
  ].join('\n')}\n`;
}

function counted(count: number, one: string, more: string): string {
  return `${grouped(count)} ${count === 1 ? one : more}`;
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

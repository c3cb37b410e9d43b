/** An estimate of fine-tuning as text. Pure. */
import { usd } from '../../domain/money.ts';
import type { FineTuneEstimate } from '../../planner/fine-tune.ts';
import { grouped } from '../../planner/numbers.ts';
import { amount, dollars, table } from './layout.ts';

const PROBLEMS_PRINTED = 20;
const HISTOGRAM_WIDTH = 40;

export function fineTuneText(estimate: FineTuneEstimate): string {
  const { model, date, encoding, tokens, price, inference, cost_per_epoch_usd: perEpoch } = estimate;
  const counted = encoding === null ? 'by their bytes, as no tokeniser is published' : `by ${encoding}`;
  const rows: [string, string][] = [
    ['Examples', estimate.examples === null ? 'not known' : grouped(estimate.examples)],
    ['Tokens', `${grouped(tokens)}, counted ${counted}`],
    ['Longest', longestText(estimate)],
    ['Epochs', epochsText(estimate)],
    ['Price', `${dollars(usd(price.usd))} per ${perText(price.per)}`],
    ['An epoch', perEpoch === null ? '' : amount(usd(perEpoch))],
    ['Cost', amount(usd(estimate.cost_usd))],
    ['Afterwards', inference === null ? 'no price of the trained model is known' : inferenceText(inference)],
  ];
  const known = rows.filter(([, value]) => value !== '');
  const lines = [
    `Fine-tuning ${model}, at the prices of ${date}`,
    '',
    ...table(known, 'll'),
    ...histogramLines(estimate),
    ...problemLines(estimate.problem_count, estimate.problems),
  ];
  return `${lines.join('\n')}\n`;
}

function longestText({ longest_example: longest, cut_examples: cut }: FineTuneEstimate): string {
  if (longest === null) return '';
  const isCut = cut === 0 ? '' : `; ${grouped(cut)} examples are longer than what is trained of one`;
  return `${grouped(longest.tokens)} tokens, line ${grouped(longest.line)}${isCut}`;
}

function epochsText({ epochs, epochs_by, trained_tokens, hours }: FineTuneEstimate): string {
  const trained = `${grouped(trained_tokens ?? 0)} trained tokens`;
  switch (epochs_by) {
    case 'given':
      return `${epochs}: ${trained}`;
    case 'auto':
      return `${epochs}, by OpenAI's published rule for this many examples: ${trained}`;
    case 'auto_at_most':
      return `${epochs}, the most that auto takes, as the number of examples is not known: ${trained}`;
    case 'hours':
      return `billed by the hour, for ${hours} hours at most`;
  }
}

function perText(per: string): string {
  const [amount = '', ...unit] = per.split(' ');
  return unit.length === 0 ? per : `${grouped(amount)} ${unit.join(' ')}`;
}

function inferenceText(inference: NonNullable<FineTuneEstimate['inference']>): string {
  const { input_usd, cached_input_usd, output_usd } = inference;
  const cached = cached_input_usd === null ? '' : `, ${dollars(usd(cached_input_usd))} cached`;
  return `${dollars(usd(input_usd))} input${cached}, ${dollars(usd(output_usd))} output per 1,000,000 tokens`;
}

function histogramLines({ histogram }: FineTuneEstimate): string[] {
  if (histogram.length === 0) return [];
  const most = Math.max(...histogram.map(({ examples }) => examples));
  const rows = histogram.map(({ from_tokens, to_tokens, examples }) => [
    `${grouped(from_tokens)}–${grouped(to_tokens)}`,
    grouped(examples),
    '█'.repeat(Math.ceil((examples / most) * HISTOGRAM_WIDTH)),
  ]);
  return ['', ...table([['TOKENS', 'EXAMPLES', ''], ...rows], 'rrl')];
}

/** Returns the problems of a file by line, as many as a screen has room for. */
export function problemLines(count: number, problems: FineTuneEstimate['problems']): string[] {
  if (count === 0) return ['', 'No problem was found.'];
  const shown = problems.slice(0, PROBLEMS_PRINTED);
  const more = count > shown.length ? [`and ${grouped(count - shown.length)} more`] : [];
  const where = (line: number) => (line === 0 ? 'file' : `line ${grouped(line)}`);
  const rows = shown.map(({ line, problem }) => `${where(line)}: ${problem}`);
  return ['', count === 1 ? '1 problem' : `${grouped(count)} problems`, ...rows, ...more];
}

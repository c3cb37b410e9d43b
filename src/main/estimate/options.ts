/**
 * The grammar of `tollgate estimate`: the options of each kind and their help. Owns: from arguments to the body that
 * `POST /admin/v1/estimates` takes, whose schema then checks both. Pure.
 */
import { type ParseArgsOptionsConfig, parseArgs } from 'node:util';

export const FORMATS = ['text', 'json', 'csv'] as const;
export type Format = (typeof FORMATS)[number];

const WHOLE = /^\d{1,15}$/;

const VALUES = {
  integer: Number,
  /** `auto`, or a number that the schema checks. */
  epochs: (text: string) => (WHOLE.test(text) ? Number(text) : text),
  list: (text: string) => text.split(','),
};

interface Option {
  /** What stands for its value in the help. */
  value: string;
  text: string;
  /** How its value stands in the body; missing: as text. */
  as?: keyof typeof VALUES;
}

interface Kind {
  /** The body's kind. */
  kind: 'pretrain' | 'usage' | 'fine_tune' | 'batch';
  summary: string;
  details: string;
  /** The operand, where there is one. */
  file: boolean;
  options: Record<string, Option>;
}

const MODEL_DATE: Record<string, Option> = {
  date: { value: 'YYYY-MM-DD', text: 'at the prices of which day (now)' },
};

const KINDS: Record<string, Kind> = {
  'fine-tune': {
    kind: 'fine_tune',
    summary: 'training a model on a file of examples (JSONL)',
    details: `Counts the file by the published tokeniser of the model, by bytes where there is none, and says what is wrong with which
line. The file is read as it is and sent nowhere. --epochs auto follows OpenAI's published rule.`,
    file: true,
    options: {
      model: { value: 'NAME', text: 'what is trained, such as gpt-4o-mini' },
      epochs: { value: 'N', text: 'how often each example is trained, or auto (auto)', as: 'epochs' },
      hours: { value: 'N', text: 'the most hours, for a model whose training is billed by them' },
      ...MODEL_DATE,
    },
  },
  batch: {
    kind: 'batch',
    summary: 'a batch of calls (JSONL), beside the same calls sent singly',
    details: `Each call is bounded as the gateway bounds it, so that the bill is never above; lines may differ in model and endpoint. A
call without an output limit is taken at the most that its model writes, or at --answer-tokens.`,
    file: true,
    options: {
      'answer-tokens': { value: 'N', text: 'output tokens of a call that sets no limit', as: 'integer' },
      ...MODEL_DATE,
    },
  },
  pretrain: {
    kind: 'pretrain',
    summary: 'training a model from nothing: GPU-hours, years, cost',
    details: `The work is --flops, or --parameters and --tokens (6 operations for each parameter and token), or --preset gpt-3. Numbers may
be written as 175B, 3.14e23 or 1,000.`,
    file: false,
    options: {
      preset: { value: 'NAME', text: 'a published training: gpt-3' },
      flops: { value: 'N', text: 'operations of the whole training' },
      parameters: { value: 'N', text: 'of the model' },
      tokens: { value: 'N', text: 'that it is trained on' },
      gpu: { value: 'NAME', text: 'v100, a100 or h100' },
      tflops: {
        value: 'N',
        text: 'instead of --gpu: what one computes at most, in 10^12 operations a second',
      },
      utilisation: { value: 'PERCENT', text: 'of that which training reaches (100)' },
      'usd-per-hour': { value: 'USD', text: 'of one GPU' },
      gpus: { value: 'N', text: 'how many work at once: says how long it takes' },
    },
  },
  usage: {
    kind: 'usage',
    summary: 'an application in a month, by model, and how far a credit goes',
    details: `Without --models: all that write text and were served on that day, from the cheapest to the dearest.`,
    file: false,
    options: {
      'calls-per-day': { value: 'N', text: 'how many calls', as: 'integer' },
      'prompt-tokens': { value: 'N', text: 'input tokens of a call', as: 'integer' },
      'cached-tokens': { value: 'N', text: 'of them, those from the cache (0)', as: 'integer' },
      'answer-tokens': { value: 'N', text: 'output tokens of a call', as: 'integer' },
      days: { value: 'N', text: 'of a month (30)', as: 'integer' },
      ...MODEL_DATE,
      tier: { value: 'NAME', text: 'default, flex, priority or batch (default)' },
      models: { value: 'A,B', text: 'only these', as: 'list' },
      'credit-usd': { value: 'USD', text: 'a prepaid amount (18.00)' },
    },
  },
};

export type EstimateLine =
  | { kind: 'run'; body: Record<string, unknown>; file: string | null; format: Format }
  | { kind: 'help'; text: string }
  | { kind: 'wrong'; text: string };

/** Returns what the arguments after `estimate` ask for. */
export function readEstimateLine(argv: readonly string[]): EstimateLine {
  const [name, ...args] = argv;
  if (name === undefined || name === '--help' || name === '-h') return { kind: 'help', text: overview() };
  const kind = Object.hasOwn(KINDS, name) ? KINDS[name] : undefined;
  if (kind === undefined) return { kind: 'wrong', text: `estimate: there is no '${name}'\n\n${overview()}` };
  try {
    return readKind(name, kind, args);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return wrong(name, error.message);
  }
}

function readKind(name: string, kind: Kind, args: string[]): EstimateLine {
  const options: ParseArgsOptionsConfig = { help: { type: 'boolean', short: 'h' } };
  for (const flag of [...Object.keys(kind.options), 'format']) options[flag] = { type: 'string' };
  const { values, positionals } = parseArgs({ args, options, allowPositionals: true });
  if (values.help === true) return { kind: 'help', text: help(name, kind) };
  if (positionals.length !== (kind.file ? 1 : 0)) {
    const found = positionals.length === 0 ? 'none' : positionals.join(' ');
    return wrong(name, `takes ${kind.file ? 'one FILE' : 'no arguments'}, found ${found}`);
  }
  const format = FORMATS.find((each) => each === (values.format ?? 'text'));
  if (format === undefined) return wrong(name, `--format must be one of ${FORMATS.join(', ')}`);
  const body: Record<string, unknown> = { kind: kind.kind };
  for (const [flag, { as }] of Object.entries(kind.options)) {
    const text = values[flag];
    if (typeof text !== 'string') continue;
    if (as === 'integer' && !WHOLE.test(text)) return wrong(name, `--${flag} must be a whole number`);
    body[fieldOf(flag)] = as === undefined ? text : VALUES[as](text);
  }
  return { kind: 'run', body, file: positionals[0] ?? null, format };
}

/** The field of the body that an option fills. */
function fieldOf(flag: string): string {
  return flag.replaceAll('-', '_');
}

/** Returns a message about the body in the words of the command line: `calls_per_day` is `--calls-per-day`, `file` its operand. */
export function inFlags(message: string): string {
  return message.replace(/^([a-z_]+)(?=[:[])/, (field) =>
    field === 'file' ? 'FILE' : `--${field.replaceAll('_', '-')}`,
  );
}

function wrong(name: string, what: string): EstimateLine {
  return {
    kind: 'wrong',
    text: `estimate ${name}: ${what}\n\n'tollgate estimate ${name} --help' lists the options.\n`,
  };
}

function overview(): string {
  const width = Math.max(...Object.keys(KINDS).map((name) => name.length)) + 2;
  const lines = Object.entries(KINDS).map(([name, { summary }]) => `  ${name.padEnd(width)}${summary}`);
  return `Usage: tollgate estimate <kind> [options]

Says what something would cost, before it is started. Nothing is sent anywhere.

${lines.join('\n')}

'tollgate estimate <kind> --help' lists the options of one. Prices are those of the database that DATABASE_URL names;
where it is unset, those that come with Tollgate. docs/TRAINING.md has examples.
`;
}

const COMMON: Record<string, Option> = {
  format: { value: 'NAME', text: 'text, json or csv (text)' },
};

function help(name: string, { summary, details, file, options }: Kind): string {
  const rows = Object.entries({ ...options, ...COMMON }).map(
    ([flag, { value, text }]) => [`--${flag} ${value}`, text] as const,
  );
  const width = Math.max(...rows.map(([flag]) => flag.length)) + 2;
  const lines = [...rows.map(([flag, text]) => `  ${flag.padEnd(width)}${text}`), '  --help'];
  return `Usage: tollgate estimate ${name}${file ? ' FILE' : ''} [options]

${summary[0]?.toUpperCase()}${summary.slice(1)}.

${details}

${lines.join('\n')}
`;
}

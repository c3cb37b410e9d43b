/** The command `tollgate simulator`: the simulated OpenAI alone, until SIGINT or SIGTERM. */
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { FAULT_PRESETS, type FaultPreset, LIMIT_NAMES, type Mode, USAGE_REPORTS } from './profile.ts';
import { HABITS, REASONING_CONTEXTS } from './reading.ts';
import { startSimulator } from './simulator.ts';
import { TOKENISERS } from './tokens.ts';

const HELP = `Usage: tollgate simulator [options]

A simulated OpenAI API on this machine. It serves /v1 like the real one, bills every request at the published
prices and keeps its own invoice: GET /invoice, GET /invoice/total. GET or PATCH /profile while it runs.
The organization's usage reports, costs, projects and keys (/v1/organization/…) are made from the same lines.

  --port <number>        where to listen (8788; 0: any free port)
  --host <address>       (127.0.0.1)
  --seed <number>        everything random derives from it (1)
  --mode <mode>          normal, or worst: every request is billed at the most that it allows
  --faults <preset>      ${Object.keys(FAULT_PRESETS).join(', ')} (none)
  --median-output <n>    output tokens, median (60)
  --p99-output <n>       output tokens, 99th percentile (400)
  --first-byte-ms <n>    before the headers (0)
  --chunk-ms <n>         between two events of a stream (0)
  --tokens-per-s <n>     how fast a model writes (0: at once)
  --limit-names <which>  names of a chat's limit: ${LIMIT_NAMES.join(', ')} (openai)
  --ignore-limits        whatever output limit is asked for, the lengths above are written
  --hidden-reasoning <n> tokens of reasoning that no limit covers and no text shows (0)
  --usage <how>          a stream reports it: ${USAGE_REPORTS.join(', ')} (once)
  --chunk-tokens <n>     tokens of one event of a stream (0: not counted)
  --tokeniser <which>    ${TOKENISERS.join(', ')} (quarter)
  --habit <which>        what it counts beside texts: ${HABITS.join(', ')} (frames)
  --reasoning <which>    earlier reasoning that is read again: ${REASONING_CONTEXTS.join(', ')} (random)
  --tool-calls <percent> how often a model calls a tool that its prompt does not name (0)
  --webhook-url <url>    where it tells that jobs have ended (nowhere)
  --webhook-secret <s>   signs that: whsec_ and base64
  --webhook-delay-ms <n> from the end of a job (0)
  --webhook-loss <percent>, --webhook-repeats <percent>  how many are never sent, or sent twice (0)
  --stops-with-client    a client that leaves is billed what was written until then
  --api-key <key>        the only key accepted (any)
  --admin-key <key>      the only key that opens the usage reports (any that begins with sk-admin-)
  --max-lines <n>        invoice lines kept in memory (1000000)
  --help

A prompt that names a tool makes the model call it: 'get_weather {"city":"Paris"} and get_time, then book'.
A request may order its own fate: "x-simulator: fault=cut_mid_stream,output=1234,chunks=100,chunk_ms=5,tool_calls=2".
`;

function whole(name: string, text: string): number {
  if (!/^\d{1,10}$/.test(text))
    throw new RangeError(`--${name} is a whole number, not ${JSON.stringify(text)}`);
  return Number(text);
}

function oneOf<Value extends string>(name: string, text: string, values: readonly Value[]): Value {
  const value = values.find((each) => each === text);
  if (value === undefined)
    throw new RangeError(`--${name} is one of ${values.join(', ')}, not ${JSON.stringify(text)}`);
  return value;
}

function isMode(text: string): text is Mode {
  return text === 'normal' || text === 'worst';
}

function isPreset(text: string): text is FaultPreset {
  return Object.hasOwn(FAULT_PRESETS, text);
}

const OPTIONS = {
  port: { type: 'string', default: '8788' },
  host: { type: 'string', default: '127.0.0.1' },
  seed: { type: 'string', default: '1' },
  mode: { type: 'string', default: 'normal' },
  faults: { type: 'string', default: 'none' },
  'median-output': { type: 'string', default: '60' },
  'p99-output': { type: 'string', default: '400' },
  'first-byte-ms': { type: 'string', default: '0' },
  'chunk-ms': { type: 'string', default: '0' },
  'tokens-per-s': { type: 'string', default: '0' },
  'limit-names': { type: 'string', default: 'openai' },
  'ignore-limits': { type: 'boolean', default: false },
  'hidden-reasoning': { type: 'string', default: '0' },
  usage: { type: 'string', default: 'once' },
  'chunk-tokens': { type: 'string', default: '0' },
  tokeniser: { type: 'string', default: 'quarter' },
  habit: { type: 'string', default: 'frames' },
  reasoning: { type: 'string', default: 'random' },
  'tool-calls': { type: 'string', default: '0' },
  'webhook-url': { type: 'string', default: '' },
  'webhook-secret': { type: 'string', default: '' },
  'webhook-delay-ms': { type: 'string', default: '0' },
  'webhook-loss': { type: 'string', default: '0' },
  'webhook-repeats': { type: 'string', default: '0' },
  'stops-with-client': { type: 'boolean', default: false },
  'api-key': { type: 'string' },
  'admin-key': { type: 'string' },
  'max-lines': { type: 'string', default: '1000000' },
  help: { type: 'boolean', default: false },
} as const;

/**
 * Runs until a signal.
 * @throws RangeError or TypeError on arguments that make no sense; an error with a `syscall` when it cannot listen
 */
export async function run(argv: string[]): Promise<void> {
  const { values } = parseArgs({
    args: argv,
    options: OPTIONS,
  });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const { mode, faults, 'api-key': apiKey, 'admin-key': adminKey } = values;
  if (!isMode(mode)) throw new RangeError(`--mode is normal or worst, not ${JSON.stringify(mode)}`);
  if (!isPreset(faults)) {
    const presets = Object.keys(FAULT_PRESETS).join(', ');
    throw new RangeError(`--faults is one of ${presets}, not ${JSON.stringify(faults)}`);
  }
  const usage = oneOf('usage', values.usage, USAGE_REPORTS);
  const limitNames = oneOf('limit-names', values['limit-names'], LIMIT_NAMES);
  const simulator = await startSimulator({
    port: whole('port', values.port),
    host: values.host,
    seed: whole('seed', values.seed),
    mode,
    profile: {
      faults: FAULT_PRESETS[faults],
      medianOutputTokens: whole('median-output', values['median-output']),
      p99OutputTokens: whole('p99-output', values['p99-output']),
      firstByteMs: whole('first-byte-ms', values['first-byte-ms']),
      chunkMs: whole('chunk-ms', values['chunk-ms']),
      outputTokensPerSecond: whole('tokens-per-s', values['tokens-per-s']),
      limitNames,
      ignoresLimits: values['ignore-limits'],
      hiddenReasoningTokens: whole('hidden-reasoning', values['hidden-reasoning']),
      usageReports: usage,
      chunkTokens: whole('chunk-tokens', values['chunk-tokens']),
      stopsWithClient: values['stops-with-client'],
      tokeniser: oneOf('tokeniser', values.tokeniser, TOKENISERS),
      habit: oneOf('habit', values.habit, HABITS),
      reasoningContext: oneOf('reasoning', values.reasoning, REASONING_CONTEXTS),
      toolCallChance: whole('tool-calls', values['tool-calls']) / 100,
      webhookUrl: values['webhook-url'],
      webhookSecret: values['webhook-secret'],
      webhookDelayMs: whole('webhook-delay-ms', values['webhook-delay-ms']),
      webhookLossChance: whole('webhook-loss', values['webhook-loss']) / 100,
      webhookRepeatChance: whole('webhook-repeats', values['webhook-repeats']) / 100,
    },
    ...(apiKey === undefined ? {} : { apiKey }),
    ...(adminKey === undefined ? {} : { adminKey }),
    maxInvoiceLines: whole('max-lines', values['max-lines']),
  });
  process.stdout.write(`simulated OpenAI listening on ${simulator.url}\n`);
  await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
  await simulator.close();
}

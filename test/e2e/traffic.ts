/** A day of traffic in small: calls of every operation, client and upstream fault, all of them functions of a seed. */
import type { FaultName } from '../../src/simulator/faults.ts';
import { type Random, seededRandom } from '../../src/simulator/random.ts';

export type Client = 'openai' | 'openai6' | 'raw';
export type Leaving = 'mid-stream' | 'before the first byte';
export type PostPath = '/chat/completions' | '/responses' | '/embeddings' | '/completions' | '/moderations';

export interface PlannedCall {
  client: Client;
  path: PostPath | '/models' | `/models/${string}`;
  /** Null: a GET. */
  body: Record<string, unknown> | null;
  stream: boolean;
  /** When the client goes away; null: it stays until the end. */
  leaves: Leaving | null;
  fault: FaultName | null;
  /** The header `x-simulator`. */
  directives: string;
}

/** Every way in which the simulated upstream lets its caller down. */
export const FAULTS: FaultName[] = [
  'rate_limit',
  'insufficient_quota',
  'server_error',
  'cut_before_headers',
  'hang',
  'html_500',
  'html_502',
  'html_503',
  'html_504',
  'slow_first_byte',
  'slow_chunks',
  'cut_mid_stream',
  'no_usage',
  'gzip',
];

/** Of more, the breaker turns a team's calls away for good parts of a minute. */
const FAULTY = 0.2;

const TEXTS = [
  'hello',
  'Wie geht es?',
  '漢字とかな',
  '🦊🦊🦊',
  'a'.repeat(4000),
  '"usage":{"total_tokens":1}',
];
const CHAT_MODELS = [
  'gpt-4o-mini',
  'gpt-4o-2024-05-13',
  'gpt-4.1-mini-2025-04-14',
  'ft:gpt-4.1-mini-2025-04-14:acme::1a2b3c',
  'gpt-5-mini',
  'gpt-5.6-luna',
  'gpt-6.2-sol',
  'o4-mini',
];
const PRIORITY_MODELS = new Set(['gpt-4o-mini', 'gpt-5-mini', 'gpt-5.6-luna', 'gpt-6.2-sol', 'o4-mini']);

/** The same seed plans the same calls. */
export function planTraffic(seed: number, count: number): PlannedCall[] {
  return Array.from({ length: count }, (_, index) => planCall(seededRandom(seed, `call ${index}`)));
}

function planCall(random: Random): PlannedCall {
  const chance = (probability: number) => random() < probability;
  const pick = <Item>(items: readonly Item[]): Item => items[Math.floor(random() * items.length)]!;
  const client = pick<Client>(['openai', 'openai6', 'raw']);
  const fault = chance(FAULTY) ? pick(FAULTS) : null;
  const directives = [`fault=${fault ?? 'none'}`, `billed=${chance(0.5)}`];
  const operation = random();
  if (operation < 0.05) {
    const path = chance(0.5) ? '/models' : `/models/${pick(CHAT_MODELS)}`;
    return {
      client,
      path: path as '/models',
      body: null,
      stream: false,
      leaves: null,
      fault: null,
      directives: '',
    };
  }
  const path: PostPath =
    operation < 0.5
      ? '/chat/completions'
      : operation < 0.75
        ? '/responses'
        : operation < 0.85
          ? '/completions'
          : operation < 0.95
            ? '/embeddings'
            : '/moderations';
  const body = planBody(path, chance, pick);
  const stream = body.stream === true;
  const leaves = chance(stream ? 0.25 : 0.1)
    ? stream && chance(0.6)
      ? 'mid-stream'
      : 'before the first byte'
    : null;
  if (leaves === 'before the first byte') directives.push('first_byte_ms=60');
  if (leaves === 'mid-stream') directives.push('chunk_ms=2', 'chunks=20');
  return { client, path, body, stream, leaves, fault, directives: directives.join(',') };
}

function planBody(
  path: PostPath,
  chance: (probability: number) => boolean,
  pick: <Item>(items: readonly Item[]) => Item,
): Record<string, unknown> {
  const text = pick(TEXTS);
  if (path === '/moderations') return { input: text };
  if (path === '/embeddings') {
    return {
      model: pick(['text-embedding-3-small', 'text-embedding-ada-002']),
      input: chance(0.5) ? [text, 'two'] : text,
    };
  }
  const body: Record<string, unknown> = {};
  if (chance(0.5)) body.stream = true;
  if (path === '/completions') {
    body.model = pick(['gpt-3.5-turbo-instruct', 'davinci-002']);
    body.prompt = chance(0.3) ? [text, 'two'] : text;
    if (chance(0.5)) body.max_tokens = pick([1, 30, 200]);
    if (chance(0.3)) body.n = 2;
    else if (body.stream !== true && chance(0.4)) body.best_of = 3;
    return body;
  }
  body.model = pick(CHAT_MODELS);
  const limited = chance(0.6);
  if (PRIORITY_MODELS.has(String(body.model)) && chance(0.4)) {
    body.service_tier = pick(['auto', 'default', 'priority']);
  }
  if (path === '/responses') {
    body.input = chance(0.5) ? text : [{ role: 'user', content: [{ type: 'input_text', text }] }];
    if (limited) body.max_output_tokens = pick([16, 100, 2000]);
    return body;
  }
  body.messages = [
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: text },
  ];
  if (limited) body.max_completion_tokens = pick([1, 100, 2000]);
  if (chance(0.2)) body.n = 3;
  if (chance(0.1)) body.prediction = { type: 'content', content: text };
  if (body.stream && chance(0.4)) body.stream_options = { include_usage: chance(0.7) };
  return body;
}

/** The calls of an attack: every kind that a budget must bound differently, all of them functions of the seed. */
import { seededRandom } from '../../src/simulator/random.ts';

export type Client = 'openai' | 'openai6' | 'raw';

export interface Call {
  client: Client;
  path: '/chat/completions' | '/responses';
  body: Record<string, unknown> & { stream?: boolean };
  /** How the upstream is to take its time: calls have to be in flight when something is killed. */
  directives: string;
  /** What it sends as `x-tollgate-tags`; missing: nothing. */
  tags?: string;
}

const CLIENTS: readonly Client[] = ['openai', 'openai6', 'raw'];
const MODELS = ['gpt-4o-mini', 'gpt-4.1-mini', 'gpt-5-mini'] as const;
const TEXTS = [
  'hello',
  'Wie geht es dir?',
  '漢字とかな',
  'Name three bridges and who paid for them. '.repeat(8),
];
/** What most clients write in; the upstream's answers are mostly well below. */
const OUTPUT_LIMIT = 400;
const OPEN_ENDED_SHARE = 0.1;

/** Which kind of client makes the calls of a number. */
function clientOf(index: number): Client {
  return CLIENTS[index % CLIENTS.length]!;
}

/** The call that client `client` makes as its `turn`-th. */
export function planCall(seed: number, client: number, turn: number): Call {
  const random = seededRandom(seed, `client ${client} turn ${turn}`);
  const pick = <Item>(items: readonly Item[]): Item => items[Math.floor(random() * items.length)]!;
  const model = pick(MODELS);
  const text = pick(TEXTS);
  const stream = random() < 0.5;
  const limit = random() < OPEN_ENDED_SHARE ? null : OUTPUT_LIMIT;
  const latency = 300 + Math.floor(random() * 900);
  const directives = stream
    ? `chunks=10,first_byte_ms=100,chunk_ms=${Math.floor(latency / 10)}`
    : `first_byte_ms=${latency}`;
  const path = random() < 0.3 ? '/responses' : '/chat/completions';
  const body: Call['body'] = { model, ...(stream ? { stream } : {}) };
  if (path === '/responses') {
    body.input = text;
    if (limit !== null) body.max_output_tokens = limit;
  } else {
    body.messages = [{ role: 'user', content: text }];
    if (limit !== null) body.max_completion_tokens = limit;
  }
  return { client: clientOf(client), path, body, directives };
}

/** What a client still tries when its call was too much for the rest of the budget. */
export function smallestCall(client: number): Call {
  const messages = [{ role: 'user', content: 'hi' }];
  const body = { model: 'gpt-4o-mini', messages, max_completion_tokens: 16 };
  return { client: clientOf(client), path: '/chat/completions', body, directives: 'first_byte_ms=100' };
}

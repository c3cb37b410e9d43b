/**
 * A gateway that checks first and books afterwards, as gateways commonly do: it reads from Postgres what was spent, lets
 * the call pass if that is below the budget, and adds its cost once the answer is complete. It is there to be attacked
 * beside Tollgate. It is an honest one: it refuses calls while Postgres is away, meters streams, reads to their end what
 * clients leave, and books what it could not book again and again, for as long as it lives.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { Agent } from 'undici';
import { uuidV7 } from '../src/ledger/events.ts';
import { openClient } from '../src/store/database.ts';

const { PORT, DATABASE_URL, OPENAI_BASE_URL, OPENAI_API_KEY } = process.env;
const upstream = new Agent({ connections: 1024 });
const sql = openClient(DATABASE_URL!, 10);

/** Pico-USD a token: input, cached input, output. */
const PRICES: Record<string, [bigint, bigint, bigint]> = {
  'gpt-4o-mini': [150_000n, 75_000n, 600_000n],
  'gpt-4.1-mini': [400_000n, 100_000n, 1_600_000n],
  'gpt-5-mini': [250_000n, 25_000n, 2_000_000n],
};
const BOOK_AGAIN_MS = 200;

interface Request {
  model: string;
  stream?: boolean;
  stream_options?: object;
}

interface Usage {
  prompt_tokens?: number;
  input_tokens?: number;
  completion_tokens?: number;
  output_tokens?: number;
  prompt_tokens_details?: { cached_tokens: number };
  input_tokens_details?: { cached_tokens: number };
}

async function serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = Buffer.concat(await incoming.toArray());
  if (incoming.url === '/readyz') {
    await sql`select 1`;
    response.end('{}');
  } else if (incoming.url === '/budget') {
    await sql`update naive_budget set amount_usd = ${body.toString()}::numeric`;
    response.end('{}');
  } else await handle(incoming, body, response);
}

async function handle(incoming: IncomingMessage, body: Buffer, response: ServerResponse): Promise<void> {
  const request = JSON.parse(body.toString()) as Request;
  const prices = PRICES[request.model];
  if (!prices) return refuse(response, 400, 'unknown_price');
  let left: boolean;
  try {
    const [budget] = await sql<{ left: boolean }[]>`select spent_usd < amount_usd as left from naive_budget`;
    left = budget!.left;
  } catch {
    return refuse(response, 503, 'ledger_unavailable');
  }
  if (!left) return refuse(response, 429, 'insufficient_quota');
  const id = uuidV7(Date.now());
  const answer = await forward(incoming, request, id, response);
  const usage = usageIn(answer, request.stream === true);
  if (usage) await book(id, costOf(usage, prices));
}

/** Sends the call on and its answer back; answers the answer's text once all of it is here. */
async function forward(incoming: IncomingMessage, request: Request, id: string, response: ServerResponse) {
  const path = incoming.url!.slice('/v1'.length);
  const wantsUsage = request.stream && path === '/chat/completions';
  const body = wantsUsage ? { ...request, stream_options: { include_usage: true } } : request;
  const { origin, pathname } = new URL(OPENAI_BASE_URL! + path);
  const directives = incoming.headers['x-simulator'];
  const answer = await upstream.request({
    origin,
    path: pathname,
    method: 'POST',
    headers: {
      authorization: `Bearer ${OPENAI_API_KEY}`,
      'content-type': 'application/json',
      'x-client-request-id': id,
      ...(directives ? { 'x-simulator': directives } : {}),
    },
    body: JSON.stringify(body),
  });
  response.writeHead(answer.statusCode, { 'content-type': String(answer.headers['content-type']) });
  const chunks: Buffer[] = [];
  for await (const chunk of answer.body as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    response.write(chunk);
  }
  response.end();
  return Buffer.concat(chunks).toString();
}

function usageIn(answer: string, isStream: boolean): Usage | null {
  const objects = isStream
    ? answer.split('\n').filter((line) => line.startsWith('data: {') && line.includes('"usage":{'))
    : [`data: ${answer}`];
  const last = objects.at(-1);
  if (!last) return null;
  const object = JSON.parse(last.slice('data: '.length)) as { usage?: Usage; response?: { usage: Usage } };
  return object.usage ?? object.response?.usage ?? null;
}

function costOf(usage: Usage, [input, cachedInput, output]: [bigint, bigint, bigint]): bigint {
  const cached = (usage.prompt_tokens_details ?? usage.input_tokens_details)?.cached_tokens ?? 0;
  const uncached = (usage.prompt_tokens ?? usage.input_tokens ?? 0) - cached;
  const written = usage.completion_tokens ?? usage.output_tokens ?? 0;
  return BigInt(uncached) * input + BigInt(cached) * cachedInput + BigInt(written) * output;
}

/** The call and its cost, together or not at all; a second try after a lost commit changes nothing. */
async function book(id: string, costPicoUsd: bigint): Promise<void> {
  const cost = sql`${costPicoUsd.toString()}::numeric / 1000000000000`;
  for (;;) {
    try {
      await sql`
        with booked as (
          insert into naive_calls values (${id}, ${cost}) on conflict do nothing returning cost_usd)
        update naive_budget set spent_usd = spent_usd + coalesce((select sum(cost_usd) from booked), 0)`;
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, BOOK_AGAIN_MS));
    }
  }
}

function refuse(response: ServerResponse, status: number, code: string): void {
  response.writeHead(status, { 'content-type': 'application/json', 'x-should-retry': 'false' });
  response.end(JSON.stringify({ error: { message: code, type: code, code, param: null } }));
}

await sql`select pg_advisory_lock(1)`;
await sql`create table if not exists naive_calls (id uuid primary key, cost_usd numeric(24, 12) not null)`;
await sql`create table if not exists naive_budget as select 0::numeric(24, 12) as amount_usd, 0::numeric(24, 12) as spent_usd`;
await sql`select pg_advisory_unlock_all()`;
process.on('SIGTERM', () => process.exit(0));
createServer((incoming, response) => {
  serve(incoming, response).catch(() => response.destroy());
}).listen(Number(PORT), '127.0.0.1');

/**
 * `npm run bench -- --holds`: how much of what is held for a call's input is billed, on conversations like those that clients make,
 * beside what bytes alone would hold and what an earlier build holds; and how far a small budget goes. Each build has an
 * upstream of its own that counts as published.
 */
import { mkdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ApiError } from '../../src/domain/errors.ts';
import { costUpTo, type Estimate, estimate } from '../../src/domain/estimate.ts';
import { usd } from '../../src/domain/money.ts';
import { RateCards } from '../../src/domain/price.ts';
import { findRoute, readRequest } from '../../src/openai/request.ts';
import { readSeed } from '../../src/store/seed/read-seed.ts';
import { previousBuild } from '../previous.ts';
import {
  type Client,
  chatAgent,
  Dice,
  firstTurns,
  images,
  OUTPUT_LIMIT,
  pixels,
  type Request,
  responsesAgent,
} from './conversations.ts';
import {
  admin,
  type Event,
  eventsOf,
  type Holds,
  makeTeam,
  RETRY_MS,
  send,
  startHolds,
  type Team,
  TRIES,
} from './gateway.ts';
import { CountingUpstream } from './upstream.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

interface Call {
  request: Request;
  event: Event;
}

/** @param previous the commit of the earlier build; null: none */
export async function benchHolds(
  dir: string,
  previous: string | null,
  progress: (text: string) => void,
): Promise<boolean> {
  mkdirSync(dir, { mode: 0o755 });
  const seed = readSeed();
  const rates = new RateCards(seed.prices, seed.models);
  const upstreams: CountingUpstream[] = [];
  const started = (build: string, name: string, isOlder: boolean) => {
    const upstream = new CountingUpstream(rates);
    upstreams.push(upstream);
    return startHolds({ build, dir: `${dir}/${name}`, rates, upstream, isOlder });
  };
  const earlier = previous === null ? null : previousBuild(previous);
  try {
    const holds = await started(ROOT, 'tollgate', false);
    const older = earlier === null ? null : await started(earlier.dir, 'previous', true);
    progress('conversations');
    const rows = await measure(holds);
    progress('budgets');
    const budgets = await spend(holds);
    let before: Row[] = [];
    if (older !== null) {
      progress('the same with the earlier build');
      before = await measure(older);
      budgets.push(...(await spend(older)));
    }
    console.log(
      `${table(rows, before)}\n\n${budgets.map(({ text, isMet }) => `${isMet ? 'met   ' : 'missed'} ${text}`).join('\n')}`,
    );
    return rows.every(({ isMet }) => isMet) && budgets.every(({ isMet }) => isMet);
  } finally {
    for (const upstream of upstreams) upstream.close();
  }
}

interface Row {
  name: string;
  calls: number;
  /** Of an earlier build: calls that were refused (an agent ends with the first), and that held less than their bill. */
  refused: number;
  short: number;
  input: Spread;
  bytes: Spread;
  dollars: number;
  cacheShare: number;
  isMet: boolean;
}

interface Spread {
  median: number;
  p95: number;
}

/** At most these, in input tokens. */
interface Goal {
  median: number;
  p95: number;
}
const LATER: Goal = { median: 1.15, p95: 2.1 };
const FIRST: Goal = { median: 1.6, p95: Number.POSITIVE_INFINITY };
const IMAGES: Goal = { median: 1.3, p95: Number.POSITIVE_INFINITY };

/** Where counting decides, new items are counted too. */
const COUNTED: Goal = { median: 1.1, p95: 2.1 };

const PLENTY = '1000.00';
const AGENTS = 3;
const TURNS = 60;

async function measure(holds: Holds): Promise<Row[]> {
  const rows: Row[] = [];
  const later = async (name: string, client: (dice: Dice) => Client, grant = PLENTY, goal = LATER) => {
    const calls: Call[] = [];
    let refused = 0;
    for (let agent = 1; agent <= AGENTS; agent++) {
      const team = await makeTeam(holds, grant);
      const all = await drive(holds, team, client(new Dice(agent)), grant !== PLENTY);
      if (holds.isOlder && all.length < TURNS) refused++;
      calls.push(...(await withEvents(holds, team, all)).slice(1));
    }
    rows.push(rowOf(holds, name, calls, refused, goal));
  };
  await later('agent, chat, gpt-5-mini', (dice) => chatAgent('gpt-5-mini', TURNS, dice));
  await later('agent, responses, gpt-5.6-terra', (dice) => responsesAgent('gpt-5.6-terra', TURNS, dice));
  await later('agent, responses, gpt-6-astra', (dice) => responsesAgent('gpt-6-astra', TURNS, dice));
  const poor = (dice: Dice) => chatAgent('gpt-5-mini', TURNS, dice);
  await later('agent, chat, gpt-5-mini, on $0.08', poor, '0.08', COUNTED);
  const alone = async (name: string, requests: Iterable<Request>, grant: string, goal: Goal) =>
    rows.push(await eachAlone(holds, `${name}, on $${grant} each`, requests, grant, goal));
  await alone('first turns, gpt-5-mini', firstTurns('gpt-5-mini', 40, new Dice(9)), '0.01', FIRST);
  await alone('first turns, gpt-4o', firstTurns('gpt-4o', 40, new Dice(9)), '0.10', FIRST);
  await alone('images, gpt-5-mini', images('gpt-5-mini', new Dice(5)), '0.03', IMAGES);
  await alone('images, gpt-4o', images('gpt-4o', new Dice(5)), '0.20', IMAGES);
  await alone('images, gpt-5.6-terra', images('gpt-5.6-terra', new Dice(5)), '0.20', IMAGES);
  return rows;
}

/** Each call of a team of its own, on so little that counting decides. */
async function eachAlone(
  holds: Holds,
  name: string,
  client: Iterable<Request>,
  grant: string,
  goal: Goal,
): Promise<Row> {
  const calls: Call[] = [];
  let refused = 0;
  for (const request of client) {
    const team = await makeTeam(holds, grant);
    const response = await send(holds, team, request);
    const text = await response.text();
    if (!response.ok && holds.isOlder) {
      refused++;
      continue;
    }
    if (!response.ok) throw new Error(`${name}: ${response.status} ${text}`);
    calls.push(...(await withEvents(holds, team, [request])));
  }
  return rowOf(holds, name, calls, refused, goal);
}

/** How far budgets go. */
async function spend(holds: Holds): Promise<{ text: string; isMet: boolean }[]> {
  const found: { text: string; isMet: boolean }[] = [];
  const of = holds.isOlder ? 'the earlier build: ' : '';
  const agent = await makeTeam(holds, '18.00');
  // 60,000 tokens of such texts.
  await drive(holds, agent, responsesAgent('gpt-5.6-terra', 20_000, new Dice(3), 230_000), true);
  const events = await eventsOf(holds, agent.id);
  const spent = events.reduce((sum, { cost_usd }) => sum + usd(cost_usd), 0n);
  const longest = Math.max(...events.map(({ input_tokens }) => input_tokens));
  const share = Number(spent) / Number(usd('18.00'));
  const what = `an agent on gpt-5.6-terra spends ${percent(share)} of $18 before its first refusal (goal 97 %)`;
  const isMet = holds.isOlder || share >= 0.97;
  found.push({ text: `${of}${what}: ${events.length} calls, history to ${longest} tokens`, isMet });
  if (holds.isOlder) return found;
  for (const [model, grant, agent] of AGENTS_ON_GRANTS) found.push(await beside(holds, model, grant, agent));
  holds.upstream.outputTokens = 100;
  const viewer = await makeTeam(holds, '0.10');
  const pixelCalls = await drive(holds, viewer, pixels('gpt-5-mini', 200), true);
  found.push({
    text: `${pixelCalls.length} of 200 calls with one pixel pass on $0.10 with gpt-5-mini`,
    isMet: pixelCalls.length === 200,
  });
  return found;
}

/** Agents of several families of models, each on a grant of some thirty of its longest holds. */
const AGENTS_ON_GRANTS = [
  ['gpt-4o', '2.00', chatAgent],
  ['gpt-4.1', '2.00', chatAgent],
  ['o4-mini', '1.00', responsesAgent],
  ['gpt-5-mini', '0.25', responsesAgent],
  ['gpt-5.6-terra', '3.00', responsesAgent],
  ['gpt-6-astra', '10.00', responsesAgent],
] as const;
const HISTORY_BYTES = 100_000;
/** Of a grant's share, below what exact counts would allow. */
const POINTS_MOST = 0.04;

/**
 * How much of a grant an agent spends before its first refusal, and how much it would with exact counts: until a call's own
 * input, as it was billed, at the rate of its hold, and its whole output do not fit any more. The agent goes on with another
 * grant to get there.
 */
async function beside(holds: Holds, model: string, grant: string, agentOf: typeof chatAgent) {
  const team = await makeTeam(holds, grant);
  const client = agentOf(model, 20_000, new Dice(7), HISTORY_BYTES);
  const amount = usd(grant);
  let spent = 0n;
  let own: bigint | null = null;
  let calls = 0;
  let refusals = 0;
  for (let next = client.next(); !next.done && refusals < TRIES; ) {
    const response = await send(holds, team, next.value);
    const text = await response.text();
    if (response.status === 429) refusals++;
    if (response.status === 429 && own === null) {
      own = spent;
      await admin(holds, 'POST', '/grants', { team_id: team.id, amount_usd: PLENTY });
    }
    if (response.status === 429 && own !== null) {
      await sleep(RETRY_MS);
      continue;
    }
    if (!response.ok) throw new Error(`${model}: ${response.status} ${text}`);
    const answer = JSON.parse(text) as { usage: { prompt_tokens?: number; input_tokens?: number } };
    const input = answer.usage.input_tokens ?? answer.usage.prompt_tokens ?? 0;
    if (spent + costUpTo(estimateOf(holds.rates, next.value, input), OUTPUT_LIMIT) > amount) break;
    spent += usd(response.headers.get('x-tollgate-cost-usd') ?? '');
    calls++;
    next = client.next(JSON.parse(text));
  }
  // Never refused by then: it went as far as exact counts.
  const share = Number(own ?? spent) / Number(amount);
  const exact = Number(spent) / Number(amount);
  const what = `an agent on ${model} spends ${percent(share)} of $${grant} before its first refusal`;
  return {
    text: `${what}; exact counts would allow ${percent(exact)}, in ${calls} calls (goal: within 4 points)`,
    isMet: share >= exact - POINTS_MOST,
  };
}

/** Lets a client work to its end, or to its first refusal; returns the calls that passed. */
async function drive(holds: Holds, team: Team, client: Client, untilRefused = false): Promise<Request[]> {
  const passed: Request[] = [];
  let next = client.next();
  while (!next.done) {
    const response = await send(holds, team, next.value);
    const text = await response.text();
    if (response.status === 429 && untilRefused) break;
    if (!response.ok && holds.isOlder) break;
    if (!response.ok) throw new Error(`${response.status} ${text}`);
    passed.push(next.value);
    next = client.next(JSON.parse(text));
  }
  return passed;
}

async function withEvents(holds: Holds, { id }: Team, requests: Request[]): Promise<Call[]> {
  const events = await eventsOf(holds, id);
  if (events.length !== requests.length)
    throw new Error(`${requests.length} calls left ${events.length} events`);
  return requests.map((request, index) => ({ request, event: events[index]! }));
}

/** @param inputAtMost null: by bytes alone */
function estimateOf(rates: RateCards, { path, body }: Request, inputAtMost: number | null): Estimate {
  const route = findRoute('POST', `/v1${path}`);
  const read = route === null ? null : readRequest(route, Buffer.from(JSON.stringify(body)));
  if (read === null || read instanceof ApiError) throw new Error(`not understood: ${path}`);
  const found = estimate(read.operation, rates.find(body.model, Date.now()), { strict: true, inputAtMost });
  if (found instanceof ApiError) throw found;
  return found;
}

function rowOf(
  { rates, isOlder }: Holds,
  name: string,
  calls: readonly Call[],
  refused: number,
  goal: Goal,
): Row {
  let short = 0;
  const inputs: number[] = [];
  const byBytes: number[] = [];
  let held = 0;
  let billed = 0;
  let discount = 0;
  for (const { request, event } of calls) {
    const bytes = estimateOf(rates, request, null);
    // At the rate of what was billed: the bytes alone may reach that of long contexts.
    const { inputTokens: counted, billing } = estimateOf(rates, request, event.input_tokens);
    const { fixed, perOutputToken, denominator } = billing;
    const perInputToken = fixed / counted;
    const hold = Number(usd(event.hold_usd));
    const inputTokens = (hold * denominator - OUTPUT_LIMIT * perOutputToken) / perInputToken;
    const cost = Number(usd(event.cost_usd));
    if (cost > hold || inputTokens < event.input_tokens) {
      if (!isOlder) throw new Error(`${name}: a call held too little`);
      short++;
    }
    inputs.push(inputTokens / event.input_tokens);
    byBytes.push(bytes.inputTokens / event.input_tokens);
    held += hold;
    billed += cost;
    discount +=
      (event.input_tokens * perInputToken + event.output_tokens * perOutputToken) / denominator - cost;
  }
  const input = spreadOf(inputs);
  const cacheShare = discount / (held - billed);
  const isMet = input.median <= goal.median && input.p95 <= goal.p95;
  return {
    name,
    calls: calls.length,
    refused,
    short,
    input,
    bytes: spreadOf(byBytes),
    dollars: held / billed,
    cacheShare,
    isMet,
  };
}

function spreadOf(values: number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  return { median: at(0.5), p95: at(0.95) };
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
const ratio = ({ median, p95 }: Spread): string => `${median.toFixed(2)} / ${p95.toFixed(2)}`;

/** @param before the same calls of an earlier build; empty: there is none */
function table(rows: readonly Row[], before: readonly Row[]): string {
  const cells = rows.map(({ name, calls, input, bytes, dollars, cacheShare, isMet }, index) => [
    name,
    String(calls),
    ratio(input),
    ratio(bytes),
    dollars.toFixed(1),
    percent(cacheShare),
    isMet ? 'met' : 'missed',
    ...before.slice(index, index + 1).flatMap(cellsBefore),
  ]);
  const head = [
    'Calls',
    'n',
    'hold / bill, input tokens',
    'by bytes',
    'dollars',
    'of that, cache discount',
    'goal',
    ...(before.length === 0 ? [] : ['earlier build: n', 'hold / bill', 'dollars']),
  ];
  return [head, head.map(() => '---'), ...cells].map((row) => `| ${row.join(' | ')} |`).join('\n');
}

function cellsBefore({ calls, refused, short, input, dollars }: Row): string[] {
  const less = short === 0 ? '' : `, ${short} below the bill`;
  const count = `${calls}${refused === 0 ? '' : `, ${refused} refused`}${less}`;
  return calls === 0 ? [count, '–', '–'] : [count, ratio(input), dollars.toFixed(1)];
}

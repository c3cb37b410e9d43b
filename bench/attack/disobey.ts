/**
 * An upstream that does not obey: it writes on beyond every output limit, thinks in secret, and reports its usage late,
 * partly, twice, never or in every chunk, in chunks of few or many tokens. Once so that its probe fails, once so that it
 * passes and disobeys afterwards, with and without a tokeniser. The judges are what reached the client, and its own invoice.
 *
 * A stream is written no faster than its client has it: the server sends a chunk once the client says that it has the last
 * one. Else what a busy machine lets it write before the gateway gets a processor would be measured, which no gateway can help.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type PicoUsd, usd } from '../../src/domain/money.ts';
import { formatUsd } from '../../src/domain/quantities.ts';
import { USAGE_REPORTS, type UsageReports } from '../../src/simulator/profile.ts';
import { adminGet, makeTeam } from './gateways.ts';
import { type House, inHouse } from './house.ts';

export interface DisobeyOptions {
  usages?: readonly UsageReports[];
  chunkTokens?: readonly number[];
  progress: (text: string) => void;
}

/** One way to disobey. */
interface Manner {
  usage: UsageReports;
  chunkTokens: number;
  /** `stream`: more text; `json`: the same; `hidden`: reasoning that no text shows. */
  kind: 'stream' | 'json' | 'hidden';
}

export interface DisobeyRow extends Manner {
  probe: 'failed' | 'passed';
  tokenizer: boolean;
  calls: number;
  /** Beyond the budget, or of a probe that passed: beyond the holds of the calls. */
  over: PicoUsd;
  /** The most output tokens of one call beyond the limit that it was sent with, as billed. */
  tokensOver: number;
  /** The same as they reached the client of a stream that is counted in chunks; 0: of no stream. */
  deliveredOver: number;
  /** Calls whose event is below their bill. */
  short: number;
}

const CHUNKS = [1, 8, 64];
/** Models of nearly the same price that do not reason by themselves; each is trusted, or not, apart. */
const MODELS = [
  'gpt-4o-mini',
  'gpt-4o-mini-2024-07-18',
  'gpt-4.1-nano',
  'gpt-4.1-nano-2025-04-14',
  'gpt-4.1-mini',
  'gpt-4.1-mini-2025-04-14',
];
/** What the server writes whatever is asked: all that its context has room for. */
const WINDOW_TOKENS = 20_480;
const LIMIT_TOKENS = 64;
const CALLS = 6;
const AT_ONCE = 9;
const ENV = {
  TOLLGATE_UPSTREAM_PROFILE: 'compatible',
  TOLLGATE_UPSTREAM_MAX_OUTPUT_TOKENS: String(WINDOW_TOKENS),
};

/** Runs every manner against a gateway whose probe failed, and against gateways whose probe passed. */
export async function runDisobey(options: DisobeyOptions): Promise<DisobeyRow[]> {
  const { usages = USAGE_REPORTS, chunkTokens = CHUNKS, progress } = options;
  const manners = usages.flatMap((usage) =>
    chunkTokens.flatMap((chunk) =>
      (['stream', 'json', 'hidden'] as const).map((kind): Manner => ({ usage, chunkTokens: chunk, kind })),
    ),
  );
  const rows = await failing(manners, progress);
  for (const tokenizer of [false, true])
    rows.push(...(await turning(manners, tokenizer, chunkTokens, progress)));
  return rows;
}

/** A server that ignores limits from the start: calls hold all that it can write. */
async function failing(manners: readonly Manner[], progress: (text: string) => void): Promise<DisobeyRow[]> {
  const simulator = ['--limit-names', 'either', '--ignore-limits', '--median-output', String(WINDOW_TOKENS)];
  simulator.push('--p99-output', String(WINDOW_TOKENS));
  return inHouse(houseOptions(1, simulator, ENV), async (house) => {
    const [replica] = house.replicas;
    const url = replica?.url ?? '';
    // Its first call, which its team cannot pay, makes the model known.
    const poor = await makeTeam(url, 'poor', '0.000001');
    await call(url, poor.key, MODELS[0] ?? '', { usage: 'once', chunkTokens: 1, kind: 'json' }, 'output=1');
    await probed(url, MODELS[0] ?? '', 'ignored');
    const rows: DisobeyRow[] = [];
    const attack = async (manner: Manner, index: number): Promise<void> => {
      // Two answers of the whole window and a half.
      const budgetUsd = '0.0312';
      const { key, teamId } = await makeTeam(url, `failing-${index}`, budgetUsd);
      const order =
        manner.kind === 'hidden'
          ? `output=500,hidden_reasoning=${WINDOW_TOKENS - 500}`
          : `output=${WINDOW_TOKENS}`;
      await Promise.all(Array.from({ length: CALLS }, () => call(url, key, MODELS[0] ?? '', manner, order)));
      const seen = await judge(house, url, teamId);
      const over = seen.billed > usd(budgetUsd) ? seen.billed - usd(budgetUsd) : 0n;
      rows.push({ ...manner, probe: 'failed', tokenizer: false, ...seen, deliveredOver: 0, over });
    };
    for (let at = 0; at < manners.length; at += AT_ONCE)
      await Promise.all(manners.slice(at, at + AT_ONCE).map((manner, index) => attack(manner, at + index)));
    progress(`a server that fails its probe: ${rows.length} manners`);
    return rows;
  });
}

/** A server that keeps a limit when it is probed, and no limit afterwards: one gateway for each size of chunks. */
async function turning(
  manners: readonly Manner[],
  tokenizer: boolean,
  chunkTokens: readonly number[],
  progress: (text: string) => void,
): Promise<DisobeyRow[]> {
  const env = { ...ENV, ...(tokenizer ? { TOLLGATE_UPSTREAM_TOKENIZER: 'o200k_base' } : {}) };
  const rows: DisobeyRow[] = [];
  for (const kind of ['stream', 'json', 'hidden'] as const) {
    const simulator = ['--limit-names', 'either', '--stops-with-client'];
    const found = await inHouse(houseOptions(chunkTokens.length, simulator, env), (house) =>
      Promise.all(
        manners
          .filter((manner) => manner.kind === kind)
          .map(async (manner): Promise<DisobeyRow> => {
            const url = house.replicas[chunkTokens.indexOf(manner.chunkTokens)]?.url ?? '';
            const model = MODELS[USAGE_REPORTS.indexOf(manner.usage)] ?? '';
            const { key, teamId } = await makeTeam(
              url,
              `turning-${manner.usage}-${manner.chunkTokens}`,
              '5.00',
            );
            await call(url, key, model, { ...manner, kind: 'json' }, 'output=5');
            await probed(url, model, 'kept');
            const lots = `ignore_limit=true,output=${kind === 'hidden' ? 200 : 2000}`;
            const order = kind === 'hidden' ? `${lots},hidden_reasoning=1800` : lots;
            const made = Array.from({ length: CALLS }, () => paced(house, url, key, model, manner, order));
            const events = Math.max(...(await Promise.all(made)));
            const deliveredOver = Math.max(0, events * manner.chunkTokens - LIMIT_TOKENS);
            const seen = await judge(house, url, teamId);
            return { ...manner, probe: 'passed', tokenizer, ...seen, deliveredOver, over: seen.overHolds };
          }),
      ),
    );
    rows.push(...found);
  }
  progress(
    `a server that passes its probe, ${tokenizer ? 'with a' : 'without'} tokeniser: ${rows.length} manners`,
  );
  return rows;
}

function houseOptions(replicas: number, simulator: string[], env: Record<string, string>) {
  return {
    gateway: 'tollgate' as const,
    replicas,
    workers: 1,
    budgetUsd: '1.00',
    citus: null,
    simulator,
    env,
  };
}

/** Waits until a gateway knows whether a model keeps its limits. Throws when it finds the other. */
async function probed(url: string, model: string, wanted: string): Promise<void> {
  for (let tries = 0; tries < 600; tries++) {
    const { limits } = await adminGet<{ limits: { operation: string; model: string; state: string }[] }>(
      url,
      'upstream',
    );
    const state = limits.find((each) => each.model === model && each.operation === 'chat.completions')?.state;
    if (state === wanted) return;
    if (state !== undefined && state !== 'unknown') throw new Error(`${model} is ${state}, not ${wanted}`);
    await delay(50);
  }
  throw new Error(`${model} was not probed`);
}

async function call(url: string, key: string, model: string, manner: Manner, order: string): Promise<void> {
  await (await ask(url, key, model, manner, order)).text();
}

/** Makes a call whose server waits for it, and returns how many events with text came. */
async function paced(
  { upstream }: House,
  url: string,
  key: string,
  model: string,
  manner: Manner,
  order: string,
): Promise<number> {
  if (manner.kind === 'json') {
    await call(url, key, model, manner, order);
    return 0;
  }
  const response = await ask(url, key, model, manner, `awaits_client=true,${order}`);
  const callId = response.headers.get('x-tollgate-request-id') ?? '';
  let events = 0;
  let rest = '';
  for await (const text of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    const came = lines.filter((line) => WITH_TEXT.test(line)).length;
    events += came;
    if (came > 0) await upstream.taken(callId, events);
  }
  return events;
}

const WITH_TEXT = /"content":"[^"]/;

function ask(url: string, key: string, model: string, manner: Manner, order: string): Promise<Response> {
  return fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${key}`,
      'content-type': 'application/json',
      'x-simulator': `usage=${manner.usage},chunk_tokens=${manner.chunkTokens},${order}`,
    },
    body: JSON.stringify({
      model,
      max_completion_tokens: LIMIT_TOKENS,
      messages: [{ role: 'user', content: 'briefly' }],
      stream: manner.kind !== 'json',
    }),
  });
}

interface Seen {
  calls: number;
  billed: PicoUsd;
  overHolds: PicoUsd;
  tokensOver: number;
  short: number;
}

/** Holds a team's events against their lines of the invoice. */
async function judge(house: House, url: string, teamId: string): Promise<Seen> {
  // An upstream that was told to stop has to notice.
  while ((await house.upstream.inFlight()).size > 0) await delay(50);
  const { data } = await adminGet<{ data: { id: string; cost_usd: string; hold_usd: string }[] }>(
    url,
    `events?team_id=${teamId}&limit=1000`,
  );
  const lines = new Map((await house.upstream.lines()).map((line) => [line.client_request_id, line]));
  const seen: Seen = { calls: 0, billed: 0n, overHolds: 0n, tokensOver: 0, short: 0 };
  for (const { id, cost_usd, hold_usd } of data) {
    const line = lines.get(id);
    if (line === undefined) continue;
    const cost = BigInt(line.cost_pico_usd);
    seen.calls++;
    seen.billed += cost;
    if (cost > usd(hold_usd)) seen.overHolds += cost - usd(hold_usd);
    if (cost > usd(cost_usd)) seen.short++;
    seen.tokensOver = Math.max(seen.tokensOver, line.usage.output_tokens - LIMIT_TOKENS);
  }
  return seen;
}

/** Where it is certain that a stream is stopped at its first chunk over: it can be counted while it passes. */
function isCounted({ kind, usage, chunkTokens, tokenizer }: DisobeyRow): boolean {
  if (kind !== 'stream') return false;
  return tokenizer || usage === 'every_chunk' || chunkTokens === 1;
}

/** Every promise that a row breaks. */
export function brokenDisobeyPromises(row: DisobeyRow): string[] {
  const name = `probe ${row.probe}, ${row.kind}, usage ${row.usage}, ${row.chunkTokens} tokens a chunk${row.tokenizer ? ', tokeniser' : ''}`;
  const broken: string[] = [];
  if (row.calls === 0) broken.push(`${name}: no call reached the upstream`);
  if (row.probe === 'failed' && row.over > 0n)
    broken.push(`${name}: $${formatUsd(row.over)} over the budget`);
  if (row.probe === 'failed' && row.short > 0) broken.push(`${name}: ${row.short} events below their bill`);
  if (row.probe === 'passed' && isCounted(row)) {
    if (row.deliveredOver > row.chunkTokens)
      broken.push(`${name}: the client got ${row.deliveredOver} tokens over its limit`);
    // Another one may be written before the upstream learns that it is stopped.
    if (row.tokensOver > 2 * row.chunkTokens)
      broken.push(`${name}: ${row.tokensOver} tokens over its limit are billed`);
  }
  return broken;
}

export function disobeyCells(rows: readonly DisobeyRow[]): string[][] {
  const title = [
    'usage',
    'tokens/chunk',
    'kind',
    'probe',
    'tokeniser',
    'calls',
    'most tokens over',
    'delivered',
    'dollars over',
  ];
  return [
    title,
    ...rows.map((row) => [
      row.usage,
      String(row.chunkTokens),
      row.kind,
      row.probe,
      row.tokenizer ? 'yes' : 'no',
      String(row.calls),
      String(Math.max(0, row.tokensOver)),
      String(row.deliveredOver),
      `$${formatUsd(row.over)}`,
    ]),
  ];
}

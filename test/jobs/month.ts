import { usd } from '../../src/domain/money.ts';
import { costOf, type RateCards } from '../../src/domain/price.ts';
import { formatUsd, type MeterName } from '../../src/domain/quantities.ts';
import { createDayReport } from '../../src/jobs/day-report.ts';
import { reconcileDays } from '../../src/jobs/reconcile-days.ts';
import { eventJson, factsJson, uuidV7 } from '../../src/ledger/events.ts';
import { eventFromJson } from '../../src/ledger/read-journal.ts';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { book, type FlushEvent } from '../../src/store/hot/flush.ts';
import { readRateBook } from '../../src/store/rate-cards.ts';
import { loadSeed } from '../../src/store/seed-load.ts';
import { createTestAdmin, type Json, type TestAdmin } from '../admin/support.ts';

const DAY_MS = 86_400_000;
const MONTH = Date.UTC(2026, 8, 1);
/** All days of the month are final then. */
export const NOW = '2026-10-05T12:00:00Z';
export const KEY = 'sk-gateway-of-the-month';
const OTHER = 'sk-other-application';
const never = new AbortController().signal;
export const dayOf = (day: number) => new Date(MONTH + (day - 1) * DAY_MS).toISOString().slice(0, 10);
export const momentOf = (day: number, second = 43_200) => MONTH + (day - 1) * DAY_MS + second * 1000;

export let admin: TestAdmin;
let simulator: Simulator;
let rates: RateCards;
export let teams: { team: Json; key: Json }[];
export const events: FlushEvent[] = [];
const planted: object[] = [];

/** Makes the ledger and the bill of the month. */
export async function openMonth(): Promise<void> {
  admin = await createTestAdmin(NOW);
  simulator = await startSimulator({ adminKey: 'sk-admin-month' });
  await loadSeed(admin.database);
  rates = await readRateBook(admin.database.sql);
  teams = [];
  for (const name of ['research', 'sales']) {
    const team = await admin.make('/teams', { name, plan: null });
    teams.push({ team, key: await admin.make('/keys', { team_id: team.id, name: 'app' }) });
  }
  await admin.make('/grants', { team_id: teams[1]!.team.id, amount_usd: '500', starts_at: '2026-08-01' });
  for (let day = 1; day <= 30; day++) ordinary(day);
  await plantDifferences();
  await book(admin.database.sql, events);
  await plant(planted);
}

export async function closeMonth(): Promise<void> {
  await simulator.close();
  await admin.close();
}

export async function plant(body: object): Promise<void> {
  const url = `${simulator.url.replace('/v1', '')}/plant`;
  const response = await fetch(url, { method: 'POST', body: JSON.stringify(body) });
  if (!response.ok) throw new Error(await response.text());
}

interface Call {
  model?: string;
  operation?: string;
  tier?: 'default' | 'priority' | 'batch';
  usage?: Partial<Record<MeterName, number>>;
  atMs?: number;
  team?: number;
  outcome?: 'settled' | 'unknown' | 'voided';
  provenance?: 'reported' | 'estimated' | 'unknown';
  reason?: string;
  /** Charged, where no usage says it. */
  costUsd?: string;
  forwardUs?: number;
  /** Among several. */
  upstream?: string;
}

const TEXT = { input_tokens: 1_234, cached_input_tokens: 512, output_tokens: 345 };
let salt = 0;

/** An event of the ledger; returns its id, usage and cost. */
export function enter(call: Call) {
  const { model = 'gpt-4o-mini', operation = 'chat.completions', tier = 'default', team = 0 } = call;
  const {
    outcome = 'settled',
    provenance = 'reported',
    reason = null,
    atMs = momentOf(1),
    forwardUs = 900_000,
  } = call;
  const usage = call.usage ?? TEXT;
  const price = rates.find(model, atMs)?.tiers[tier] ?? null;
  const cost = call.costUsd === undefined ? costOf(usage, price!)! : usd(call.costUsd);
  const id = uuidV7(atMs);
  const { team: owner, key } = teams[team]!;
  const facts = factsJson(
    id,
    '00000000-0000-0000-0000-000000000000',
    {
      ...{
        teamId: owner.id as never,
        keyId: key.id as never,
        operation,
        model,
        stream: false,
        endUser: null,
        departments: null,
      },
      ...{ outputLimit: null, priceId: price?.id ?? null, upstream: call.upstream ?? null },
    },
    cost,
  );
  const isKnown = outcome === 'settled' && provenance === 'reported';
  const ending = {
    ...{ outcome, provenance, reason, upstreamStatus: 200, upstreamRequestId: null, responseModel: null },
    ...{
      serviceTier: tier === 'default' ? null : tier,
      usage: isKnown ? usage : null,
      cost,
      priceId: price?.id ?? null,
    },
  };
  events.push(
    eventFromJson(eventJson(facts, ending as never, '[]', { reserve: 10, forward: forwardUs } as never)),
  );
  return { id, usage, cost, model, operation, tier, atMs };
}

/** A line of the bill. */
function bill(
  line: {
    model: string;
    operation: string;
    tier: string;
    atMs: number;
    usage?: object;
    usd?: string;
    units?: object;
    tools?: object[];
  },
  key = KEY,
) {
  const { model, operation, tier, atMs, usage, units, tools } = line;
  const at = new Date(atMs).toISOString();
  const more = {
    ...(line.usd === undefined ? {} : { usd: line.usd }),
    ...(units === undefined ? {} : { units }),
    ...(tools === undefined ? {} : { tools }),
  };
  planted.push({ kind: 'call', at, api_key: key, model, operation, service_tier: tier, usage, ...more });
}

/** What the gateway forwarded and the upstream billed. */
function both(call: Call) {
  const made = enter(call);
  bill(made);
  return made;
}

/** The traffic of a day: several teams, models, tiers and products. */
function ordinary(day: number): void {
  for (let at = 0; at < 4; at++) {
    salt++;
    const team = at % 2;
    const atMs = momentOf(day, 3_600 * (2 + at) + salt);
    both({ team, atMs, usage: { ...TEXT, input_tokens: 2_000 + 37 * salt, output_tokens: 101 + salt } });
    both({
      team,
      atMs,
      model: 'gpt-4o',
      operation: 'responses',
      usage: { ...TEXT, output_tokens: 77 + salt },
    });
  }
  const atMs = momentOf(day, 36_000 + salt);
  both({
    atMs,
    model: 'text-embedding-3-small',
    operation: 'embeddings',
    usage: { input_tokens: 5_003 + salt },
  });
  both({ atMs, model: 'gpt-4o', tier: 'priority', usage: { input_tokens: 3_007, output_tokens: 211 } });
  enter({ atMs, model: 'gpt-4o', outcome: 'voided', reason: 'upstream_error', costUsd: '0', usage: {} });
  unitsOf(SPEECH, { atMs, usage: { characters: 777 } }, 777);
  unitsOf(HEARD, { atMs, usage: { audio_seconds: 90_000_000 } }, 90);
  unitsOf(IMAGE, { atMs, usage: { images: 1 }, costUsd: '0.04' }, 1);
  const container = enter({
    atMs,
    model: 'container',
    operation: 'containers.create',
    costUsd: '0.03',
    usage: { container_sessions: 1 },
  });
  bill({ ...container, usage: {}, usd: '0.03', units: { unit: 'sessions', amount: 1 } });
  const stored = enter({
    atMs,
    model: 'vector_store',
    operation: 'vector_stores.storage',
    usage: { storage_gib_days: 1_000_000 },
  });
  bill({ ...stored, usage: {}, usd: formatUsd(stored.cost), units: { unit: 'bytes', amount: 2 ** 31 } });
  // Tools cost beside their tokens.
  withTools(atMs, { web_search_calls: 2 }, [WEB_SEARCH(2)]);
  withTools(atMs, { file_search_calls: 3 }, [FILE_SEARCH(3)]);
  withTools(atMs, { container_sessions: 1 }, [SESSION(1)]);
  withTools(atMs, { web_search_calls: 1, file_search_calls: 1 }, [WEB_SEARCH(1), FILE_SEARCH(1)]);
}

const SPEECH = { model: 'tts-1', operation: 'audio.speech', unit: 'characters' };
const HEARD = { model: 'whisper-1', operation: 'audio.transcriptions', unit: 'seconds' };
const IMAGE = { model: 'dall-e-3', operation: 'images.generations', unit: 'images' };

/** A call that is billed by another unit than tokens. */
function unitsOf({ unit, ...product }: typeof SPEECH, call: Call, amount: number): void {
  const made = enter({ ...product, ...call });
  bill({ ...made, usage: {}, usd: formatUsd(made.cost), units: { unit, amount } });
}

const toolOf = (tool: string, picoUsd: bigint) => (calls: number) => ({
  ...{ tool, calls, cost_pico_usd: String(picoUsd * BigInt(calls)) },
});
const WEB_SEARCH = toolOf('web_search', usd('0.01'));
const FILE_SEARCH = toolOf('file_search', usd('0.0025'));
const SESSION = toolOf('code_interpreter', usd('0.03'));
type Tools = ReturnType<typeof WEB_SEARCH>[];
const feesOf = (tools: Tools) => tools.reduce((sum, tool) => sum + BigInt(tool.cost_pico_usd), 0n);

/** A response for which the upstream ran tools; `billedMs`: when it is billed, where that is another day. */
function withTools(atMs: number, meters: Call['usage'], tools: Tools, billedMs = atMs): void {
  const usage = { ...TEXT, input_tokens: 9_001 };
  const cost = costOf(usage, rates.find('gpt-4o', atMs)!.tiers.default!)! + feesOf(tools);
  const call = { atMs, model: 'gpt-4o', operation: 'responses', forwardUs: billedMs - atMs + 20_000_000 };
  const costUsd = formatUsd(cost);
  const made = enter({ ...call, usage: { ...usage, ...meters }, costUsd });
  bill({ ...made, atMs: billedMs, usage, usd: costUsd, tools });
}

/** What is billed of an application's own call of tools, with the gateway's key or another. */
function toolsOutside(day: number, tools: Tools, key = KEY): void {
  const call = { model: 'gpt-4o', operation: 'responses', tier: 'default', atMs: momentOf(day, 50_000) };
  bill({ ...call, usage: {}, usd: formatUsd(feesOf(tools)), tools }, key);
  for (const tool of tools) expect_(day, 'outside_gateway', feesOf([tool]));
}

/** The same of what is billed by another unit than tokens. */
function unitsOutside(
  day: number,
  product: Partial<typeof SPEECH>,
  amount: number,
  usdBilled: string,
  key = KEY,
) {
  const { model = 'x', operation = 'x', unit = 'x' } = product;
  const call = { model, operation, tier: 'default', atMs: momentOf(day, 50_000), usage: {} };
  bill({ ...call, usd: usdBilled, units: { unit, amount } }, key);
  expect_(day, 'outside_gateway', usd(usdBilled));
}

/** By day, what reconciliation has to say, with exact dollars. */
export const expected = new Map<number, [kind: string, amount: bigint][]>();
export const expect_ = (day: number, kind: string, amount: bigint) =>
  expected.set(day, [...(expected.get(day) ?? []), [kind, amount]]);

const priceAt = (model: string, day: number, tier: 'default' | 'batch' = 'default') =>
  rates.find(model, momentOf(day))!.tiers[tier]!;
const costAt = (model: string, day: number, usage: Call['usage'], tier: 'default' | 'batch' = 'default') =>
  costOf(usage ?? TEXT, priceAt(model, day, tier))!;
/** Tokens of output that the gateway's calls to a model used on a day, at the standard tier. */
function outputOf(model: string, day: number): bigint {
  return events
    .map(
      ({ json }) =>
        JSON.parse(json) as {
          model: string;
          created_at: string;
          service_tier: string | null;
          output_tokens: number;
        },
    )
    .filter(
      (row) => row.model === model && row.created_at.startsWith(dayOf(day)) && row.service_tier === null,
    )
    .reduce((sum, row) => sum + BigInt(row.output_tokens), 0n);
}

async function plantDifferences(): Promise<void> {
  const outside = { input_tokens: 40_001, output_tokens: 3_003 };
  const call = (day: number, model: string, usage: object, tier = 'default', second = 50_000) => ({
    ...{ model, operation: 'chat.completions', tier, atMs: momentOf(day, second), usage },
  });
  // 2: another application calls with a key of its own.
  bill(call(2, 'gpt-4o', outside), OTHER);
  expect_(2, 'outside_gateway', costAt('gpt-4o', 2, { input_tokens: 40_001 }));
  expect_(2, 'outside_gateway', costAt('gpt-4o', 2, { output_tokens: 3_003 }));
  // 3: a line that no price is of.
  planted.push({
    kind: 'dollars',
    at: new Date(momentOf(3)).toISOString(),
    line_item: 'Data residency uplift',
    usd: '2.5',
  });
  expect_(3, 'unpriced_line', usd('2.5'));
  // 4: a token of output costs $0.75 a million, instead of $0.60, for a day.
  changePrice('gpt-4o-mini-2024-07-18, output', 4, '0.75', '0.6');
  expect_(4, 'price_changed', outputOf('gpt-4o-mini', 4) * 150_000n);
  // 5: two causes in one line item.
  changePrice('gpt-4o-2024-08-06, output', 5, '12.5', '10');
  bill(call(5, 'gpt-4o', { output_tokens: 3_003 }), OTHER);
  expect_(5, 'outside_gateway', 3_003n * 12_500_000n);
  expect_(5, 'price_changed', outputOf('gpt-4o', 5) * 2_500_000n);
  // 7 and 8: a batch that is held on one day is billed on the next.
  const batch = { input_tokens: 70_007, output_tokens: 9_009 };
  const job = enter({
    atMs: momentOf(7, 86_000),
    model: 'gpt-4o-mini',
    operation: 'batches.create',
    tier: 'batch',
    usage: batch,
  });
  await addJob(job.id, job.atMs, momentOf(8, 9_000));
  bill(call(8, 'gpt-4o-mini', batch, 'batch', 8_000));
  expect_(7, 'late_batch', -costAt('gpt-4o-mini', 7, batch, 'batch'));
  expect_(8, 'late_batch', costAt('gpt-4o-mini', 8, batch, 'batch'));
  // 9: the client leaves, the upstream bills all of it; 10: a call that was never served; 11: an estimate that was too low.
  const open = {
    model: 'gpt-4o-mini',
    provenance: 'unknown',
    outcome: 'unknown',
    costUsd: '0.05',
    usage: {},
  } as const;
  enter({ ...open, atMs: momentOf(9), reason: 'client_gone' });
  bill(call(9, 'gpt-4o-mini', TEXT));
  expect_(9, 'disconnect', costAt('gpt-4o-mini', 9, TEXT) - usd('0.05'));
  enter({ ...open, atMs: momentOf(10), reason: 'upstream_error', team: 1 });
  enter({ ...open, atMs: momentOf(10), reason: 'upstream_error' });
  expect_(10, 'unknown_outcome', -usd('0.1'));
  enter({
    ...open,
    atMs: momentOf(11),
    outcome: 'settled',
    provenance: 'estimated',
    reason: 'usage_missing',
    costUsd: '0.01',
  });
  bill(call(11, 'gpt-4o-mini', TEXT));
  expect_(11, 'estimated_outcome', costAt('gpt-4o-mini', 11, TEXT) - usd('0.01'));
  // 12: an application calls with the gateway's own key, more often than calls of the gateway may have been served unseen.
  bill(call(12, 'gpt-4o', { input_tokens: 40_001 }));
  bill(call(12, 'gpt-4o', { output_tokens: 3_003 }, 'default', 50_001));
  expect_(12, 'outside_gateway', costAt('gpt-4o', 12, outside));
  // 13: a dollar of unknown cause; 14: the same on a line that has a known cause too.
  planted.push({
    kind: 'dollars',
    at: new Date(momentOf(13)).toISOString(),
    line_item: 'gpt-4o-mini-2024-07-18, input',
    usd: '1',
    api_key: KEY,
  });
  expect_(13, 'unexplained', usd('1'));
  planted.push({
    kind: 'dollars',
    at: new Date(momentOf(14)).toISOString(),
    line_item: 'gpt-4o-mini-2024-07-18, input',
    usd: '1',
    api_key: KEY,
  });
  bill(call(14, 'gpt-4o-mini', { input_tokens: 8_008 }), OTHER);
  expect_(14, 'outside_gateway', costAt('gpt-4o-mini', 14, { input_tokens: 8_008 }));
  expect_(14, 'unexplained', usd('1'));
  // 15 and 16: a call over midnight.
  enter({ atMs: momentOf(15, 86_390), forwardUs: 20_000_000 });
  bill(call(16, 'gpt-4o-mini', TEXT, 'default', 5));
  expect_(15, 'day_boundary', -costAt('gpt-4o-mini', 15, TEXT));
  expect_(16, 'day_boundary', costAt('gpt-4o-mini', 16, TEXT));
  plantUnits();
}

/** Differences in what is billed by other units than tokens. */
function plantUnits(): void {
  // 17 and 18: an application runs tools with the gateway's own key; 29: with another's.
  toolsOutside(17, [WEB_SEARCH(4)]);
  toolsOutside(18, [FILE_SEARCH(5), SESSION(1)]);
  toolsOutside(29, [WEB_SEARCH(1), FILE_SEARCH(2)], OTHER);
  unitsOutside(29, IMAGE, 2, '0.08', OTHER);
  unitsOutside(
    29,
    { model: 'container', operation: 'containers.create', unit: 'sessions' },
    1,
    '0.03',
    OTHER,
  );
  // 19: it keeps five GiB more.
  const store = { model: 'vector_store', operation: 'vector_stores.storage', unit: 'bytes' };
  unitsOutside(19, store, 5 * 2 ** 30, '0.5');
  // 21 and 22: it speaks, with a model that the gateway never called too, listens, and makes an image.
  unitsOutside(21, SPEECH, 1_000, '0.015');
  unitsOutside(21, { ...SPEECH, model: 'tts-1-hd' }, 500, '0.015');
  unitsOutside(22, HEARD, 61, '0.0061');
  unitsOutside(22, IMAGE, 1, '0.08');
  // 23: searches cost $25 for a thousand instead of $10, and one was made outside: two causes in one line item.
  changePrice('web search tool calls', 23, '25000', '10000');
  toolsOutside(23, [WEB_SEARCH(1)]);
  expect_(23, 'price_changed', 4n * usd('0.015'));
  // 24 and 25: a search over midnight, and an image.
  withTools(momentOf(24, 86_390), { web_search_calls: 1 }, [WEB_SEARCH(1)], momentOf(25, 5));
  const tokens = costAt('gpt-4o', 24, { ...TEXT, input_tokens: 9_001 });
  for (const amount of [tokens, usd('0.01')]) {
    expect_(24, 'day_boundary', -amount);
    expect_(25, 'day_boundary', amount);
  }
  const made = { usage: { images: 1 }, costUsd: '0.08', forwardUs: 20_000_000 };
  const image = enter({ ...IMAGE, ...made, atMs: momentOf(24, 86_390) });
  bill({ ...image, atMs: momentOf(25, 5), usage: {}, usd: '0.08', units: { unit: 'images', amount: 1 } });
  expect_(24, 'day_boundary', -usd('0.08'));
  expect_(25, 'day_boundary', usd('0.08'));
  // 26: an image whose outcome the gateway does not know.
  const lost = { outcome: 'unknown', provenance: 'unknown', reason: 'upstream_error', usage: {} } as const;
  const open = enter({ ...IMAGE, ...lost, atMs: momentOf(26), costUsd: '0.12' });
  bill({ ...open, usage: {}, usd: '0.04', units: { unit: 'images', amount: 1 } });
  expect_(26, 'unknown_outcome', usd('0.04') - usd('0.12'));
  // 27: a dollar of unknown cause on the line of a tool.
  const at = new Date(momentOf(27)).toISOString();
  planted.push({ kind: 'dollars', at, line_item: 'file search tool calls', usd: '1', api_key: KEY });
  expect_(27, 'unexplained', usd('1'));
  // 30: speech costs $18 for a million characters instead of $15.
  changePrice('tts-1, characters', 30, '18', '15');
  expect_(30, 'price_changed', 777n * 3_000_000n);
}

function changePrice(item: string, day: number, from: string, back: string): void {
  for (const [at, price] of [
    [day, from],
    [day + 1, back],
  ] as const)
    planted.push({
      kind: 'price',
      line_item: item,
      usd_per_1m: price,
      from: new Date(momentOf(at, 0)).toISOString(),
    });
}

async function addJob(id: string, createdMs: number, endedMs: number): Promise<void> {
  const at = (ms: number) => new Date(ms).toISOString();
  const { team, key } = teams[0]!;
  await admin.database.sql`
    insert into jobs (team_id, id, key_id, kind, state, model, hold, terms, progress, held_usd, settled_usd, created_at,
      next_poll_at, ended_at)
    values (${team.id}, ${id}, ${key.id}, 'batch', 'settled', 'gpt-4o-mini', '{}', '{}', '{}', 1, 1, ${at(createdMs)},
      ${at(createdMs)}, ${at(endedMs)})`;
}

/** Runs the job as it would run then. */
export function run(
  nowMs = Date.parse(NOW),
  { upstream = null as string | null, at = simulator } = {},
): Promise<number | null> {
  const read = createDayReport({ baseUrl: at.url, adminKey: 'sk-admin-month', keys: [KEY] });
  return reconcileDays(
    {
      database: admin.database,
      upstream,
      readDay: (dayMs, signal) => {
        // 20: the bill is rounded.
        at.setProfile({ costDecimals: dayMs === momentOf(20, 0) ? 6 : 12 });
        return read(dayMs, signal);
      },
      rates: () => rates,
      callDurationMs: 3_600_000,
      reportDelayMs: 3_600_000,
      finalAfterDays: 3,
      nowMs: () => nowMs,
    },
    never,
  );
}

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
  },
  key = KEY,
) {
  const { model, operation, tier, atMs, usage, units } = line;
  const at = new Date(atMs).toISOString();
  const more = {
    ...(line.usd === undefined ? {} : { usd: line.usd }),
    ...(units === undefined ? {} : { units }),
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
  const speech = enter({ atMs, model: 'tts-1', operation: 'audio.speech', usage: { characters: 777 } });
  bill({ ...speech, usage: {}, usd: formatUsd(speech.cost), units: { unit: 'characters', amount: 777 } });
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
    usage: { storage_gib_days: 1_500_000 },
  });
  bill({ ...stored, usage: {}, usd: formatUsd(stored.cost), units: { unit: 'bytes', amount: 2 ** 31 } });
  // A search costs beside its tokens.
  const search = { ...TEXT, input_tokens: 9_001 };
  const price = rates.find('gpt-4o', atMs)!.tiers.default!;
  const costUsd = formatUsd(costOf(search, price)! + usd('0.01'));
  bill({
    ...enter({
      atMs,
      model: 'gpt-4o',
      operation: 'responses',
      usage: { ...search, web_search_calls: 1 },
      costUsd,
    }),
    usage: search,
    usd: costUsd,
  });
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

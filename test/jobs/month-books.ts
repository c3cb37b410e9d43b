/** Both sides of a month, written line by line: events of the ledger, and lines of the upstream's bill. */
import { usd } from '../../src/domain/money.ts';
import { costOf, type RateCards } from '../../src/domain/price.ts';
import type { MeterName } from '../../src/domain/quantities.ts';
import { eventJson, factsJson, uuidV7 } from '../../src/ledger/events.ts';
import { eventFromJson } from '../../src/ledger/read-journal.ts';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import type { FlushEvent } from '../../src/store/hot/flush.ts';
import { readRateBook } from '../../src/store/rate-cards.ts';
import { loadSeed } from '../../src/store/seed-load.ts';
import { createTestAdmin, type Json, type TestAdmin } from '../admin/support.ts';

const DAY_MS = 86_400_000;
const MONTH = Date.UTC(2026, 8, 1);
/** All days of the month are final then. */
export const NOW = '2026-10-05T12:00:00Z';
export const KEY = 'sk-gateway-of-the-month';
export const OTHER = 'sk-other-application';
export const dayOf = (day: number) => new Date(MONTH + (day - 1) * DAY_MS).toISOString().slice(0, 10);
export const momentOf = (day: number, second = 43_200) => MONTH + (day - 1) * DAY_MS + second * 1000;

export let admin: TestAdmin;
export let simulator: Simulator;
export let rates: RateCards;
export let teams: { team: Json; key: Json }[];
export const events: FlushEvent[] = [];
export const planted: object[] = [];

/** Opens a ledger and an upstream without any traffic. */
export async function openBooks(): Promise<void> {
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
}

export async function closeBooks(): Promise<void> {
  await simulator.close();
  await admin.close();
}

export async function plant(body: object): Promise<void> {
  const url = `${simulator.url.replace('/v1', '')}/plant`;
  const response = await fetch(url, { method: 'POST', body: JSON.stringify(body) });
  if (!response.ok) throw new Error(await response.text());
}

export interface Call {
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

export const TEXT = { input_tokens: 1_234, cached_input_tokens: 512, output_tokens: 345 };

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
export function bill(
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
export function both(call: Call) {
  const made = enter(call);
  bill(made);
  return made;
}

/** By day, what reconciliation has to say, with exact dollars. */
export const expected = new Map<number, [kind: string, amount: bigint][]>();
export const expect_ = (day: number, kind: string, amount: bigint) =>
  expected.set(day, [...(expected.get(day) ?? []), [kind, amount]]);

const priceAt = (model: string, day: number, tier: 'default' | 'batch' = 'default') =>
  rates.find(model, momentOf(day))!.tiers[tier]!;
export const costAt = (
  model: string,
  day: number,
  usage: Call['usage'],
  tier: 'default' | 'batch' = 'default',
) => costOf(usage ?? TEXT, priceAt(model, day, tier))!;
/** Tokens of output that the gateway's calls to a model used on a day, at the standard tier. */
export function outputOf(model: string, day: number): bigint {
  return events
    .map(
      ({ json }) =>
        JSON.parse(json.toString()) as {
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

export function changePrice(item: string, day: number, from: string, back: string): void {
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

export async function addJob(id: string, createdMs: number, endedMs: number): Promise<void> {
  const at = (ms: number) => new Date(ms).toISOString();
  const { team, key } = teams[0]!;
  await admin.database.sql`
    insert into jobs (team_id, id, key_id, kind, state, model, hold, terms, progress, held_usd, settled_usd, created_at,
      next_poll_at, ended_at)
    values (${team.id}, ${id}, ${key.id}, 'batch', 'settled', 'gpt-4o-mini', '{}', '{}', '{}', 1, 1, ${at(createdMs)},
      ${at(createdMs)}, ${at(endedMs)})`;
}

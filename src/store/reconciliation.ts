/**
 * Reconciliation in Postgres: the ledger's side of a day, and what came out. Does not own: the comparison
 * (domain/reconciliation.ts), nor posting (post-difference.ts). Amounts are exact.
 */
import { and, asc, desc, eq, gte, inArray, lt, lte, sql as text } from 'drizzle-orm';
import type { Crossing, Difference, LedgerRow, Reconciled } from '../domain/differences.ts';
import { usd } from '../domain/money.ts';
import { type Price, SERVICE_TIERS, type ServiceTier } from '../domain/price.ts';
import { formatUsd, isMeterName, type Quantities, quantityOf } from '../domain/quantities.ts';
import { CLOCK_MARGIN_MS } from '../domain/reconcile.ts';
import { DAY_MS } from '../domain/window.ts';
import type { Database, Sql } from './database.ts';
import { readPrices } from './rate-cards.ts';
import { reconciliationPostings, reconciliations } from './schema.ts';
import type { StoredDifference } from './stored-json.ts';

export type ReconciliationRow = typeof reconciliations.$inferSelect;
export type PostingRow = typeof reconciliationPostings.$inferSelect;

/** The operation of events that post a difference: they are no calls, and no side of a comparison. */
export const POSTING_OPERATION = 'reconciliation';

/** What is charged by the day, and posted: no call runs over midnight. */
const NO_CALLS = [POSTING_OPERATION, 'vector_stores.storage'];

export interface LedgerDay {
  /** When the UTC day begins, in milliseconds since the epoch. */
  dayMs: number;
  /** Null: there is only one, or there was. */
  upstream: string | null;
}

/** Of which operations the reports and line items tell tokens by model. */
export interface OperationSubjects {
  text: readonly string[];
  batch: readonly string[];
  training: readonly string[];
}

interface GroupRow {
  model: string;
  response_model: string | null;
  service_tier: string | null;
  operation: string;
  outcome: string;
  provenance: string;
  is_gone: boolean;
  price_id: string | null;
  is_long: boolean;
  calls: number;
  input_tokens: number;
  cached_input_tokens: number;
  cache_write_tokens: number;
  output_tokens: number;
  reasoning_tokens: number;
  quantities: Record<string, number> | null;
  cost: string;
  held: string;
  corrected: string;
  corrected_calls: number;
}

/** How long the sums of a day may take. */
const READ_MS = 120_000;

/** Returns what the ledger has of a day, in groups that are compared as one. */
export async function readLedgerDay(
  database: Database,
  { dayMs, upstream }: LedgerDay,
  subjects: OperationSubjects,
): Promise<LedgerRow[]> {
  const sql = database.readSql.within(READ_MS);
  const [from, to] = [new Date(dayMs).toISOString(), new Date(dayMs + DAY_MS).toISOString()];
  // Twelve names say which group an event is in; quantities beside tokens are few, and added up apart.
  const rows = await sql<GroupRow[]>`
    with grouped as (
      select e.team_id, e.id, e.model, e.response_model, e.service_tier, e.operation, e.outcome, e.provenance,
        coalesce(e.reason = 'client_gone', false) as is_gone, e.price_id,
        coalesce(e.input_tokens > p.long_context_above_tokens, false) as is_long, e.input_tokens, e.cached_input_tokens,
        e.cache_write_tokens, e.output_tokens, e.reasoning_tokens, e.quantities, e.cost_usd, e.hold_usd,
        (select sum(c.delta_usd) from adjustments c
          where (e.outcome <> 'settled' or e.provenance <> 'reported') and c.team_id = e.team_id and c.event_id = e.id) as delta
      from usage_events e left join prices p on p.id = e.price_id
      where e.created_at >= ${from} and e.created_at < ${to} and e.operation <> ${POSTING_OPERATION}
        and e.upstream is not distinct from ${upstream}
        and not exists (select 1 from jobs j where j.team_id = e.team_id and j.id = e.id and j.progress ? 'models')),
    sums as (
      select model, response_model, service_tier, operation, outcome, provenance, is_gone, price_id, is_long,
        count(*)::float8 as calls, sum(input_tokens)::float8 as input_tokens,
        sum(cached_input_tokens)::float8 as cached_input_tokens, sum(cache_write_tokens)::float8 as cache_write_tokens,
        sum(output_tokens)::float8 as output_tokens, sum(reasoning_tokens)::float8 as reasoning_tokens,
        sum(cost_usd)::text as cost, sum(hold_usd)::text as held, coalesce(sum(delta), 0)::text as corrected,
        count(delta)::float8 as corrected_calls
      from grouped group by 1, 2, 3, 4, 5, 6, 7, 8, 9),
    amounts as (
      select model, response_model, service_tier, operation, outcome, provenance, is_gone, price_id, is_long, q.key,
        sum(q.value::numeric)::float8 as amount
      from grouped, jsonb_each_text(quantities) q where quantities is not null group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
    select s.*, (select jsonb_object_agg(a.key, a.amount) from amounts a
      where (a.model, a.operation, a.outcome, a.provenance, a.is_gone, a.is_long)
          = (s.model, s.operation, s.outcome, s.provenance, s.is_gone, s.is_long)
        and a.response_model is not distinct from s.response_model and a.service_tier is not distinct from s.service_tier
        and a.price_id is not distinct from s.price_id) as quantities
    from sums s`;
  rows.push(...(await jobsByModel(sql, from, to, upstream)));
  const prices = await readPrices(sql, [...new Set(rows.flatMap(({ price_id: id }) => id ?? []))]);
  return rows.map((row) => ledgerRow(row, prices.get(row.price_id ?? '') ?? null, subjects));
}

/** Returns jobs of which is known what each of their models cost, a row for each. */
async function jobsByModel(sql: Sql, from: string, to: string, upstream: string | null): Promise<GroupRow[]> {
  return await sql<GroupRow[]>`
    select m.model, m.model as response_model, e.service_tier, e.operation, e.outcome, e.provenance, false as is_gone,
      m."priceId" as price_id, false as is_long, m.calls::float8 as calls,
      coalesce((m.usage->>'input_tokens')::float8, 0) as input_tokens,
      coalesce((m.usage->>'cached_input_tokens')::float8, 0) as cached_input_tokens, 0::float8 as cache_write_tokens,
      coalesce((m.usage->>'output_tokens')::float8, 0) as output_tokens, 0::float8 as reasoning_tokens, null as quantities,
      m.usd as cost, m.usd as held, case when m.place = 1 then coalesce(c.delta, 0) else 0 end::text as corrected,
      case when c.delta is null then 0 else m.calls end::float8 as corrected_calls
    from usage_events e join jobs j on j.team_id = e.team_id and j.id = e.id
      cross join lateral (
        select model, calls, usage, usd, "priceId", row_number() over () as place
        from jsonb_to_recordset(j.progress->'models') as m(model text, calls float8, usage jsonb, usd text, "priceId" text)) m
      cross join lateral (
        select sum(a.delta_usd) as delta from adjustments a
        where (e.outcome <> 'settled' or e.provenance <> 'reported') and a.team_id = e.team_id and a.event_id = e.id) c
    where e.created_at >= ${from} and e.created_at < ${to} and e.upstream is not distinct from ${upstream}
      and j.progress ? 'models'`;
}

function ledgerRow(row: GroupRow, price: Price | null, subjects: OperationSubjects): LedgerRow {
  const subject = subjectOf(row.operation, subjects);
  const isBatch = subjects.batch.includes(row.operation);
  return {
    model: (subject === 'training' ? null : row.response_model) || row.model,
    tier: isBatch ? 'batch' : (price?.tier ?? tierNamed(row.service_tier)),
    subject,
    state: stateOf(row),
    price,
    isLong: row.is_long,
    calls: row.calls,
    usage: usageOf(row),
    cost: usd(row.cost),
    held: usd(row.held),
    corrected: usd(row.corrected),
    correctedCalls: row.corrected_calls,
  };
}

function subjectOf(operation: string, { text, batch, training }: OperationSubjects): LedgerRow['subject'] {
  if (text.includes(operation) || batch.includes(operation)) return 'text';
  if (training.includes(operation)) return 'training';
  if (operation.startsWith('containers.')) return 'tools';
  return operation === 'vector_stores.storage' ? 'storage' : 'whole';
}

export function stateOf({
  outcome,
  provenance,
  is_gone: isGone,
}: Pick<GroupRow, 'outcome' | 'provenance' | 'is_gone'>): LedgerRow['state'] {
  if (outcome === 'voided') return 'voided';
  if (outcome === 'settled' && provenance === 'reported') return 'reported';
  if (isGone) return 'disconnect';
  return outcome === 'unknown' ? 'unknown_outcome' : 'estimated_outcome';
}

/** By what a response, a report or a price says. */
export function tierNamed(text: string | null): ServiceTier {
  if (text === 'fast') return 'priority';
  return SERVICE_TIERS.find((tier) => tier === text) ?? 'default';
}

type Amounts = Pick<
  GroupRow,
  'input_tokens' | 'cached_input_tokens' | 'cache_write_tokens' | 'output_tokens' | 'reasoning_tokens'
> & { quantities: Record<string, number> | null };

function usageOf(row: Amounts): Quantities {
  const usage: Quantities = {
    input_tokens: row.input_tokens,
    cached_input_tokens: row.cached_input_tokens,
    cache_write_tokens: row.cache_write_tokens,
    output_tokens: row.output_tokens,
    reasoning_tokens: row.reasoning_tokens,
  };
  for (const [meter, units] of Object.entries(row.quantities ?? {}))
    if (isMeterName(meter)) usage[meter] = quantityOf(meter, units);
  return usage;
}

interface CrossingRow extends Amounts {
  direction: 'in' | 'out';
  is_batch: boolean;
  is_training: boolean;
  is_open: boolean;
  model: string;
  service_tier: string | null;
  calls: number;
  cost: string;
}

/**
 * Returns calls that the upstream may report under another day: those that lived over midnight, by a margin for two clocks,
 * and jobs that ended on another day than they began.
 * @param longestMs the longest that a call can last
 */
export async function readCrossing(
  database: Database,
  { dayMs, upstream }: LedgerDay,
  longestMs: number,
): Promise<Crossing[]> {
  const sql = database.readSql.within(READ_MS);
  const rows = [
    ...(await callsOver(sql, dayMs, upstream, longestMs)),
    ...(await jobsOver(sql, dayMs, upstream)),
  ];
  return rows.map((row) => ({
    kind: row.is_batch ? 'late_batch' : 'day_boundary',
    isTraining: row.is_training,
    direction: row.direction,
    model: row.model,
    tier: row.is_batch ? 'batch' : tierNamed(row.service_tier),
    calls: row.calls,
    usage: row.is_open ? null : usageOf(row),
    cost: usd(row.cost),
  }));
}

async function callsOver(
  sql: Sql,
  dayMs: number,
  upstream: string | null,
  longestMs: number,
): Promise<CrossingRow[]> {
  const edge = (ms: number) => new Date(ms).toISOString();
  const [begin, end, margin] = [edge(dayMs), edge(dayMs + DAY_MS), `${CLOCK_MARGIN_MS} milliseconds`];
  const near = (ms: number) =>
    sql`(created_at >= ${edge(ms - longestMs)} and created_at < ${edge(ms + CLOCK_MARGIN_MS)})`;
  return await sql<CrossingRow[]>`
    with lives as (
      select *, created_at + (coalesce((stage_us->>'reserve')::float8, 0) + coalesce((stage_us->>'connect')::float8, 0)
          + coalesce((stage_us->>'forward')::float8, 0)) * interval '1 microsecond' + ${margin}::interval as ended_at
      from usage_events e
      where (${near(dayMs)} or ${near(dayMs + DAY_MS)}) and outcome = 'settled' and provenance = 'reported'
        and operation <> all(${NO_CALLS}) and upstream is not distinct from ${upstream}
        and not exists (select 1 from jobs j where j.team_id = e.team_id and j.id = e.id)),
    crossing as (
      select *, case
          when created_at < ${begin} then 'in' when created_at >= ${end} then 'in' else 'out' end as direction
      from lives
      where (created_at < ${begin} and ended_at >= ${begin}) or created_at >= ${end}
        or (created_at < ${end} and ended_at >= ${end})
        or (created_at >= ${begin} and created_at < ${begin}::timestamptz + ${margin}::interval)),
    named as (select *, coalesce(nullif(response_model, ''), model) as called from crossing),
    amounts as (
      select direction, called, service_tier, q.key, sum(q.value::numeric)::float8 as amount
      from named, jsonb_each_text(quantities) q where quantities is not null group by 1, 2, 3, 4)
    select direction, false as is_batch, false as is_training, false as is_open, called as model, service_tier,
      count(*)::float8 as calls, sum(input_tokens)::float8 as input_tokens,
      sum(cached_input_tokens)::float8 as cached_input_tokens, sum(cache_write_tokens)::float8 as cache_write_tokens,
      sum(output_tokens)::float8 as output_tokens, sum(reasoning_tokens)::float8 as reasoning_tokens,
      (select jsonb_object_agg(a.key, a.amount) from amounts a where a.direction = named.direction and a.called = named.called
        and a.service_tier is not distinct from named.service_tier) as quantities, sum(cost_usd)::text as cost
    from named group by direction, called, service_tier`;
}

/** A month after it was made no job bills any more. */
const JOB_DAYS = 35;

async function jobsOver(sql: Sql, dayMs: number, upstream: string | null): Promise<CrossingRow[]> {
  const at = (ms: number) => new Date(ms).toISOString();
  const [begin, end] = [at(dayMs), at(dayMs + DAY_MS)];
  return await sql<CrossingRow[]>`
    select case when j.created_at < ${begin} or j.ended_at is null then 'in' else 'out' end as direction,
      j.kind = 'batch' as is_batch, j.kind = 'fine_tuning' as is_training, j.ended_at is null as is_open,
      coalesce(m.model, j.model) as model, e.service_tier, coalesce(m.calls, 1)::float8 as calls,
      coalesce((m.usage->>'input_tokens')::float8, e.input_tokens, 0)::float8 as input_tokens,
      coalesce((m.usage->>'cached_input_tokens')::float8, e.cached_input_tokens, 0)::float8 as cached_input_tokens,
      coalesce(e.cache_write_tokens, 0)::float8 as cache_write_tokens,
      coalesce((m.usage->>'output_tokens')::float8, e.output_tokens, 0)::float8 as output_tokens,
      coalesce(e.reasoning_tokens, 0)::float8 as reasoning_tokens, e.quantities,
      coalesce(m.usd::numeric, e.cost_usd, j.held_usd)::text as cost
    from jobs j left join usage_events e on e.team_id = j.team_id and e.id = j.id and e.created_at = j.created_at
      left join lateral (
        select model, calls, usage, usd
        from jsonb_to_recordset(j.progress->'models') as m(model text, calls float8, usage jsonb, usd text)
        union all
        -- While it goes on, any of its models may have used what it holds.
        select k, 1, null, null from jsonb_object_keys(j.terms->'models') k where not j.progress ? 'models') m on true
    where j.created_at >= ${at(dayMs - JOB_DAYS * DAY_MS)} and j.created_at < ${end}
      and j.upstream is not distinct from ${upstream}
      and (j.ended_at is null or (j.created_at < ${begin} and j.ended_at >= ${begin}) or (j.created_at >= ${begin} and j.ended_at >= ${end}))`;
}

/** Returns the days of an upstream that are to be computed: with usage, complete, and not final; oldest first. */
export async function readDaysDue(
  { sql }: Database,
  upstream: string | null,
  { from, until, before }: { from: Date; until: Date; before: Date },
): Promise<string[]> {
  const rows = await sql<{ day: string }[]>`
    select d::date::text as day
    from generate_series(
      (select greatest(min(day), ${from.toISOString()}::timestamptz) from usage_days having min(day) is not null), ${until.toISOString()}::timestamptz,
      interval '1 day') d
    where not exists (
      select 1 from reconciliations r where r.day = (d at time zone 'UTC')::date and r.upstream = ${upstream ?? ''}
        and (r.is_final or r.computed_at > ${before.toISOString()}))
    order by 1`;
  return rows.map(({ day }) => day);
}

/** Returns the keys that were the gateway's on the days before: a key that was replaced was its own. */
export async function readOwnKeysBefore(
  { db }: Database,
  upstream: string | null,
  day: string,
): Promise<string[]> {
  const rows = await db
    .select({ keys: reconciliations.ownKeys })
    .from(reconciliations)
    .where(
      and(
        eq(reconciliations.upstream, upstream ?? ''),
        gte(reconciliations.day, text`${day}::date - ${JOB_DAYS}::int`),
        lte(reconciliations.day, text`${day}::date + ${JOB_DAYS}::int`),
      ),
    );
  return [...new Set(rows.flatMap(({ keys }) => keys ?? []))];
}

/** Writes what came out for a day, over what came out before; a final day stays as it is. */
export async function writeReconciliation(
  { db }: Database,
  day: { day: string; upstream: string | null; ownKeys: string[] | null; isFinal: boolean; at: Date },
  result: Reconciled,
): Promise<void> {
  const values = {
    billedUsd: formatUsd(result.billed),
    chargedUsd: formatUsd(result.charged),
    correctedUsd: formatUsd(result.corrected),
    unexplainedUsd: formatUsd(result.unexplained),
    differences: result.differences.map(stored),
    ownKeys: day.ownKeys,
    computedAt: day.at,
    isFinal: day.isFinal,
  };
  await db
    .insert(reconciliations)
    .values({ day: day.day, upstream: day.upstream ?? '', ...values })
    .onConflictDoUpdate({
      target: [reconciliations.day, reconciliations.upstream],
      set: values,
      setWhere: eq(reconciliations.isFinal, false),
    });
}

function stored({ amount, corrected, ...rest }: Difference): StoredDifference {
  return { ...rest, amount: formatUsd(amount), corrected: formatUsd(corrected) };
}

/** Returns the days that were computed, newest first. */
export function listReconciliations(
  { db }: Database,
  page: { before: string | null; limit: number; day?: string | undefined },
): Promise<ReconciliationRow[]> {
  return db
    .select()
    .from(reconciliations)
    .where(
      and(
        page.before === null ? undefined : lt(reconciliations.day, page.before),
        page.day === undefined ? undefined : eq(reconciliations.day, page.day),
      ),
    )
    .orderBy(desc(reconciliations.day), asc(reconciliations.upstream))
    .limit(page.limit);
}

export function listPostings({ db }: Database, days: readonly string[]): Promise<PostingRow[]> {
  if (days.length === 0) return Promise.resolve([]);
  return db
    .select()
    .from(reconciliationPostings)
    .where(inArray(reconciliationPostings.day, [...days]));
}

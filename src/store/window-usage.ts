/**
 * What a limit's window has seen, as the ledger has it. Sums come from the rollups; what these do not know (end users,
 * moments within a quarter of an hour) comes from the events, by index.
 */

import { and, eq, gte, inArray, lt, type SQL, sql } from 'drizzle-orm';
import type { PgColumn } from 'drizzle-orm/pg-core';
import { type CounterSpec, sourceIdOf, windowStartOf } from '../domain/counter.ts';
import { asId } from '../domain/ids.ts';
import { ORGANIZATION_ID } from '../domain/limit.ts';
import { usd } from '../domain/money.ts';
import { includesModel } from '../domain/price.ts';
import { UNIT, used } from '../domain/quantities.ts';
import { parseTag } from '../domain/tags.ts';
import { QUARTER_HOUR_MS } from '../domain/window.ts';
import type { Run } from './database.ts';
import { adjustments, teams, usageDepartments, usageEvents, usageRollups, usageTags } from './schema.ts';

type Rule = Pick<CounterSpec, 'id' | 'teamId' | 'subjectType' | 'subjectId' | 'meter' | 'models'>;

/** Usage of one model. */
type Sum = {
  model: string;
  cost: string;
  input_tokens: number;
  output_tokens: number;
  calls: number;
};

/** Returns how much of the rule's meter was used from a moment on; null end: up to now. */
export async function usedInWindow(
  run: Run,
  rule: Rule,
  fromMs: number,
  untilMs: number | null,
): Promise<bigint> {
  // Slots have no past.
  if (rule.meter === 'concurrency') return 0n;
  const parts = partsOf(rule, fromMs, untilMs);
  const sums = await Promise.all(parts.map((part) => run<Sum>(sumsByModel(rule, part))));
  return sums
    .flat()
    .filter(({ model }) => includesModel(rule.models, model))
    .reduce((total, sum) => total + amountOf(rule, sum), 0n);
}

function amountOf({ meter }: Rule, { cost, input_tokens, output_tokens, calls }: Sum): bigint {
  if (meter === 'requests') return BigInt(calls) * UNIT;
  return used(meter, { cost: usd(cost), input_tokens, output_tokens });
}

interface Part {
  fromMs: number;
  untilMs: number | null;
  isInRollups: boolean;
}

/** So long after a reset calls may still be admitted by an instance that has not heard of it: leases last a minute without Postgres. */
const STALE_MS = 120_000;

/** Events up to the first quarter of an hour that is a while away, and rollups from then on; a part that ends within one is read from events. */
function partsOf({ subjectType }: Rule, fromMs: number, untilMs: number | null): Part[] {
  const isWhole = (ms: number | null) => ms === null || ms % QUARTER_HOUR_MS === 0;
  // Those of tags are put together by themselves.
  const isPart = subjectType === 'user' || subjectType === 'tag';
  if (isPart || !isWhole(untilMs)) return [{ fromMs, untilMs, isInRollups: false }];
  if (isWhole(fromMs)) return [{ fromMs, untilMs, isInRollups: true }];
  const cutMs = Math.ceil((fromMs + STALE_MS) / QUARTER_HOUR_MS) * QUARTER_HOUR_MS;
  if (untilMs !== null && cutMs >= untilMs) return [{ fromMs, untilMs, isInRollups: false }];
  return [
    { fromMs, untilMs: cutMs, isInRollups: false },
    { fromMs: cutMs, untilMs, isInRollups: true },
  ];
}

/** A call that held on another counter of the same limit counts there: it was admitted before a reset was heard of. */
function isNotBeside({ id }: Rule): SQL {
  return sql`not exists (
    select from jsonb_array_elements(${usageEvents.allocations}) p
    where p ->> 'counter' like ${`${sourceIdOf(id)}@%`} and p ->> 'counter' <> ${id})`;
}

/** What an event charges by now. Rollups have its corrections in them, the event has not. */
const chargedByNow = sql`${usageEvents.costUsd} + coalesce((select sum(c.delta_usd) from ${adjustments} c
  where c.team_id = ${usageEvents.teamId} and c.event_id = ${usageEvents.id}), 0)`;

function sumsByModel(rule: Rule, { fromMs, untilMs, isInRollups }: Part): SQL {
  if (rule.subjectType === 'tag') return sumsOfTag(rule, fromMs, untilMs);
  const rollups = rule.subjectType === 'department' ? usageDepartments : usageRollups;
  const table = isInRollups ? rollups : usageEvents;
  const moment: PgColumn = isInRollups ? rollups.bucketStart : usageEvents.createdAt;
  const departments = isInRollups ? usageDepartments.departments : usageEvents.departments;
  const conditions = and(
    within(moment, fromMs, untilMs),
    ofTeams(table.teamId, rule),
    rule.subjectType === 'department' ? sql`${rule.subjectId}::uuid = any(${departments})` : undefined,
    rule.subjectType === 'key' ? eq(table.keyId, asId(rule.subjectId)) : undefined,
    rule.subjectType === 'user' ? eq(usageEvents.endUser, rule.subjectId) : undefined,
    isInRollups || windowStartOf(rule.id) !== fromMs ? undefined : isNotBeside(rule),
  );
  return sql`
    select model, sum(${isInRollups ? rollups.costUsd : chargedByNow})::text as cost, sum(input_tokens)::float8 as input_tokens,
      sum(output_tokens)::float8 as output_tokens,
      ${isInRollups ? sql`sum(calls)` : sql`count(*)`}::float8 as calls
    from ${table} where ${conditions} group by model`;
}

function within(moment: PgColumn, fromMs: number, untilMs: number | null): SQL | undefined {
  return and(gte(moment, new Date(fromMs)), untilMs === null ? undefined : lt(moment, new Date(untilMs)));
}

/** All teams by their ids, so that the index that begins with the team serves both. */
function ofTeams(column: PgColumn, { teamId }: Rule): SQL {
  return teamId === ORGANIZATION_ID ? inArray(column, sql`(select id from ${teams})`) : eq(column, teamId);
}

/**
 * Whole quarters from the rollups of tags, which have an index by value; the pieces of a quarter at both ends from the
 * events of the teams in them. Windows of calendars have no such pieces.
 */
function sumsOfTag(rule: Rule, fromMs: number, untilMs: number | null): SQL {
  const { name, value } = parseTag(rule.subjectId);
  const firstMs = Math.ceil(fromMs / QUARTER_HOUR_MS) * QUARTER_HOUR_MS;
  const lastMs =
    untilMs === null ? null : Math.max(firstMs, Math.floor(untilMs / QUARTER_HOUR_MS) * QUARTER_HOUR_MS);
  const pieces: SQL[] = [];
  const ofEvents = (startMs: number, endMs: number) => {
    if (startMs >= endMs) return;
    const conditions = and(
      within(usageEvents.createdAt, startMs, endMs),
      ofTeams(usageEvents.teamId, rule),
      sql`${usageEvents.tags} ->> ${name} = ${value}`,
      windowStartOf(rule.id) === startMs ? isNotBeside(rule) : undefined,
    );
    pieces.push(sql`
      select model, ${chargedByNow} as cost_usd, input_tokens, output_tokens, 1 as calls from ${usageEvents} where ${conditions}`);
  };
  ofEvents(fromMs, untilMs === null ? firstMs : Math.min(firstMs, untilMs));
  if (untilMs !== null && lastMs !== null) ofEvents(lastMs, untilMs);
  const quarters = and(
    within(usageTags.bucketStart, firstMs, lastMs),
    ofTeams(usageTags.teamId, rule),
    eq(usageTags.name, name),
    eq(usageTags.value, value ?? ''),
  );
  pieces.push(
    sql`select model, cost_usd, input_tokens, output_tokens, calls from ${usageTags} where ${quarters}`,
  );
  return sql`
    select model, sum(cost_usd)::text as cost, sum(input_tokens)::float8 as input_tokens,
      sum(output_tokens)::float8 as output_tokens, sum(calls)::float8 as calls
    from (${sql.join(pieces, sql` union all `)}) parts group by model`;
}

/**
 * What a limit's window has seen, as the ledger has it. Sums come from the rollups; what these do not know (end users,
 * moments within a quarter of an hour) comes from the events, by index.
 */

import { and, eq, gte, inArray, lt, type SQL, sql } from 'drizzle-orm';
import type { PgColumn } from 'drizzle-orm/pg-core';
import type { CounterSpec } from '../domain/counter.ts';
import { asId } from '../domain/ids.ts';
import { ORGANIZATION_ID } from '../domain/limit.ts';
import { usd } from '../domain/money.ts';
import { includesModel } from '../domain/price.ts';
import { UNIT, used } from '../domain/quantities.ts';
import { QUARTER_HOUR_MS } from '../domain/window.ts';
import type { Run } from './database.ts';
import { teams, usageDepartments, usageEvents, usageRollups } from './schema.ts';

type Rule = Pick<CounterSpec, 'teamId' | 'subjectType' | 'subjectId' | 'meter' | 'models'>;

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
  const sums = await run<Sum>(sumsByModel(rule, fromMs, untilMs));
  return sums
    .filter(({ model }) => includesModel(rule.models, model))
    .reduce((total, sum) => total + amountOf(rule, sum), 0n);
}

function amountOf({ meter }: Rule, { cost, input_tokens, output_tokens, calls }: Sum): bigint {
  if (meter === 'requests') return BigInt(calls) * UNIT;
  return used(meter, { cost: usd(cost), input_tokens, output_tokens });
}

function sumsByModel(rule: Rule, fromMs: number, untilMs: number | null): SQL {
  const isWhole = fromMs % QUARTER_HOUR_MS === 0 && (untilMs === null || untilMs % QUARTER_HOUR_MS === 0);
  const isInRollups = isWhole && rule.subjectType !== 'user';
  const rollups = rule.subjectType === 'department' ? usageDepartments : usageRollups;
  const table = isInRollups ? rollups : usageEvents;
  const moment: PgColumn = isInRollups ? rollups.bucketStart : usageEvents.createdAt;
  const departments = isInRollups ? usageDepartments.departments : usageEvents.departments;
  const conditions = and(
    gte(moment, new Date(fromMs)),
    untilMs === null ? undefined : lt(moment, new Date(untilMs)),
    // All teams, so that the index that begins with the team serves both.
    rule.teamId === ORGANIZATION_ID
      ? inArray(table.teamId, sql`(select id from ${teams})`)
      : eq(table.teamId, rule.teamId),
    rule.subjectType === 'department' ? sql`${rule.subjectId}::uuid = any(${departments})` : undefined,
    rule.subjectType === 'key' ? eq(table.keyId, asId(rule.subjectId)) : undefined,
    rule.subjectType === 'user' ? eq(usageEvents.endUser, rule.subjectId) : undefined,
  );
  return sql`
    select model, sum(cost_usd)::text as cost, sum(input_tokens)::float8 as input_tokens,
      sum(output_tokens)::float8 as output_tokens,
      ${isInRollups ? sql`sum(calls)` : sql`count(*)`}::float8 as calls
    from ${table} where ${conditions} group by model`;
}

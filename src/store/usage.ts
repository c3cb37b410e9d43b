/** Usage: sums of the rollups, by any of their dimensions and any calendar interval. Never reads events, and few quarters. */
import { type SQL, sql } from 'drizzle-orm';
import type { PgColumn } from 'drizzle-orm/pg-core';
import type { Fragment, Sql } from 'postgres';
import type { Database } from './database.ts';
import { planUsage, type Stretch, type UsageInterval, type UsagePlan } from './usage-plan.ts';

export type { UsageInterval } from './usage-plan.ts';

const DIMENSIONS = { team: 'team_id', key: 'key_id', model: 'model', operation: 'operation' } as const;
export type UsageDimension = keyof typeof DIMENSIONS;

export interface UsageQuestion {
  groupBy: readonly UsageDimension[];
  interval: UsageInterval;
  timeZone: string;
  /** Inclusive; on a quarter of an hour, as `to`. */
  from: Date | null;
  /** Exclusive. */
  to: Date | null;
  teamId: string | undefined;
  keyId: string | undefined;
  /** At most so many rows. */
  limit: number;
}

/** One sum. What is not grouped by is null; money is decimal text. */
export interface UsageRow {
  /** Null for `total`. */
  startsAt: Date | null;
  team: string | null;
  key: string | null;
  model: string | null;
  operation: string | null;
  calls: number;
  voidedCalls: number;
  unknownCalls: number;
  inputTokens: number;
  cachedInputTokens: number;
  cacheWriteTokens: number;
  outputTokens: number;
  reasoningTokens: number;
  costUsd: string;
  unknownUsd: string;
}

const SUMS = {
  calls: 'calls',
  voided_calls: 'voidedCalls',
  unknown_calls: 'unknownCalls',
  input_tokens: 'inputTokens',
  cached_input_tokens: 'cachedInputTokens',
  cache_write_tokens: 'cacheWriteTokens',
  output_tokens: 'outputTokens',
  reasoning_tokens: 'reasoningTokens',
} as const;

const COLUMNS = [...Object.values(DIMENSIONS), ...Object.keys(SUMS), 'cost_usd', 'unknown_usd'];

/** Sums the rollups, oldest interval first, then by the dimensions. Intervals without usage are left out. */
export async function readUsage({ sql }: Database, question: UsageQuestion): Promise<UsageRow[]> {
  const stretch = await stretchOf(sql, question);
  if (stretch === null) return [];
  const plan = planUsage(question.interval, question.timeZone, stretch);
  const dimension = (name: UsageDimension) =>
    question.groupBy.includes(name) ? sql(DIMENSIONS[name]) : sql`null`;
  const counts = Object.entries(SUMS).map(
    ([column, name]) => sql`sum(sign * ${sql(column)})::float8 as ${sql(name)}`,
  );
  return await sql<UsageRow[]>`
    select starts_at as "startsAt", ${dimension('team')} as team, ${dimension('key')} as key,
      ${dimension('model')} as model, ${dimension('operation')} as operation,
      ${counts.flatMap((count) => [count, sql`, `])}
      sum(sign * cost_usd)::text as "costUsd", sum(sign * unknown_usd)::text as "unknownUsd"
    from (${partsOf(sql, question, plan)}) parts
    group by 1, 2, 3, 4, 5 having sum(sign * calls) <> 0
    order by 1, 2, 3, 4, 5 limit ${question.limit}`;
}

/** The stretch that is asked for, as far as there is any usage; null: there is none. */
async function stretchOf(sql: Sql, { from, to, teamId }: UsageQuestion): Promise<Stretch | null> {
  const [row] = await sql<{ first: Date | null; last: Date | null }[]>`
    select min(day) as first, max(day) as last from usage_days ${teamId ? sql`where team_id = ${teamId}` : sql``}`;
  if (!row?.first || !row.last) return null;
  const fromMs = Math.max(row.first.getTime(), from?.getTime() ?? 0);
  const toMs = Math.min(row.last.getTime() + 86_400_000, to?.getTime() ?? Number.POSITIVE_INFINITY);
  return fromMs < toMs ? { fromMs, toMs } : null;
}

/** The rows that add up: `sign` is −1 where a quarter leaves the interval of its day's noon. */
function partsOf(sql: Sql, question: UsageQuestion, { quarters, days, moved }: UsagePlan): Fragment {
  const { teamId, keyId, interval, timeZone } = question;
  const own = (row: string) => sql`${teamId ? sql`and ${sql(row)}.team_id = ${teamId}` : sql``}
    ${keyId ? sql`and ${sql(row)}.key_id = ${keyId}` : sql``}`;
  const columns = sql.unsafe(COLUMNS.join(', '));
  const start = (moment: Fragment) => {
    if (interval === 'total') return sql`null::timestamptz`;
    return interval === '15m' ? moment : sql`date_trunc(${interval}, ${moment}, ${timeZone})`;
  };
  const noon = (day: Fragment) => sql`${day} + interval '12 hours'`;
  // A team at a time, by the index that begins with it: without, all quarters that there ever were would be read.
  const quarterRows = (stretches: Stretch[]) => sql`
    from unnest(${stretches.map((each) => at(each.fromMs))}::timestamptz[],
      ${stretches.map((each) => at(each.toMs))}::timestamptz[]) as s (from_at, to_at)
    cross join teams t join lateral (
      select * from usage_rollups u where u.team_id = t.id and u.bucket_start >= s.from_at and u.bucket_start < s.to_at
        ${own('u')}) r on true ${teamId ? sql`where t.id = ${teamId}` : sql``}`;
  const parts: Fragment[] = [];
  if (days) {
    parts.push(sql`select ${start(noon(sql`d.day`))} as starts_at, 1 as sign, ${columns} from usage_days d
      where d.day >= ${at(days.fromMs)} and d.day < ${at(days.toMs)} ${own('d')}`);
  }
  if (quarters.length > 0) {
    parts.push(
      sql`select ${start(sql`r.bucket_start`)} as starts_at, 1 as sign, ${columns} ${quarterRows(quarters)}`,
    );
  }
  if (moved.length > 0) {
    const day = sql`date_trunc('day', r.bucket_start, 'UTC')`;
    parts.push(
      sql`select ${start(sql`r.bucket_start`)} as starts_at, 1 as sign, ${columns} ${quarterRows(moved)}`,
    );
    parts.push(sql`select ${start(noon(day))} as starts_at, -1 as sign, ${columns} ${quarterRows(moved)}`);
  }
  return parts.reduce((all, part) => sql`${all} union all ${part}`);
}

function at(ms: number): string {
  return new Date(ms).toISOString();
}

/** The start of the interval in which a quarter of an hour lies. */
export function startOf(
  bucketStart: PgColumn,
  { interval, timeZone }: Pick<UsageQuestion, 'interval' | 'timeZone'>,
): SQL<Date | null> {
  if (interval === 'total') return sql<null>`null::timestamptz`;
  const start =
    interval === '15m' ? sql`${bucketStart}` : sql`date_trunc(${interval}, ${bucketStart}, ${timeZone})`;
  return start.mapWith(bucketStart) as SQL<Date | null>;
}

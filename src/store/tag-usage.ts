/** Usage of calls with a tag: sums of the tags' own rollups, by value, team and model, over any calendar interval. */

import { usd } from '../domain/money.ts';
import { formatUsd } from '../domain/quantities.ts';
import type { TimeRange } from '../domain/window.ts';
import type { Database, Fragment, Sql } from './database.ts';
import {
  at,
  countsOf,
  fromQuarters,
  momentOf,
  movedMoment,
  readUsage,
  startOf,
  sumsOf,
  type UsageQuestion,
  type UsageRow,
  usageRange,
} from './usage.ts';
import { planUsage } from './usage-plan.ts';

export interface TagUsageQuestion extends Omit<UsageQuestion, 'groupBy' | 'keyId' | 'departmentId'> {
  groupBy: readonly ('team' | 'model')[];
  /** Calls with a tag of this name; `value` not null: with this tag. */
  tag: { name: string; value: string | null };
  /** The values apart, and, unless there is one, the calls without the tag (`tag` null). */
  byTag: boolean;
}

export type TagUsageRow = UsageRow & { tag: string | null };

/** Sums usage by tag, oldest interval first, then by team, model and value. Intervals are put together as `readUsage` does it. */
export async function readTagUsage(database: Database, question: TagUsageQuestion): Promise<TagUsageRow[]> {
  if (!question.byTag || question.tag.value !== null) return readTagged(database.readSql, question);
  const [tagged, all] = await Promise.all([
    readTagged(database.readSql, question),
    readUsage(database, { ...question, keyId: undefined }),
  ]);
  return withUntagged(tagged, all);
}

async function readTagged(sql: Sql, question: TagUsageQuestion): Promise<TagUsageRow[]> {
  const range = await usageRange(sql, question);
  if (range === null) return [];
  const { interval, timeZone, limit } = question;
  const { edges, days, moved } = planUsage(interval, timeZone, range);
  const ofMoment = startOf(sql, sql`moment`, interval, timeZone);
  const noon = sql`date_trunc('day', moment, 'UTC') + interval '12 hours'`;
  const ofNoon = startOf(sql, noon, interval, timeZone);
  const rows = await sql<Omit<TagUsageRow, 'quantities' | 'key' | 'operation' | 'department'>[]>`
    with days as (${daysOf(sql, question, days)}),
    edges as (${quarters(sql, question, edges, momentOf(sql, 'bucket_start', interval))}),
    moved as (${quarters(sql, question, moved, movedMoment(sql))}),
    parts as (
      select ${ofNoon} as starts_at, 1 as sign, * from days
      union all select ${ofMoment}, 1, * from edges
      union all select ${ofMoment}, 1, * from moved
      union all select ${ofNoon}, -1, * from moved)
    select starts_at as "startsAt", team, model, tag, ${countsOf(sql)}
      sum(sign * cost_usd)::text as "costUsd", sum(sign * unknown_usd)::text as "unknownUsd"
    from parts group by 1, 2, 3, 4 having sum(sign * calls) <> 0 order by 1, 2, 3, 4 limit ${limit}`;
  return rows.map((row) => ({ ...row, key: null, operation: null, department: null, quantities: {} }));
}

/** Whole days; where no model is asked for, from the sums of all models. Of one value there is an index, and few rows. */
function daysOf(sql: Sql, question: TagUsageQuestion, days: TimeRange): Fragment {
  const isOfAllModels = !question.groupBy.includes('model') && question.tag.value === null;
  return sql`
    select ${momentOf(sql, 'day', question.interval)} ${dimensionsOf(sql, question)} ${sumsOf(sql)}
    from ${sql(isOfAllModels ? 'usage_value_days' : 'usage_tag_days')} u
    where u.day >= ${at(days.startMs)} and u.day < ${at(days.endMs)} ${ofTag(sql, question)} group by 1, 2, 3, 4`;
}

function dimensionsOf(sql: Sql, { groupBy, byTag }: TagUsageQuestion): Fragment[] {
  return [
    groupBy.includes('team') ? sql`u.team_id as team, ` : sql`null as team, `,
    groupBy.includes('model') ? sql`u.model, ` : sql`null as model, `,
    byTag ? sql`u.value as tag, ` : sql`null as tag, `,
  ];
}

/** Indexes begin with the team, so all teams are named. */
function ofTag(sql: Sql, { teamIds, tag: { name, value } }: TagUsageQuestion): Fragment {
  const ofTeams = teamIds
    ? sql`and u.team_id = any(${teamIds}::text[]::uuid[])`
    : sql`and u.team_id in (select id from teams)`;
  return sql`${ofTeams} and u.name = ${name} ${value === null ? sql`` : sql`and u.value = ${value}`}`;
}

function quarters(
  sql: Sql,
  question: TagUsageQuestion,
  ranges: readonly TimeRange[],
  moment: Fragment,
): Fragment {
  return sql`
    select ${moment} ${dimensionsOf(sql, question)} ${sumsOf(sql)}
    ${fromQuarters(sql, 'usage_tags', ranges)} ${ofTag(sql, question)} group by 1, 2, 3, 4`;
}

/** Adds, to the sums by value of each group, those of its calls without the tag. */
function withUntagged(tagged: TagUsageRow[], all: UsageRow[]): TagUsageRow[] {
  const groupOf = ({ startsAt, team, model }: UsageRow) => JSON.stringify([startsAt, team, model]);
  const byGroup = Map.groupBy(tagged, groupOf);
  return all.flatMap((whole) => {
    const rows = byGroup.get(groupOf(whole)) ?? [];
    const rest = rows.reduce(without, { ...whole, tag: null, quantities: {} });
    return rest.calls === 0 ? rows : [...rows, rest];
  });
}

const COUNTS = [
  'calls',
  'voidedCalls',
  'unknownCalls',
  'inputTokens',
  'cachedInputTokens',
  'cacheWriteTokens',
  'outputTokens',
  'reasoningTokens',
] as const;

/** The sums of a row without those of another. */
function without(row: TagUsageRow, other: TagUsageRow): TagUsageRow {
  const rest = {
    ...row,
    costUsd: formatUsd(usd(row.costUsd) - usd(other.costUsd)),
    unknownUsd: formatUsd(usd(row.unknownUsd) - usd(other.unknownUsd)),
  };
  for (const name of COUNTS) rest[name] = row[name] - other[name];
  return rest;
}

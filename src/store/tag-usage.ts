/** Usage of calls with a tag: sums of the tags' own rollups, by value, team and model, over any calendar interval. */

import type { Database, Fragment, Sql } from './database.ts';
import type { UsageQuestion, UsageRow } from './usage.ts';
import { planUsage } from './usage-plan.ts';
import {
  addedUp,
  allCalls,
  columnsOf,
  fromDays,
  fromQuarters,
  partsOf,
  type Source,
  sumsOf,
  usageRange,
} from './usage-sums.ts';

export interface TagUsageQuestion extends Omit<UsageQuestion, 'groupBy' | 'keyId' | 'departmentId'> {
  groupBy: readonly ('team' | 'model')[];
  /** Calls with a tag of this name; `value` not null: with this tag. */
  tag: { name: string; value: string | null };
  /** The values apart, and, unless there is one, the calls without the tag (`tag` null). */
  byTag: boolean;
}

export type TagUsageRow = UsageRow & { tag: string | null };

/** As columns of the parts. */
const DIMENSIONS = ['team', 'model', 'tag'];

/**
 * Sums usage by tag, oldest interval first, then by team, model and value. Intervals are put together as `readUsage` does it.
 *
 * Calls without the tag are all calls less those with it, in one statement, and so of one moment.
 */
export async function readTagUsage(
  { readSql: sql }: Database,
  question: TagUsageQuestion,
): Promise<TagUsageRow[]> {
  const range = await usageRange(sql, question);
  if (range === null) return [];
  const { byTag, tag, groupBy, top, limit } = question;
  const plan = planUsage(question.interval, question.timeZone, range);
  const isRestApart = byTag && tag.value === null;
  const whole = { dimensions: DIMENSIONS, ...allCalls(sql, question), sum: summing(sql, question, false) };
  const rows = await sql<Omit<TagUsageRow, 'quantities' | 'key' | 'operation' | 'department'>[]>`
    with ${partsOf(sql, 'of_tag', question, plan, taggedCalls(sql, question))},
    tagged as (select starts_at, team, model, tag, ${sumsOf(sql)} from of_tag group by 1, 2, 3, 4),
    ${isRestApart ? sql`${partsOf(sql, 'whole', question, plan, whole)},` : sql``}
    parts as (select * from tagged ${isRestApart ? sql`union all ${UNTAGGED(sql)}` : sql``})
    ${addedUp(sql, { dimensions: DIMENSIONS, groupBy: byTag ? [...groupBy, 'tag'] : groupBy, top, limit })}`;
  return rows.map((row) => ({ ...row, key: null, operation: null, department: null, quantities: {} }));
}

/** Of calls without the tag: all calls, and those with the tag taken away. */
const UNTAGGED = (sql: Sql) => sql`
  select * from whole
  union all select starts_at, team, model, null, ${columnsOf(sql, 'less')}
  from (select starts_at, team, model, ${sumsOf(sql)} from tagged group by 1, 2, 3) with_tag`;

/** Whole days; where no model is asked for, from the sums of all models. Of one value there is an index, and few rows. */
function taggedCalls(sql: Sql, question: TagUsageQuestion): Source {
  const isOfAllModels = !question.groupBy.includes('model') && question.tag.value === null;
  const days = isOfAllModels ? 'usage_value_days' : 'usage_tag_days';
  return {
    dimensions: DIMENSIONS,
    days: (range) => sql`${fromDays(sql, days, range)} ${ofTag(sql, question)}`,
    quarters: (ranges) => sql`${fromQuarters(sql, 'usage_tags', ranges)} ${ofTag(sql, question)}`,
    sum: summing(sql, question, question.byTag),
  };
}

/** Adds up rows `u` by their moment and the dimensions. */
function summing(sql: Sql, { groupBy }: TagUsageQuestion, byTag: boolean): Source['sum'] {
  const team = groupBy.includes('team') ? sql`u.team_id as team` : sql`null as team`;
  const model = groupBy.includes('model') ? sql`u.model` : sql`null as model`;
  const tag = byTag ? sql`u.value as tag` : sql`null as tag`;
  return (moment, rows) =>
    sql`select ${moment} ${team}, ${model}, ${tag}, ${sumsOf(sql)} ${rows} group by 1, 2, 3, 4`;
}

/** Indexes begin with the team, so all teams are named. */
function ofTag(sql: Sql, { teamIds, tag: { name, value } }: TagUsageQuestion): Fragment {
  const ofTeams = teamIds
    ? sql`and u.team_id = any(${teamIds}::text[]::uuid[])`
    : sql`and u.team_id in (select id from teams)`;
  return sql`${ofTeams} and u.name = ${name} ${value === null ? sql`` : sql`and u.value = ${value}`}`;
}

/** Usage of calls with a tag: sums of the tags' own rollups, by value, team and model, over any calendar interval. */

import type { TimeRange } from '../domain/window.ts';
import type { Database, Fragment, Sql } from './database.ts';
import type { UsageQuestion, UsageRow } from './usage.ts';
import { planUsage, type UsagePlan } from './usage-plan.ts';
import {
  addedUp,
  at,
  columnsOf,
  fromQuarters,
  momentOf,
  movedMoment,
  noonOf,
  ofOwner,
  rowsOf,
  startOf,
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
  const rows = await sql<Omit<TagUsageRow, 'quantities' | 'key' | 'operation' | 'department'>[]>`
    with days as (${daysOf(sql, question, plan.days)}),
    edges as (${quarters(sql, question, plan.edges, momentOf(sql, 'bucket_start', question.interval))}),
    moved as (${quarters(sql, question, plan.moved, movedMoment(sql))}),
    tagged as (
      select starts_at, team, model, tag, ${sumsOf(sql)} from (${putTogether(sql, question, '')}) p group by 1, 2, 3, 4),
    ${isRestApart ? allOf(sql, question, plan) : sql``}
    parts as (select * from tagged ${isRestApart ? sql`union all ${UNTAGGED(sql)}` : sql``})
    ${addedUp(sql, { dimensions: DIMENSIONS, groupBy: byTag ? [...groupBy, 'tag'] : groupBy, top, limit })}`;
  return rows.map((row) => ({ ...row, key: null, operation: null, department: null, quantities: {} }));
}

/** Of calls without the tag: all calls, and those with the tag taken away. */
const UNTAGGED = (sql: Sql) => sql`
  select * from whole
  union all select starts_at, team, model, null, ${columnsOf(sql, 'less')}
  from (select starts_at, team, model, ${sumsOf(sql)} from tagged group by 1, 2, 3) with_tag`;

/** All calls, with a tag or without, as parts without a value. */
function allOf(sql: Sql, question: TagUsageQuestion, { days, edges, moved }: UsagePlan): Fragment {
  const of = (moment: Fragment, rows: Fragment) => sql`
    select ${moment} ${dimensionsOf(sql, { ...question, byTag: false })} ${sumsOf(sql)} ${rows} group by 1, 2, 3, 4`;
  const ofDays = sql`
    from usage_days u where u.day >= ${at(days.startMs)} and u.day < ${at(days.endMs)} ${ofOwner(sql, question)}`;
  const ofQuarters = (ranges: readonly TimeRange[]) => rowsOf(sql, 'usage_rollups', question, ranges);
  return sql`
    all_days as (${of(momentOf(sql, 'day', question.interval), ofDays)}),
    all_edges as (${of(momentOf(sql, 'bucket_start', question.interval), ofQuarters(edges))}),
    all_moved as (${of(movedMoment(sql), ofQuarters(moved))}),
    whole as (${putTogether(sql, question, 'all_')}),`;
}

/** The rows of days, edges and moved quarters with the intervals in which they count. */
function putTogether(sql: Sql, { interval, timeZone }: TagUsageQuestion, prefix: '' | 'all_'): Fragment {
  const ofMoment = startOf(sql, sql`moment`, interval, timeZone);
  const ofNoon = startOf(sql, noonOf(sql), interval, timeZone);
  const [days, edges, moved] = [sql(`${prefix}days`), sql(`${prefix}edges`), sql(`${prefix}moved`)];
  const dimensions = sql`team, model, tag,`;
  const sums = columnsOf(sql);
  return sql`
    select ${ofNoon} as starts_at, ${dimensions} ${sums} from ${days}
    union all select ${ofMoment}, ${dimensions} ${sums} from ${edges}
    union all select ${ofMoment}, ${dimensions} ${sums} from ${moved}
    union all select ${ofNoon}, ${dimensions} ${columnsOf(sql, 'less')} from ${moved}`;
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

/**
 * Overview: what each team spent in the time ranges of the overview page; its calls, denials, errors and unknown outcomes.
 * Reads sums by day where a whole UTC day lies in a span, sums by quarter of an hour at its edges, never events;
 * a team at a time, each by the index that begins with it.
 */

import type { ErrorKind } from '../domain/errors.ts';
import type { TeamId } from '../domain/ids.ts';
import { ORGANIZATION_ID } from '../domain/limit.ts';
import { type PicoUsd, usd } from '../domain/money.ts';
import { DAY_MS, type TimeRange } from '../domain/window.ts';
import type { Fragment, Sql } from './database.ts';

/** Each begins and ends on a quarter of an hour. */
export interface OverviewRanges {
  month: TimeRange;
  previousMonth: TimeRange;
  today: TimeRange;
  /** Whose spending is the pace of what is to come. */
  recent: TimeRange;
}

export interface TeamSpend {
  id: TeamId;
  name: string;
  month: PicoUsd;
  previousMonth: PicoUsd;
  today: PicoUsd;
  recent: PicoUsd;
  callsToday: number;
  deniedToday: number;
  errorsToday: number;
  /** Charged for calls whose outcome is still unknown. */
  unknown: PicoUsd;
}

/** Of these teams, or of all; deleted ones too, because what they spent was spent. */
export async function readSpend(
  sql: Sql,
  ranges: OverviewRanges,
  teamIds: TeamId[] | null,
): Promise<TeamSpend[]> {
  const { month, previousMonth, today, recent } = ranges;
  const rows = await sql<Row[]>`
    select t.id, t.name, (${summed(sql, 'cost_usd', month)})::text as month,
      (${summed(sql, 'cost_usd', previousMonth)})::text as previous_month,
      (${summed(sql, 'cost_usd', today)})::text as today, (${summed(sql, 'cost_usd', recent)})::text as recent,
      (${summed(sql, 'calls', today)})::float8 as calls_today,
      (${apiErrors(sql, 'denial', today)}) as denied_today, (${apiErrors(sql, 'error', today)}) as errors_today,
      (select coalesce(sum(d.unknown_usd), 0)::text from usage_days d
        where d.team_id = t.id and d.unknown_usd <> 0) as unknown
    from teams t where t.id <> ${ORGANIZATION_ID} ${teamIds === null ? sql`` : sql`and t.id = any(${teamIds}::uuid[])`}`;
  return rows.map((row) => ({
    id: row.id,
    name: row.name,
    month: usd(row.month),
    previousMonth: usd(row.previous_month),
    today: usd(row.today),
    recent: usd(row.recent),
    callsToday: row.calls_today,
    deniedToday: row.denied_today,
    errorsToday: row.errors_today,
    unknown: usd(row.unknown),
  }));
}

interface Row {
  id: TeamId;
  name: string;
  month: string;
  previous_month: string;
  today: string;
  recent: string;
  calls_today: number;
  denied_today: number;
  errors_today: number;
  unknown: string;
}

/** A column's sum over a span, of the team `t`. */
function summed(sql: Sql, column: 'cost_usd' | 'calls', { startMs, endMs }: TimeRange): Fragment {
  const firstDayMs = Math.min(Math.ceil(startMs / DAY_MS) * DAY_MS, endMs);
  const lastDayMs = Math.max(Math.floor(endMs / DAY_MS) * DAY_MS, firstDayMs);
  const quarters = (from: number, to: number) => sql`
    (select coalesce(sum(r.${sql(column)}), 0) from usage_rollups r where r.team_id = t.id
      and r.bucket_start >= ${at(from)} and r.bucket_start < ${at(to)})`;
  return sql`${quarters(startMs, firstDayMs)} + ${quarters(lastDayMs, endMs)} +
    (select coalesce(sum(d.${sql(column)}), 0) from usage_days d where d.team_id = t.id
      and d.day >= ${at(firstDayMs)} and d.day < ${at(lastDayMs)})`;
}

/** The team's denials or errors within a span. */
function apiErrors(sql: Sql, kind: ErrorKind, { startMs, endMs }: TimeRange): Fragment {
  return sql`select coalesce(sum(r.calls), 0)::float8 from api_error_rollups r where r.team_id = t.id and r.kind = ${kind}
    and r.bucket_start >= ${at(startMs)} and r.bucket_start < ${at(endMs)}`;
}

function at(ms: number): string {
  return new Date(ms).toISOString();
}

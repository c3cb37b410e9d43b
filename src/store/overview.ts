/**
 * Overview: what each team spent in the time ranges of the overview page; its calls, denials, errors and unknown outcomes.
 * Reads sums by day where a whole UTC day lies in a span, sums by quarter of an hour at its edges, never events;
 * the teams by their ids, so that the index that begins with the team serves.
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
  const ofTeams = (column: Fragment) =>
    teamIds === null
      ? sql`${column} in (select id from teams)`
      : sql`${column} = any(${teamIds}::text[]::uuid[])`;
  const { startMs, endMs } = ranges.today;
  const [teams, sums, apiErrors, unknown] = await Promise.all([
    sql<{ id: TeamId; name: string }[]>`
      select id, name from teams where id <> ${ORGANIZATION_ID} and ${ofTeams(sql`id`)}`,
    readSums(sql, ranges, ofTeams),
    sql<{ team_id: TeamId; kind: ErrorKind; calls: number }[]>`
      select r.team_id, r.kind, sum(r.calls)::float8 as calls from api_error_rollups r
      where ${ofTeams(sql`r.team_id`)} and r.bucket_start >= ${at(startMs)} and r.bucket_start < ${at(endMs)}
      group by r.team_id, r.kind`,
    sql<{ team_id: TeamId; unknown: string }[]>`
      select team_id, sum(unknown_usd)::text as unknown from usage_days
      where unknown_usd <> 0 and ${ofTeams(sql`team_id`)} group by team_id`,
  ]);
  const counted = new Map(apiErrors.map((row) => [`${row.team_id} ${row.kind}`, row.calls]));
  const unresolved = new Map(unknown.map((row) => [row.team_id, usd(row.unknown)]));
  return teams.map(({ id, name }) => {
    const cost = (range: keyof OverviewRanges) => sums.get(`${id} ${range}`)?.cost ?? 0n;
    return {
      id,
      name,
      month: cost('month'),
      previousMonth: cost('previousMonth'),
      today: cost('today'),
      recent: cost('recent'),
      callsToday: sums.get(`${id} today`)?.calls ?? 0,
      deniedToday: counted.get(`${id} denial`) ?? 0,
      errorsToday: counted.get(`${id} error`) ?? 0,
      unknown: unresolved.get(id) ?? 0n,
    };
  });
}

/** Returns what each of these teams spent in a range, which begins and ends on a quarter of an hour; missing: nothing. */
export async function readSpent(
  sql: Sql,
  range: TimeRange,
  teamIds: readonly TeamId[],
): Promise<Map<TeamId, PicoUsd>> {
  const sums = await readSums(sql, { range }, (column) => sql`${column} = any(${teamIds}::text[]::uuid[])`);
  return new Map(
    teamIds.flatMap((id) => {
      const sum = sums.get(`${id} range`);
      return sum === undefined ? [] : [[id, sum.cost]];
    }),
  );
}

interface Sum {
  cost: PicoUsd;
  calls: number;
}

/** The sums of each range, by team and name of the range: whole UTC days from their table, the ends from the quarters. */
async function readSums(
  sql: Sql,
  ranges: OverviewRanges | { range: TimeRange },
  ofTeams: (column: Fragment) => Fragment,
): Promise<Map<string, Sum>> {
  const parts: Fragment[] = [];
  const add = (name: string, table: string, moment: string, fromMs: number, toMs: number) => {
    if (fromMs >= toMs) return;
    parts.push(sql`${parts.length > 0 ? sql`union all` : sql``}
      select r.team_id, ${name} as name, sum(r.cost_usd) as cost, sum(r.calls) as calls from ${sql(table)} r
      where ${ofTeams(sql`r.team_id`)} and r.${sql(moment)} >= ${at(fromMs)} and r.${sql(moment)} < ${at(toMs)}
      group by r.team_id`);
  };
  for (const [name, { startMs, endMs }] of Object.entries(ranges)) {
    const firstDayMs = Math.min(Math.ceil(startMs / DAY_MS) * DAY_MS, endMs);
    const lastDayMs = Math.max(Math.floor(endMs / DAY_MS) * DAY_MS, firstDayMs);
    add(name, 'usage_days', 'day', firstDayMs, lastDayMs);
    add(name, 'usage_rollups', 'bucket_start', startMs, firstDayMs);
    add(name, 'usage_rollups', 'bucket_start', lastDayMs, endMs);
  }
  if (parts.length === 0) return new Map();
  const rows = await sql<{ team_id: TeamId; name: string; cost: string; calls: number }[]>`
    select team_id, name, sum(cost)::text as cost, sum(calls)::float8 as calls from (${parts}) parts group by 1, 2`;
  return new Map(
    rows.map((row) => [`${row.team_id} ${row.name}`, { cost: usd(row.cost), calls: row.calls }]),
  );
}

function at(ms: number): string {
  return new Date(ms).toISOString();
}

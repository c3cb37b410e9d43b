/**
 * Values of tags that are open, and those that are closed because no call has named them for long. Invariant: what closes loses
 * nothing. Its sums stay in the rollups, and the counter of a limit goes only where these say the same: made again, it begins
 * where it was.
 */
import { defined } from '../domain/defined.ts';
import type { CounterId, LimitId, TeamId } from '../domain/ids.ts';
import { type Meter, ORGANIZATION_ID } from '../domain/limit.ts';
import { usd } from '../domain/money.ts';
import { parseTag } from '../domain/tags.ts';
import { QUARTER_HOUR_MS } from '../domain/window.ts';
import { runOnRaw, type Sql, type TransactionSql } from './database.ts';
import { lockTeamAlone } from './hot/counters.ts';
import { usedInWindow } from './window-usage.ts';

/**
 * Opens a value for a team unless it has as many open as it may; one that is open stays so.
 * @returns whether it is open
 */
export async function openTagValue(
  sql: Sql,
  teamId: TeamId,
  name: string,
  value: string,
  most: number,
): Promise<boolean> {
  return (await sql.begin(async (tx) => {
    const seen = await tx`
      update tag_values set seen_at = tollgate_now()
      where team_id = ${teamId} and name = ${name} and value = ${value} returning 1`;
    if (seen.length > 0) return true;
    // One at a time: two that count the same would both find room.
    await tx`select pg_advisory_xact_lock(hashtextextended(${`${teamId} ${name}`}, 0))`;
    const made = await tx`
      insert into tag_values (team_id, name, value, opened_at, seen_at)
      select ${teamId}, ${name}, ${value}, tollgate_now(), tollgate_now()
      where (select count(*) from tag_values where team_id = ${teamId} and name = ${name}) < ${String(most)}::int8
      on conflict (team_id, name, value) do update set seen_at = excluded.seen_at returning 1`;
    return made.length > 0;
  })) as boolean;
}

/** After how many days a value of a name without a rule is closed. */
const IDLE_DAYS = 30;
/** Counters that are looked at in one run. */
const CLOSED_MAX = 5_000;
const CLOSE_MS = 60_000;

interface IdleCounter {
  teamId: TeamId;
  id: CounterId;
  sourceId: LimitId;
  subjectId: string;
  meter: Meter;
  models: string[] | null;
  startsAtMs: number;
  endsAtMs: number | null;
}

/** Closes values that no call has named for as long as their rule says. Returns how many counters went. */
export async function closeIdleTagValues(sql: Sql): Promise<number> {
  // Apart from what deletes: on Citus a deletion of all teams cannot read an ordinary table.
  const [rules] = await sql<{ days: string }[]>`
    select coalesce(json_object_agg(name, idle_days), '{}')::text as days from tags`;
  await sql.within(CLOSE_MS)`
    delete from tag_values
    where seen_at < tollgate_now() - coalesce((${rules?.days ?? '{}'}::text::jsonb ->> name)::int4, ${IDLE_DAYS}::int4)
      * interval '1 day'`;
  const idle = await sql.within(CLOSE_MS)<IdleCounter[]>`
    select c.team_id as "teamId", c.id, c.source_id as "sourceId", c.subject_id as "subjectId", c.meter, c.models,
      (extract(epoch from c.starts_at) * 1000)::float8 as "startsAtMs",
      (extract(epoch from c.ends_at) * 1000)::float8 as "endsAtMs"
    from counters c
      join (
        select t.id, t.subject_id as name, t.created_at,
          tollgate_now() - coalesce(tags.idle_days, ${IDLE_DAYS}::int4) * interval '1 day' as since
        -- Those that name a value have one counter a window, of which something may be carried over.
        from limits t left join tags on tags.name = t.subject_id
        where t.subject_type = 'tag' and position('=' in t.subject_id) = 0) l
        on l.id = c.source_id
    where c.subject_type = 'tag' and c.team_id <> ${ORGANIZATION_ID} and c.rolling_ms is null and c.leased = 0 and c.held = 0
      and c.starts_at < l.since and l.created_at < l.since
      and not exists (
        select from usage_tag_days d where d.team_id = c.team_id and d.name = l.name
          and d.value = substr(c.subject_id, length(l.name) + 2) and d.day > l.since - interval '1 day')
      and not exists (
        select from tag_values v where v.team_id = c.team_id and v.name = l.name
          and v.value = substr(c.subject_id, length(l.name) + 2))
    limit ${CLOSED_MAX}`;
  let closed = 0;
  for (const counter of idle) if (await closeCounter(sql, counter)) closed++;
  return closed;
}

/** Under the lock that those take who make counters: none is made, and no event arrives, between the look and the end. */
async function closeCounter(sql: Sql, counter: IdleCounter): Promise<boolean> {
  const { teamId, id } = counter;
  return (await sql.begin({ deadlineMs: CLOSE_MS }, async (tx) => {
    await lockTeamAlone(tx, teamId);
    const [row] = await tx<{ settled: string; free: boolean }[]>`
      select settled::text, leased = 0 and held = 0 as free from counters
      where team_id = ${teamId} and id = ${id} for update`;
    if (!row?.free || !(await isInRollups(tx, counter, usd(row.settled)))) return false;
    // Its leases, of which nothing is out, stay until their instances end: one that still knows it would take their loss for a
    // store that went back.
    await tx`delete from counters where team_id = ${teamId} and id = ${id}`;
    return true;
  })) as boolean;
}

/**
 * Of calls of unknown outcome the rollups know no tokens: such a counter stays. So does one that began within a quarter of an hour (a
 * reset): that part of it is in the events alone, which may be archived. One whose window is over is not needed again.
 */
async function isInRollups(tx: TransactionSql, counter: IdleCounter, settled: bigint): Promise<boolean> {
  const { startsAtMs, endsAtMs } = counter;
  const [now] = await tx<{ ms: number }[]>`select (extract(epoch from tollgate_now()) * 1000)::float8 as ms`;
  if (endsAtMs !== null && endsAtMs < defined(now, 'the row of the statement').ms) return true;
  if (startsAtMs % QUARTER_HOUR_MS !== 0 || parseTag(counter.subjectId).value === null) return false;
  const rule = { ...counter, subjectType: 'tag' } as const;
  return (await usedInWindow(runOnRaw(tx), rule, startsAtMs, endsAtMs)) === settled;
}

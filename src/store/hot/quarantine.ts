/**
 * Events that Postgres cannot store, as they are: a character that no text may hold, a number too large for its column.
 * Owns: setting such an event aside, as text, so that it blocks none behind it, and bringing it back. Invariants: what it
 * cost is on its counters from the moment it is set aside, once; no event is lost: it is in the journal, or here, or in
 * the ledger.
 */
import type { TeamId } from '../../domain/ids.ts';
import { type Sql, sqlState, type TransactionSql } from '../database.ts';
import type { FlushEvent } from './batch.ts';
import { keepObjects } from './objects.ts';
import { addRollups } from './rollups.ts';

/** Data that does not fit its type, a broken constraint, a limit of Postgres: sent again it fails again. */
const ROW_ERRORS = /^(?:22|23|54)/;

/** Whether an error is about a row that was sent, rather than about the server or the connection. */
export function isRowError(error: unknown): boolean {
  return ROW_ERRORS.test(sqlState(error) ?? '');
}

/**
 * Sends all; when a row cannot be stored, halves of them, until it is alone, and then sets it aside.
 * @throws any other error: then all may be sent again
 */
export async function sendApart<Each>(
  all: readonly Each[],
  send: (some: readonly Each[]) => Promise<unknown>,
  setAside: (one: Each, error: unknown) => Promise<unknown>,
): Promise<void> {
  if (all.length === 0) return;
  try {
    await send(all);
  } catch (error) {
    if (!isRowError(error)) throw error;
    const [first] = all;
    if (all.length === 1 && first !== undefined) {
      await setAside(first, error);
      return;
    }
    const half = all.length >> 1;
    await sendApart(all.slice(0, half), send, setAside);
    await sendApart(all.slice(half), send, setAside);
  }
}

const PROBLEM_LENGTH_MAX = 500;

/** Keeps an event as text. Returns whether it was not here yet. */
export async function keepAside(
  tx: TransactionSql,
  instanceId: string,
  { id, teamId, json }: FlushEvent,
  error: unknown,
  isCharged: boolean,
): Promise<boolean> {
  const rows = await tx`
    insert into quarantined_events (team_id, id, instance_id, event, problem, is_charged, set_aside_at)
    select ${teamId}::uuid, ${id}::uuid, ${instanceId}::uuid, ${json.toString()}, ${problemOf(error)}, ${isCharged}::boolean, tollgate_now()
    where not exists (select 1 from usage_events where team_id = ${teamId} and id = ${id})
    on conflict do nothing returning id`;
  return rows.length > 0;
}

function problemOf(error: unknown): string {
  const { message } = error instanceof Error ? error : new Error(String(error));
  return `${sqlState(error) ?? ''} ${message}`.replaceAll('\0', '').slice(0, PROBLEM_LENGTH_MAX);
}

/** Events brought back in one run. */
const RESTORED_MAX = 1_000;

/**
 * Stores what was set aside and can be stored by now: its text was mended, or this release can. It is on its counters
 * already. Returns how many events came back.
 */
export async function restoreQuarantined(sql: Sql): Promise<number> {
  const waiting = await sql<{ team_id: TeamId; id: string }[]>`
    select team_id, id from quarantined_events order by set_aside_at limit ${RESTORED_MAX}`;
  let restored = 0;
  for (const { team_id: teamId, id } of waiting) {
    try {
      restored += await sql.begin((tx) => restore(tx, teamId, id));
    } catch (error) {
      if (!isRowError(error)) throw error;
      await sql`update quarantined_events set problem = ${problemOf(error)} where team_id = ${teamId} and id = ${id}`;
    }
  }
  return restored;
}

async function restore(tx: TransactionSql, teamId: TeamId, id: string): Promise<number> {
  const [row] = await tx<{ event: string }[]>`
    delete from quarantined_events where (team_id, id) in (
      select team_id, id from quarantined_events where team_id = ${teamId} and id = ${id} for update skip locked)
    returning event`;
  if (!row) return 0;
  const rows = await tx`
    with fresh as (
      insert into usage_events
      select * from json_populate_recordset(null::usage_events, ${`[${row.event}]`}::text::json)
      on conflict do nothing returning *),
    ${addRollups(tx)}
    select id from fresh`;
  if (rows.length > 0) await keepObjects(tx, [{ id, teamId, json: Buffer.from(row.event) }]);
  return rows.length;
}

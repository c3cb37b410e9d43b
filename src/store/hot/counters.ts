/**
 * Counters in Postgres: found, locked, and made when a limit or grant is first needed. Invariants: rows are locked in
 * the order of team and id; a counter starts with what its window had seen before, and misses nothing afterwards.
 */

import { type SQL, sql as statement } from 'drizzle-orm';
import { type CounterSpec, windowAnchorId } from '../../domain/counter.ts';
import { defined } from '../../domain/defined.ts';
import type { TeamId } from '../../domain/ids.ts';
import { type Meter, ORGANIZATION_ID } from '../../domain/limit.ts';
import { usd } from '../../domain/money.ts';
import { type CounterState, formatUsd } from '../../domain/quantities.ts';
import { parseTag } from '../../domain/tags.ts';
import { type Fragment, runOnRaw, type Sql, type TransactionSql } from '../database.ts';
import { usedInWindow } from '../window-usage.ts';
import { type AtPlace, isAt } from './places.ts';

export interface LockedCounter extends CounterState {
  isContended: boolean;
}

/** Names a row: an id alone is the same for an end user of the same name in two teams. */
export const keyOf = ({ teamId, id }: Pick<CounterSpec, 'teamId' | 'id'>) => `${teamId}/${id}`;

type Name = Pick<CounterSpec, 'teamId'> & { id: string };

/** Locks the existing counters among these until the end of the transaction; returns them by key. */
export async function lockCounters(
  tx: TransactionSql,
  specs: readonly AtPlace<Name>[],
): Promise<Map<string, LockedCounter>> {
  type Counter = Record<'team_id' | 'id' | 'amount' | 'settled' | 'held' | 'leased', string> & {
    is_scarce: boolean;
  };
  // Sent together; they run in this order.
  const rows = await Promise.all(
    specs.map(
      ({ place, rows }) => tx<Counter[]>`
        select c.team_id, c.id, amount::text, settled::text, held::text, leased::text,
          coalesce(scarce_until > tollgate_now(), false) as is_scarce
        from counters c join ${named(tx, rows)} as w(team_id, id) on c.team_id = w.team_id::uuid and c.id = w.id
        where ${isAt(tx, 'c', place)}
        order by c.team_id, c.id for update of c`,
    ),
  );
  return new Map(
    rows.flat().map((row): [string, LockedCounter] => [
      `${row.team_id}/${row.id}`,
      {
        amount: usd(row.amount),
        settled: usd(row.settled),
        held: usd(row.held),
        leased: usd(row.leased),
        isContended: row.is_scarce,
      },
    ]),
  );
}

/** A table of `(team_id, id)`, both as text. */
export function named(tx: TransactionSql, names: readonly Name[]): Fragment {
  return tx`unnest(${names.map((name) => name.teamId)}::text[], ${names.map((name) => name.id)}::text[])`;
}

/** How long each statement may take that makes a counter: it may have to sum up a year of a large ledger. */
const CREATE_MS = 20_000;

/**
 * Makes the counters that do not exist yet. A limit counts its whole current window, so its counter starts with
 * what the ledger says was already used; the lock on the team keeps a flush from adding events in between (it takes the
 * same row FOR KEY SHARE and then sees the new counter). In transactions of their own, one a team: who locks a counter
 * and then the team would meet a flush that holds the team and wants the counter. Those of a subject that has
 * `maxSubjects` already are not made.
 */
export async function createCounters(
  sql: Sql,
  specs: readonly CounterSpec[],
  maxSubjects: number,
): Promise<void> {
  for (const [teamId, ofTeam] of Map.groupBy(specs, (spec) => spec.teamId)) {
    await sql.begin({ deadlineMs: CREATE_MS }, async (tx) => {
      await lockTeamAlone(tx, teamId);
      for (const spec of ofTeam.toSorted((a, b) => (a.id < b.id ? -1 : 1))) {
        if (mayBeTooMany(spec) && (await subjectsOf(tx, spec)) >= (await subjectsMax(tx, spec, maxSubjects)))
          continue;
        if (spec.rollingMs === null) await createCounter(tx, spec);
        else await createAnchor(tx, spec, spec.rollingMs);
      }
    });
  }
}

/** Locks a team so that no counter of it is made, and no event of it arrives, until the end of the transaction. */
export async function lockTeamAlone(tx: TransactionSql, teamId: TeamId): Promise<void> {
  await tx`select id from teams where id = ${teamId} for update`;
  await excludeFlushes(tx, [teamId]);
}

/** Any number, the same in every version of Tollgate; of the locks that flushes share. */
const FLUSH_LOCKS = 865_542_831;
const FLUSH_LOCKS_MAX = 64;

/**
 * Beside the row of a team, what a flush of that team shares and what must not meet one takes alone, always after the
 * rows. A transaction over several machines (Citus) frees its row locks when it has committed here, some milliseconds
 * before its rows can be seen there; an advisory lock it frees when all of it is done.
 */
async function excludeFlushes(tx: TransactionSql, teamIds: readonly TeamId[]): Promise<void> {
  await tx`select pg_advisory_xact_lock(${FLUSH_LOCKS}::int4, n::int4) from unnest(${flushLocks(teamIds)}::text[]) n`;
}

/** The share of a flush in the locks of {@link excludeFlushes}: to be sent after that which locks the rows of the teams. */
export function shareFlushes(teamIds: readonly TeamId[]): SQL {
  const locks = statement.param(flushLocks(teamIds));
  return statement`
    select pg_advisory_xact_lock_shared(${FLUSH_LOCKS}::int4, n::int4) from unnest(${locks}::text[]) n`;
}

/** Few, since a server has room for some thousands; in one order. */
function flushLocks(teamIds: readonly TeamId[]): string[] {
  const numbers = new Set(teamIds.map((teamId) => Number.parseInt(teamId.slice(-4), 16) % FLUSH_LOCKS_MAX));
  return [...numbers].sort((a, b) => a - b).map(String);
}

/** Whether a limit may count so many subjects of this kind that one more is refused. */
export function mayBeTooMany({ subjectType }: Pick<CounterSpec, 'subjectType'>): boolean {
  return subjectType === 'user' || subjectType === 'tag';
}

/** Of a tag, as many as its rule says. */
async function subjectsMax(
  tx: TransactionSql,
  { subjectType, subjectId }: CounterSpec,
  usual: number,
): Promise<number> {
  if (subjectType !== 'tag') return usual;
  const { name } = parseTag(subjectId);
  const [row] = await tx<{ most: number }[]>`select max_values as most from tags where name = ${name}`;
  return row?.most ?? usual;
}

/** One counter a window, or one anchor, stands for each subject; each question has an index of its own. */
async function subjectsOf(tx: TransactionSql, spec: CounterSpec): Promise<number> {
  const startsAt = new Date(spec.startsAtMs).toISOString();
  const those = spec.rollingMs === null ? tx`starts_at = ${startsAt}::timestamptz` : tx`is_head`;
  const [row] = await tx<{ subjects: number }[]>`
    select count(*)::int4 as subjects from counters
    where source_id = ${spec.sourceId} and team_id = ${spec.teamId} and ${those}`;
  return defined(row, 'the row of the statement').subjects;
}

/** What each source is a row of. */
const TABLES = { limit: 'limits', grant: 'grants', raise: 'limit_raises' } as const;

async function createCounter(tx: TransactionSql, spec: CounterSpec): Promise<void> {
  const { source, startsAtMs, endsAtMs } = spec;
  // Nothing was used of a new grant or raise; what was used of a limit is in the rollups.
  const used = source !== 'limit' ? 0n : await usedInWindow(runOnRaw(tx), spec, startsAtMs, endsAtMs);
  await insertCounter(tx, spec, used + (await settledBefore(tx, spec)));
}

/** What an event adds to the rollups, of the meters of which that may be less than it was charged. */
const TOKENS: Partial<Record<Meter, string>> = {
  tokens: 'e.input_tokens + e.output_tokens',
  input_tokens: 'e.input_tokens',
  output_tokens: 'e.output_tokens',
};

/**
 * What a counter had paid for that the rollups do not know: all of a grant, and of a limit the tokens of calls whose usage is
 * not known. Only a counter that the store has forgotten, and that is made again, was named by any event: one whose
 * window was open when the store went back.
 */
async function settledBefore(tx: TransactionSql, spec: CounterSpec): Promise<bigint> {
  const known = spec.source !== 'limit' ? '0' : TOKENS[spec.meter];
  if (known === undefined) return 0n;
  const source = tx(TABLES[spec.source]);
  const startsAt = new Date(spec.startsAtMs).toISOString();
  const endsAt = spec.endsAtMs === null ? null : new Date(spec.endsAtMs).toISOString();
  const [row] = await tx<{ settled: string | null }[]>`
    select sum((part ->> 'settled')::numeric - (${tx.unsafe(known)}))::text as settled
    from ${source} s
      join store_history h on h.began_at > s.created_at and h.began_at >= ${startsAt}::timestamptz
        and h.began_at < coalesce(${endsAt}::timestamptz, 'infinity')
      join usage_events e on e.created_at >= greatest(s.created_at, ${startsAt}::timestamptz)
        and (e.team_id = ${spec.teamId} or ${spec.teamId} = ${ORGANIZATION_ID})
      cross join jsonb_array_elements(e.allocations) part
    where s.id = ${spec.sourceId} and part ->> 'counter' = ${spec.id}`;
  return usd(row?.settled ?? '0');
}

/** The anchor of a rolling window stands for what the window had seen before its first bucket was made. */
async function createAnchor(tx: TransactionSql, spec: CounterSpec, rollingMs: number): Promise<void> {
  const [{ now_ms: nowMs } = { now_ms: 0 }] = await tx<{ now_ms: number }[]>`
    select floor(extract(epoch from tollgate_now()) * 1000)::float8 as now_ms`;
  const span = { startsAtMs: nowMs - rollingMs, endsAtMs: nowMs };
  const settled = await usedInWindow(runOnRaw(tx), spec, span.startsAtMs, nowMs);
  await insertCounter(tx, { ...spec, ...span, id: windowAnchorId(spec) }, settled);
}

async function insertCounter(tx: TransactionSql, spec: CounterSpec, settled: bigint): Promise<void> {
  const table = tx(TABLES[spec.source]);
  // A limit of the end users or tags of all teams is changed under another lock than the team's: its amount must be the last.
  await tx`select 1 from ${table} where id = ${spec.sourceId} for share`;
  const amount = spec.source === 'grant' ? tx`amount_usd` : tx`amount`;
  const endsAt = spec.endsAtMs === null ? null : new Date(spec.endsAtMs).toISOString();
  await tx`
    insert into counters (team_id, id, source, source_id, subject_type, subject_id, models, meter, starts_at, ends_at,
      rolling_ms, amount, settled)
    select ${spec.teamId}, ${spec.id}, ${spec.source}, ${spec.sourceId}, ${spec.subjectType}, ${spec.subjectId},
      ${spec.models}::text[], ${spec.meter}, ${new Date(spec.startsAtMs).toISOString()}::timestamptz,
      ${endsAt}::timestamptz, ${spec.rollingMs}, case when source.deleted_at is null then source.${amount} else 0 end,
      ${formatUsd(settled)}::numeric
    from ${table} source where source.id = ${spec.sourceId}
    on conflict do nothing`;
}

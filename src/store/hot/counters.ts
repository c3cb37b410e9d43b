/**
 * Counters in Postgres: found, locked, and made when a limit or grant is first needed. Invariants: rows are locked in
 * the order of team and id; a counter starts with what its window had seen before, and misses nothing afterwards.
 */

import type { Sql, TransactionSql } from 'postgres';
import { type CounterSpec, windowAnchorId } from '../../domain/counter.ts';
import { defined } from '../../domain/defined.ts';
import { formatUsd, usd } from '../../domain/money.ts';
import type { CounterState } from '../../domain/quantities.ts';
import { runOnRaw } from '../database.ts';
import { usedInWindow } from '../window-usage.ts';

export interface LockedCounter extends CounterState {
  isContended: boolean;
}

/** Names a row: an id alone is the same for an end user of the same name in two teams. */
export const keyOf = ({ teamId, id }: Pick<CounterSpec, 'teamId' | 'id'>) => `${teamId}/${id}`;

/** Locks the existing counters among these until the end of the transaction; returns them by key. */
export async function lockCounters(
  tx: TransactionSql,
  specs: readonly Pick<CounterSpec, 'teamId' | 'id'>[],
): Promise<Map<string, LockedCounter>> {
  const teams = specs.map((spec) => spec.teamId);
  const ids = specs.map((spec) => spec.id);
  const rows = await tx<
    (Record<'team_id' | 'id' | 'amount' | 'settled' | 'held' | 'leased', string> & { is_scarce: boolean })[]
  >`
    select c.team_id, c.id, amount::text, settled::text, held::text, leased::text,
      coalesce(scarce_until > tollgate_now(), false) as is_scarce
    from counters c join unnest(${teams}::text[], ${ids}::text[]) as w(team_id, id)
      on c.team_id = w.team_id::uuid and c.id = w.id
    order by c.team_id, c.id for update of c`;
  return new Map(
    rows.map((row): [string, LockedCounter] => [
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

/**
 * Makes the counters that do not exist yet. A limit counts its whole current window, so its counter starts with
 * what the ledger says was already used; the lock on the team keeps a flush from adding events in between (it takes the
 * same row FOR KEY SHARE and then sees the new counter). In a transaction of its own: who locks a counter and then the
 * team would meet a flush that holds the team and wants the counter. Those of a subject that has `maxSubjects` already
 * are not made.
 */
export async function createCounters(
  sql: Sql,
  specs: readonly CounterSpec[],
  maxSubjects: number,
): Promise<void> {
  await sql.begin(async (tx) => {
    const teams = [...new Set(specs.map((spec) => spec.teamId))].sort();
    await tx`select id from teams where id = any(${teams}::text[]::uuid[]) order by id for update`;
    for (const spec of specs.toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1))) {
      if (spec.subjectType === 'user' && (await subjectsOf(tx, spec)) >= maxSubjects) continue;
      if (spec.rollingMs === null) await createCounter(tx, spec);
      else await createAnchor(tx, spec, spec.rollingMs);
    }
  });
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

async function createCounter(tx: TransactionSql, spec: CounterSpec): Promise<void> {
  const settled =
    spec.source === 'grant' ? 0n : await usedInWindow(runOnRaw(tx), spec, spec.startsAtMs, spec.endsAtMs);
  await insertCounter(tx, spec, settled);
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
  const table = spec.source === 'limit' ? tx`limits` : tx`grants`;
  const amount = spec.source === 'limit' ? tx`amount` : tx`amount_usd`;
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

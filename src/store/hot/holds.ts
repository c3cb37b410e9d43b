/**
 * Durable holds: calls that take long, kept in Postgres on their own. Invariant: a hold is kept once and ends once,
 * however often and by however many instances it is sent: what it takes moves from the lease to the counter's `held` with its row, and out
 * of it when the event of the call is inserted.
 */

import { momentOfUuidV7 } from '../../domain/ids.ts';
import { ORGANIZATION_ID } from '../../domain/limit.ts';
import { usd } from '../../domain/money.ts';
import { formatUsd } from '../../domain/quantities.ts';
import type { TransactionSql } from '../database.ts';
import { type CounterRow, type EndedHolds, type FlushBatch, type FlushEvent, NO_INSTANCE } from './batch.ts';

/**
 * Keeps the holds of a batch that are not kept yet and whose calls have not ended, under the locks of their counters.
 * @param payer whose leases had lent the money; `NO_INSTANCE`: no lease pays
 */
export async function keepHolds(
  tx: TransactionSql,
  { instanceId, holds = [] }: Pick<FlushBatch, 'instanceId' | 'holds'>,
  counters: readonly CounterRow[],
  payer: string = instanceId,
): Promise<void> {
  if (holds.length === 0) return;
  const rows = holds.map(({ id, teamId, allocations }) => ({
    id,
    team_id: teamId,
    created_at: new Date(momentOfUuidV7(id)).toISOString(),
    allocations: allocations.map(({ counterId, held }) => ({ counter: counterId, held: formatUsd(held) })),
  }));
  const kept = await tx<{ id: string }[]>`
    with ended as (
      select id from usage_events
      where team_id = any(${rows.map((row) => row.team_id)}::text[]::uuid[])
        and created_at = any(${rows.map((row) => row.created_at)}::text[]::timestamptz[])
        and id = any(${rows.map((row) => row.id)}::text[]::uuid[]))
    insert into holds (team_id, id, instance_id, allocations, created_at)
    select r.team_id, r.id, ${instanceId}, r.allocations, r.created_at
    from json_to_recordset(${JSON.stringify(rows)}::text::json)
      as r(team_id uuid, id uuid, allocations jsonb, created_at timestamptz)
    where r.id not in (select id from ended)
    on conflict do nothing returning id`;
  const fresh = new Set(kept.map((row) => row.id));
  const known = new Set(counters.map((row) => `${row.teamId}/${row.id}`));
  const sums = new Map<string, { teamId: string; id: string; held: bigint }>();
  for (const hold of holds) {
    if (!fresh.has(hold.id)) continue;
    for (const { counterId, held } of hold.allocations) {
      const teamId = known.has(`${hold.teamId}/${counterId}`) ? hold.teamId : ORGANIZATION_ID;
      const sum = sums.get(`${teamId}/${counterId}`) ?? { teamId, id: counterId, held: 0n };
      sum.held += held;
      sums.set(`${teamId}/${counterId}`, sum);
    }
  }
  for (const { teamId, id, held } of sums.values()) {
    const amount = formatUsd(held);
    const paid = payer === NO_INSTANCE ? '0' : amount;
    await tx`
      with paid as (
        update leases set settled = settled + ${amount}::numeric
        where team_id = ${teamId} and counter_id = ${id} and instance_id = ${payer})
      update counters set held = held + ${amount}::numeric,
        leased = leased - ${paid}::numeric
      where team_id = ${teamId} and id = ${id}`;
  }
}

/** Ends the holds of calls whose events were just inserted. */
export async function endHolds(tx: TransactionSql, events: readonly FlushEvent[]): Promise<EndedHolds> {
  const ids = events.map((event) => event.id);
  const rows = await tx<{ id: string; allocations: { counter: string; held: string }[] }[]>`
    delete from holds where team_id = any(${[...new Set(events.map((event) => event.teamId))]}) and id = any(${ids})
    returning id, allocations`;
  return new Map(
    rows.map((row) => [row.id, new Map(row.allocations.map((part) => [part.counter, usd(part.held)]))]),
  );
}

/**
 * What the events of a batch move in the counters. A limit counts every call of its subject in its window, also those
 * admitted before it was made; a grant only what was held against it. A lease pays for the part that it held; an overrun
 * is on the counter alone, and so is everything of an instance that was ended before: its leases were taken back then.
 * What a durable hold held was the counter's own (`held`), and its lease has paid it already.
 */
import type { TransactionSql } from 'postgres';
import { counted } from '../domain/counter.ts';
import { ORGANIZATION_ID } from '../domain/limit.ts';
import { formatUsd } from '../domain/money.ts';
import type { CounterRow, EndedHolds, FlushEvent } from './batch.ts';

interface Sums {
  settled: bigint;
  /** Out of the lease. */
  leased: bigint;
  /** Out of what the counter holds for long calls. */
  held: bigint;
}

export async function moveCounters(
  tx: TransactionSql,
  instanceId: string,
  counters: readonly CounterRow[],
  events: readonly FlushEvent[],
  ended: EndedHolds,
): Promise<void> {
  const byTeam = Map.groupBy(counters, (row) => row.teamId);
  const moved = new Map<CounterRow, Sums>();
  for (const event of events) {
    const durable = ended.get(event.id);
    for (const teamId of [event.teamId, ORGANIZATION_ID]) {
      for (const row of byTeam.get(teamId) ?? []) addEvent(moved, row, event, durable);
    }
  }
  const rows = [...moved].filter(([, { settled, held }]) => settled > 0n || held > 0n);
  if (rows.length > 0) await writeSums(tx, instanceId, rows);
}

function addEvent(
  moved: Map<CounterRow, Sums>,
  row: CounterRow,
  event: FlushEvent,
  durable: ReadonlyMap<string, bigint> | undefined,
): void {
  const part = event.allocations.find((allocation) => allocation.counterId === row.id);
  const settled = part ? part.settled : counted(row, event);
  const kept = durable?.get(row.id) ?? 0n;
  if (settled === 0n && kept === 0n) return;
  const sum = moved.get(row) ?? { settled: 0n, leased: 0n, held: 0n };
  sum.settled += settled;
  sum.held += kept;
  if (part && kept === 0n) sum.leased += part.settled < part.held ? part.settled : part.held;
  moved.set(row, sum);
}

async function writeSums(tx: TransactionSql, instanceId: string, rows: [CounterRow, Sums][]): Promise<void> {
  const teams = rows.map(([row]) => row.teamId);
  const ids = rows.map(([row]) => row.id);
  const settled = rows.map(([, sum]) => formatUsd(sum.settled));
  const leased = rows.map(([, sum]) => formatUsd(sum.leased));
  const held = rows.map(([, sum]) => formatUsd(sum.held));
  await tx`
    with moved as (
      select * from unnest(${teams}::text[], ${ids}::text[], ${settled}::text[], ${leased}::text[], ${held}::text[])
        as m(team_id, id, settled, leased, held)),
    paid as (
      update leases l set settled = l.settled + m.leased::numeric from moved m
      where l.team_id = m.team_id::uuid and l.counter_id = m.id and l.instance_id = ${instanceId}
      returning m.team_id, m.id, m.leased)
    update counters c set settled = c.settled + m.settled::numeric, leased = c.leased - coalesce(p.leased::numeric, 0),
      held = c.held - m.held::numeric
    from moved m left join paid p on p.team_id = m.team_id and p.id = m.id
    where c.team_id = m.team_id::uuid and c.id = m.id`;
}

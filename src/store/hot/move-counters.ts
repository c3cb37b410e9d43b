/**
 * What events move in the counters. A limit counts every call of its subject in its window, also those admitted before
 * it was made; a grant only what was held against it. A lease pays for the part that it held; an overrun is on the
 * counter alone, and so is everything of an instance that was ended before: its leases were taken back then. What a
 * durable hold held was the counter's own (`held`), and its lease has paid it already.
 */

import { sql } from 'drizzle-orm';
import { anchorIdOf, counted, isHeldBeside } from '../../domain/counter.ts';
import type { TeamId } from '../../domain/ids.ts';
import { ORGANIZATION_ID } from '../../domain/limit.ts';
import { formatUsd } from '../../domain/quantities.ts';
import type { Run } from '../database.ts';
import type { CounterRow, EndedHolds, FlushEvent } from './batch.ts';
import type { AtPlace } from './places.ts';

/** What is added to a counter's `settled`, and taken from its lease and from what it holds for long calls. */
export interface CounterMove {
  teamId: TeamId;
  id: string;
  settled: bigint;
  leased: bigint;
  held: bigint;
}

/** Sums what new events move in counters that are locked. */
export function movesOf(
  counters: readonly CounterRow[],
  events: readonly FlushEvent[],
  ended: EndedHolds,
): CounterMove[] {
  const byTeam = Map.groupBy(counters, (row) => row.teamId);
  const moves = new Map<CounterRow, CounterMove>();
  const common = byTeam.get(ORGANIZATION_ID) ?? [];
  for (const event of events) {
    const durable = ended.get(event.id);
    const own = byTeam.get(event.teamId) ?? [];
    for (const row of own) addEvent(moves, own, row, event, durable);
    if (own !== common) for (const row of common) addEvent(moves, common, row, event, durable);
  }
  // Below 0 is what a posting pays back.
  return [...moves.values()].filter(({ settled, held }) => settled !== 0n || held > 0n);
}

/**
 * Whether the row is the anchor of a bucket that counts the event. The event may be older than the anchor where the store has
 * forgotten both and they were made again.
 */
function isInBucket(rows: readonly CounterRow[], { id }: CounterRow, event: FlushEvent): boolean {
  return event.allocations.some(
    ({ counterId }) =>
      counterId !== id && anchorIdOf(counterId) === id && rows.some((row) => row.id === counterId),
  );
}

function addEvent(
  moves: Map<CounterRow, CounterMove>,
  rows: readonly CounterRow[],
  row: CounterRow,
  event: FlushEvent,
  durable: ReadonlyMap<string, bigint> | undefined,
): void {
  const part = event.allocations.find((allocation) => allocation.counterId === row.id);
  const settled = part ? part.settled : counted(row, event);
  const kept = durable?.get(row.id) ?? 0n;
  if (settled === 0n && kept === 0n) return;
  if (!part && (isInBucket(rows, row, event) || isHeldBeside(row.id, event.allocations))) return;
  const { teamId, id } = row;
  const move = moves.get(row) ?? { teamId, id, settled: 0n, leased: 0n, held: 0n };
  move.settled += settled;
  move.held += kept;
  if (part && kept === 0n) move.leased += part.settled < part.held ? part.settled : part.held;
  moves.set(row, move);
}

/**
 * Moves counters of one place that are locked.
 * @param payer whose leases pay; `NO_INSTANCE`: nothing is taken from a lease
 */
export async function moveCounters(
  run: Run,
  payer: string,
  { place, rows: moves }: AtPlace<CounterMove>,
): Promise<void> {
  if (moves.length === 0) return;
  const isHere = (table: string) =>
    place.isOnly
      ? sql`true`
      : sql`${sql.identifier(table)}.team_id = any(${sql.param(place.teamIds)}::text[]::uuid[])`;
  const column = (pick: (move: CounterMove) => string) => sql`${sql.param(moves.map(pick))}::text[]`;
  await run(sql`
    with moved as (
      select * from unnest(${column((move) => move.teamId)}, ${column((move) => move.id)},
        ${column((move) => formatUsd(move.settled))}, ${column((move) => formatUsd(move.leased))},
        ${column((move) => formatUsd(move.held))}) as m(team_id, id, settled, leased, held)),
    paid as (
      update leases l set settled = l.settled + m.leased::numeric from moved m
      where l.team_id = m.team_id::uuid and l.counter_id = m.id and l.instance_id = ${payer}
        and ${isHere('l')}
      returning m.team_id, m.id, m.leased)
    update counters c set settled = c.settled + m.settled::numeric, leased = c.leased - coalesce(p.leased::numeric, 0),
      held = c.held - m.held::numeric
    from moved m left join paid p on p.team_id = m.team_id and p.id = m.id
    where c.team_id = m.team_id::uuid and c.id = m.id and ${isHere('c')}`);
}

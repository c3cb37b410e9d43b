/**
 * Counters that the store has forgotten, and that nothing would make again: those of grants that have expired meanwhile, and
 * buckets of rolling windows other than the present one. They are made before the events are put back that name them. Any
 * other counter is made from the events when it is needed.
 */
import {
  anchorIdOf,
  type CounterSpec,
  grantCounter,
  sourceIdOf,
  windowStartOf,
} from '../../domain/counter.ts';
import type { CounterId, GrantId, TeamId } from '../../domain/ids.ts';
import { ORGANIZATION_ID } from '../../domain/limit.ts';
import { bucketMs } from '../../domain/window.ts';
import type { Sql } from '../database.ts';
import type { FlushEvent } from './batch.ts';
import { createCounters, keyOf } from './counters.ts';
import { type Bucket, openBuckets } from './flows.ts';

/** A counter that exists. */
type Row = Omit<CounterSpec, 'amount' | 'startsAtMs' | 'endsAtMs'>;

/** Makes the counters that these events name, that do not exist, and that would not be made otherwise. */
export async function createForgotten(sql: Sql, events: readonly FlushEvent[]): Promise<void> {
  const named = new Map<string, { teamId: TeamId; id: CounterId }>();
  for (const { teamId, allocations } of events) {
    for (const { counterId: id } of allocations) named.set(keyOf({ teamId, id }), { teamId, id });
  }
  if (named.size === 0) return;
  const names = [...named.values()];
  const teams = [...new Set(names.map(({ teamId }) => teamId))];
  const rows = await rowsOf(
    sql,
    [...teams, ORGANIZATION_ID],
    names.flatMap(({ id }) => [id, anchorIdOf(id)]),
  );
  const made = new Map(rows.map((row) => [keyOf(row), row]));
  const missing = names.filter(({ teamId, id }) =>
    [teamId, ORGANIZATION_ID].every((team) => !made.has(keyOf({ teamId: team, id }))),
  );
  if (missing.length === 0) return;
  // Of a grant's subjects there is one, its team.
  await createCounters(sql, await grantsOf(sql, teams, missing), 1);
  const buckets = missing.flatMap(({ teamId, id }): Bucket[] => {
    const anchor =
      made.get(keyOf({ teamId, id: anchorIdOf(id) })) ??
      made.get(keyOf({ teamId: ORGANIZATION_ID, id: anchorIdOf(id) }));
    const bucket = anchor && bucketOf(anchor, id);
    return bucket ? [bucket] : [];
  });
  if (buckets.length > 0) await sql.begin((tx) => openBuckets(tx, buckets));
}

async function rowsOf(sql: Sql, teams: readonly TeamId[], ids: readonly CounterId[]): Promise<Row[]> {
  return await sql<Row[]>`
    select team_id as "teamId", id, source, source_id as "sourceId", subject_type as "subjectType",
      subject_id as "subjectId", meter, models, rolling_ms::float8 as "rollingMs"
    from counters where team_id = any(${teams}::text[]::uuid[]) and id = any(${ids}::text[])`;
}

/** Of these names, returns the counters of grants. Their amounts are read when they are made. */
async function grantsOf(
  sql: Sql,
  teams: readonly TeamId[],
  names: readonly { id: CounterId }[],
): Promise<CounterSpec[]> {
  const ids = new Set(names.map(({ id }) => id));
  type Grant = { id: GrantId; teamId: TeamId; startsAtMs: number; expiresAtMs: number | null };
  const grants = await sql<Grant[]>`
    select id, team_id as "teamId", floor(extract(epoch from starts_at) * 1000)::float8 as "startsAtMs",
      floor(extract(epoch from expires_at) * 1000)::float8 as "expiresAtMs"
    from grants where team_id = any(${teams}::text[]::uuid[]) and id::text = any(${[...ids].map(sourceIdOf)}::text[])`;
  return grants
    .map((grant) => grantCounter({ ...grant, amount: 0n, maxUnknown: null, name: null }))
    .filter((spec) => ids.has(spec.id));
}

/** Returns the bucket of this id in the window of an anchor. */
function bucketOf(anchor: Row, id: CounterId): Bucket | null {
  const startsAtMs = windowStartOf(id);
  const { rollingMs } = anchor;
  if (rollingMs === null || startsAtMs === null) return null;
  return { ...anchor, id, rollingMs, startsAtMs, endsAtMs: startsAtMs + bucketMs(rollingMs), amount: 0n };
}

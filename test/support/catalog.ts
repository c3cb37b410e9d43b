/** Teams, limits and grants written straight into the tables, and the counters that stand for them. */

import { randomUUID } from 'node:crypto';
import { type CounterSpec, sourceIdOf } from '../../src/domain/counter.ts';
import { asId, type TeamId } from '../../src/domain/ids.ts';
import { formatUsd } from '../../src/domain/quantities.ts';
import type { Sql } from '../../src/store/database.ts';

export async function insertTeam(sql: Sql, id: string = randomUUID()): Promise<TeamId> {
  await sql`insert into teams (id, name, created_at) values (${id}, ${id}, now())`;
  return asId(id);
}

/** Inserts the limit, grant or raise that a counter counts. */
export async function insertSource(sql: Sql, spec: CounterSpec): Promise<void> {
  const { sourceId, teamId, subjectType, subjectId, meter, models } = spec;
  const amount = formatUsd(spec.amount);
  if (spec.source === 'grant') {
    await sql`insert into grants (id, team_id, amount_usd, starts_at, created_at)
      values (${sourceId}, ${teamId}, ${amount}, to_timestamp(${spec.startsAtMs / 1000}), now())`;
    return;
  }
  if (spec.source === 'raise') {
    await sql`insert into limit_raises (id, limit_id, amount, starts_at, until, reason, created_at)
      values (${sourceId}, ${sourceIdOf(spec.id)}, ${amount}, to_timestamp(${spec.startsAtMs / 1000}),
        to_timestamp(${(spec.endsAtMs ?? 0) / 1000}), 'test', now())`;
    return;
  }
  await sql`
    insert into limits (id, team_id, subject_type, subject_id, meter, models, amount, "window", enforcement, created_at)
    values (${sourceId}, ${teamId}, ${subjectType}, ${subjectId}, ${meter}, ${models}::text[], ${amount}, '{"type": "lifetime"}', 'strict', now())`;
}

/** A limit of the team over its whole life, unless told otherwise. */
export function counterSpec(teamId: string, changes: Partial<CounterSpec> = {}): CounterSpec {
  const sourceId = changes.sourceId ?? randomUUID();
  const startsAtMs = changes.startsAtMs ?? 0;
  return {
    id: asId(`${sourceId}@${startsAtMs}`),
    teamId: asId(teamId),
    source: 'limit',
    sourceId: asId(sourceId),
    subjectType: 'team',
    subjectId: teamId,
    meter: 'cost_usd',
    models: null,
    startsAtMs,
    endsAtMs: null,
    rollingMs: null,
    amount: 1_000_000_000_000n,
    ...changes,
  };
}

/**
 * Sessions of containers, in the rows of the team's objects. Invariant: of replicas that see one container used at the same
 * time one begins its session.
 */
import type { TeamId } from '../../domain/ids.ts';
import type { Sql } from '../database.ts';

/** A session of a container: from its first use for twenty minutes (OpenAI's pricing page, 2026-09). */
export const SESSION_MS = 20 * 60 * 1000;

/** For so long a container is known after the begin of its last session. */
const KNOWN_MS = 30 * 24 * 60 * 60 * 1000;

/** A container that a call used, with its memory as it is known from that call. */
export interface UsedContainer {
  id: string;
  gib: number | null;
  /** Name of the upstream that keeps it; null: there is one. */
  upstream: string | null;
}

/**
 * Begins sessions of those containers that have none at that moment, and records new ones for their team. Returns the memory
 * of those whose session began, in GiB; null: it is not known of one of them. Asked again for the same call it returns the same.
 * @param atMs when the call used them, in milliseconds since the epoch
 * @param callId id of the call's event
 */
export async function beginSessions(
  sql: Sql,
  teamId: TeamId,
  containers: readonly UsedContainer[],
  atMs: number,
  callId: string,
): Promise<number | null> {
  return await sql.begin(async (tx) => {
    const ids = containers.map(({ id }) => id);
    const rows = await tx<{ id: string; gib: number | null; endsMs: number | null; by: string | null }[]>`
      select id, (weight ->> 'memory_gib')::float8 as gib, (weight ->> 'session_ends_ms')::float8 as "endsMs",
        weight ->> 'session_of' as by
      from objects where team_id = ${teamId} and kind = 'container' and id = any(${ids}::text[])
      order by id for update`;
    let begun: number | null = 0;
    for (const used of containers) {
      const known = rows.find(({ id }) => id === used.id);
      if ((known?.endsMs ?? 0) > atMs && known?.by !== callId) continue;
      const gib = known?.gib ?? used.gib;
      begun = begun === null || gib === null ? null : begun + gib;
      const weight = JSON.stringify({
        memory_gib: gib,
        session_ends_ms: atMs + SESSION_MS,
        session_of: callId,
      });
      const expiresAt = new Date(atMs + KNOWN_MS);
      if (known === undefined)
        await tx`
          insert into objects (team_id, kind, id, created_at, expires_at, names, weight, upstream)
          values (${teamId}, 'container', ${used.id}, ${new Date(atMs)}, ${expiresAt}, '{}',
            ${weight}::text::jsonb, ${used.upstream})
          on conflict do nothing`;
      else
        await tx`
          update objects set weight = weight || ${weight}::text::jsonb, expires_at = greatest(expires_at, ${expiresAt})
          where team_id = ${teamId} and kind = 'container' and id = ${used.id}`;
    }
    return begun;
  });
}

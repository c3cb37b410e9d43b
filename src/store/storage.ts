/**
 * Vector stores whose storage is charged, and the grants that pay. Owns: which days of a store were charged. Does not own: how
 * much that is (domain/storage.ts), nor the events (store/hot/flush.ts).
 */
import { grantCounter } from '../domain/counter.ts';
import { asId, type CounterId, type GrantId, type KeyId, type TeamId } from '../domain/ids.ts';
import { type PicoUsd, usd } from '../domain/money.ts';
import { EVERY_TEAM } from '../domain/objects.ts';
import { type TagText, tagTexts } from '../domain/tags.ts';
import type { Sql } from './database.ts';
import { createCounters } from './hot/counters.ts';

export interface KeptStore {
  teamId: TeamId;
  /** That the team is in now, as an event has them. */
  departments: string | null;
  id: string;
  /** Under whose key it was made; null: an administrator gave it to the team. */
  keyId: KeyId | null;
  /** That the key has now; null: none. */
  tags: readonly TagText[] | null;
  /** The name of the upstream that keeps it; null: there is one. */
  upstream: string | null;
  createdMs: number;
  /** The first day that was not charged yet, as its begin; null: none was. */
  chargedUntilMs: number | null;
}

/** Returns the stores that belong to a team, oldest first; those that have ended are among them for some weeks. */
export async function listKeptStores(sql: Sql): Promise<KeptStore[]> {
  const stores = await sql<Omit<KeptStore, 'departments' | 'tags'>[]>`
    select team_id as "teamId", id, weight ->> 'key_id' as "keyId", upstream,
      (extract(epoch from created_at) * 1000)::float8 as "createdMs",
      (weight ->> 'charged_until_ms')::float8 as "chargedUntilMs"
    from objects
    where kind = 'vector_store' and team_id <> ${EVERY_TEAM} and expires_at > tollgate_now()
    order by created_at, team_id, id`;
  const teamIds = [...new Set(stores.map(({ teamId }) => teamId))];
  const teams = await sql<{ id: TeamId; departments: string | null }[]>`
    select id, department_path(department_id)::text as departments from teams
    where id = any(${teamIds}::text[]::uuid[])`;
  const departmentsOf = new Map(teams.map(({ id, departments }) => [id, departments]));
  const keyIds = [...new Set(stores.flatMap(({ keyId }) => keyId ?? []))];
  const keys = await sql<{ id: KeyId; tags: Record<string, string> | null }[]>`
    select id, tags from keys where id = any(${keyIds}::text[]::uuid[])`;
  const tagsOf = new Map(keys.map(({ id, tags }) => [id, tagTexts(tags)]));
  return stores.map((store) => ({
    ...store,
    departments: departmentsOf.get(store.teamId) ?? null,
    tags: (store.keyId && tagsOf.get(store.keyId)) ?? null,
  }));
}

/** Notes up to when the storage of a store was charged. */
export async function noteCharged(sql: Sql, { teamId, id }: KeptStore, untilMs: number): Promise<void> {
  const charged = JSON.stringify({ charged_until_ms: untilMs });
  await sql`
    update objects set weight = weight || ${charged}::text::jsonb
    where team_id = ${teamId} and kind = 'vector_store' and id = ${id}`;
}

/** What is left of a grant; its counter is there. */
export interface PayingGrant {
  counterId: CounterId;
  left: PicoUsd;
}

/** Returns the grants of a team that pay at a moment, earliest expiry first; where none does, the one that expired last. */
export async function payingGrants(sql: Sql, teamId: TeamId, atMs: number): Promise<PayingGrant[]> {
  const rows = await sql<{ id: GrantId; amount: string; startsAtMs: number; expiresAtMs: number | null }[]>`
    select id, amount_usd::text as amount, (extract(epoch from starts_at) * 1000)::float8 as "startsAtMs",
      (extract(epoch from expires_at) * 1000)::float8 as "expiresAtMs"
    from grants where team_id = ${teamId} and deleted_at is null and starts_at <= ${new Date(atMs)}
    order by expires_at nulls last, id`;
  const valid = rows.filter(({ expiresAtMs }) => expiresAtMs === null || expiresAtMs > atMs);
  const paying = valid.length > 0 ? valid : rows.slice(-1);
  if (paying.length === 0) return [];
  const specs = paying.map((row) =>
    grantCounter({ ...row, teamId, amount: usd(row.amount), maxUnknown: null, name: null }),
  );
  await createCounters(sql, specs, Number.MAX_SAFE_INTEGER);
  const ids = specs.map(({ id }) => id);
  const found = await sql<{ id: string; left: string }[]>`
    select id, greatest(amount - settled - held - leased, 0)::text as left from counters
    where team_id = ${teamId} and id = any(${ids}::text[])`;
  const left = new Map(found.map((row) => [row.id, usd(row.left)]));
  return ids.map((id) => ({ counterId: asId(id), left: left.get(id) ?? 0n }));
}

/**
 * Places: where the rows of a team lie. On one Postgres all lie together; on Citus each shard is a place, and only a
 * statement that names teams of one shard may lock rows. So whatever locks or moves counters does it place by place.
 * Owns: what a process knows of places.
 */

import { defined } from '../../domain/defined.ts';
import type { TeamId } from '../../domain/ids.ts';
import type { Fragment, Sql, TransactionSql } from '../database.ts';

/** Some teams that lie together. */
export interface Place {
  /** In the order of locks. */
  teamIds: readonly TeamId[];
  /** All teams lie here, so a statement need not name those that it means. */
  isOnly: boolean;
}

/** What belongs to teams of one place. */
export interface AtPlace<Each> {
  place: Place;
  rows: readonly Each[];
}

/** By client: the places of the teams that it has asked about; null: there is only one. */
const known = new WeakMap<Sql, Map<TeamId, string | null>>();

/** Groups teams by place, in the order of locks. Asks Postgres about teams that it has not seen yet. */
export async function placesOf(sql: Sql, teamIds: Iterable<TeamId>): Promise<Place[]> {
  const places = known.get(sql) ?? new Map<TeamId, string | null>();
  known.set(sql, places);
  const teams = [...new Set(teamIds)].sort();
  const unseen = teams.filter((teamId) => !places.has(teamId));
  if (unseen.length > 0) {
    const rows = await sql<{ team: TeamId; place: string | null }[]>`
      select team, tollgate_place(team::uuid)::text as place from unnest(${unseen}::text[]) team`;
    for (const { team, place } of rows) places.set(team, place);
  }
  const groups = Map.groupBy(teams, (teamId) => places.get(teamId) ?? null);
  return [...groups].map(([place, group]) => ({ teamIds: group, isOnly: place === null }));
}

/** To be called when a statement failed: the teams may have moved, as when a shard was split. */
export function forgetPlaces(sql: Sql): void {
  known.delete(sql);
}

/** Divides what belongs to teams as these are divided; places that get nothing are left out. */
export function atPlaces<Each extends { teamId: TeamId }>(
  places: readonly Place[],
  all: readonly Each[],
): AtPlace<Each>[] {
  const placeOf = new Map(places.flatMap((place) => place.teamIds.map((teamId) => [teamId, place] as const)));
  const groups = Map.groupBy(all, ({ teamId }) => defined(placeOf.get(teamId), 'the place of the team'));
  return places.flatMap((place) => {
    const rows = groups.get(place);
    return rows ? [{ place, rows }] : [];
  });
}

/** The condition by which a statement on one of the tables at a place stays there. */
export function isAt(tx: Sql | TransactionSql, table: string, { teamIds, isOnly }: Place): Fragment {
  return isOnly ? tx`true` : tx`${tx(table)}.team_id = any(${[...teamIds]}::text[]::uuid[])`;
}

/** Items of responses by their names: whose they are, and those of a response that its call did not show. */
import type { TeamId } from '../../domain/ids.ts';
import type { KeptItem, KeptResponse } from '../../domain/kept.ts';
import { EVERY_TEAM } from '../../domain/objects.ts';
import type { Sql } from '../database.ts';
import { storedResponse } from '../stored-json.ts';

export interface FoundResponse {
  id: string;
  response: KeptResponse;
}

/** Finds the responses of a team that bear one of the names, or have an item that does. */
export async function findResponses(
  sql: Sql,
  teamId: TeamId,
  names: readonly string[],
): Promise<FoundResponse[]> {
  const rows = await sql<{ id: string; weight: unknown }[]>`
    select id, weight from objects
    where team_id = ${teamId} and kind = 'response' and expires_at > tollgate_now()
      and (id = any(${[...names]}::text[]) or names && ${[...names]}::text[])`;
  return rows.flatMap(({ id, weight }) => toResponse(id, weight));
}

function toResponse(id: string, weight: unknown): FoundResponse[] {
  const read = storedResponse.safeParse(weight);
  return read.success ? [{ id, response: read.data }] : [];
}

/** Of these names of items, returns those that responses of other teams alone have. */
export async function othersItems(sql: Sql, teamId: TeamId, names: readonly string[]): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`
    select name from objects, unnest(names) as name
    where kind = 'response' and names && ${[...names]}::text[] and name = any(${[...names]}::text[])
      and expires_at > tollgate_now()
    group by name having not bool_or(team_id in (${teamId}, ${EVERY_TEAM}))`;
  return rows.map(({ name }) => name);
}

/** A response with one of the names, as it is stored, or the name of an item that responses of other teams alone have. */
interface ItemRow {
  id: string | null;
  weight: unknown;
  name: string | null;
}

/**
 * In one round trip: the responses of a team that bear one of the names or have an item that does, and which of the names in `shown`
 * are items of other teams' responses alone.
 */
export async function findItems(
  sql: Sql,
  teamId: TeamId,
  names: readonly string[],
  shown: readonly string[],
): Promise<{ responses: FoundResponse[]; others: string[] }> {
  const rows = await sql<ItemRow[]>`
    select id, weight, null as name from objects
    where team_id = ${teamId} and kind = 'response' and expires_at > tollgate_now()
      and (id = any(${[...names]}::text[]) or names && ${[...names]}::text[])
    union all
    select null, null, name from objects, unnest(names) as name
    where kind = 'response' and names && ${[...shown]}::text[] and name = any(${[...shown]}::text[])
      and expires_at > tollgate_now()
    group by name having not bool_or(team_id in (${teamId}, ${EVERY_TEAM}))`;
  return {
    responses: rows.flatMap(({ id, weight }) => (id === null ? [] : toResponse(id, weight))),
    others: rows.flatMap(({ name }) => name ?? []),
  };
}

/** Notes what a response of a team holds, once that is known. Changes nothing where the team has no such response. */
export async function noteItems(
  sql: Sql,
  teamId: TeamId,
  responseId: string,
  items: readonly KeptItem[],
): Promise<void> {
  const names = items.flatMap((item) => item.names);
  await sql`
    update objects set names = ${names}::text[],
      weight = weight || jsonb_build_object('items', ${JSON.stringify(items)}::text::jsonb)
    where team_id = ${teamId} and kind = 'response' and id = ${responseId}`;
}

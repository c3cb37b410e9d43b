/** Items of responses by their names: whose they are, and those of a response that its call did not show. */
import type { TeamId } from '../../domain/ids.ts';
import type { KeptItem } from '../../domain/kept.ts';
import { EVERY_TEAM } from '../../domain/objects.ts';
import type { Sql } from '../database.ts';

/** Of these names of items, returns those that responses of other teams alone have. */
export async function othersItems(sql: Sql, teamId: TeamId, names: readonly string[]): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`
    select name from objects, unnest(names) as name
    where kind = 'response' and names && ${[...names]}::text[] and name = any(${[...names]}::text[])
      and expires_at > tollgate_now()
    group by name having not bool_or(team_id in (${teamId}, ${EVERY_TEAM}))`;
  return rows.map(({ name }) => name);
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

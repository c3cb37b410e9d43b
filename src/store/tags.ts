/** Tags: which names and values calls may have. Few rows, read with every key; a change binds as a change of a limit does. */
import { and, asc, eq, inArray, sql } from 'drizzle-orm';
import { type ApiError, apiError } from '../domain/errors.ts';
import type { TeamId } from '../domain/ids.ts';
import { ORGANIZATION_ID } from '../domain/limit.ts';
import { TAG_RULES_MAX } from '../domain/tags.ts';
import { type After, changeCatalog, isAfter, raiseVersion } from './changes.ts';
import type { Database, Transaction } from './database.ts';
import { tags } from './schema.ts';

export type TagRow = typeof tags.$inferSelect;
export type TagContents = Omit<TagRow, 'name' | 'createdAt'>;
/** With the number of values that are open, of the team that has most of them; of some teams alone where these are named. */
export type ListedTag = TagRow & { openValues: number };

function openValues(teamIds: readonly TeamId[] | undefined) {
  const ofTeams = teamIds === undefined ? sql`` : sql`and ${inArray(sql`team_id`, [...teamIds])}`;
  return sql<number>`coalesce((
    select max(v.open) from (
      select count(*)::int4 as open from tag_values where name = ${sql.raw('"tags"."name"')} ${ofTeams} group by team_id) v), 0)`;
}

export function listTags(
  database: Database,
  page: { after: After | null; limit: number },
  teamIds?: readonly TeamId[],
): Promise<ListedTag[]> {
  return selectTags(database, teamIds)
    .where(and(isAfter({ createdAt: tags.createdAt, id: tags.name }, page.after)))
    .orderBy(asc(tags.createdAt), asc(tags.name))
    .limit(page.limit);
}

export async function findTag(
  database: Database,
  name: string,
  teamIds?: readonly TeamId[],
): Promise<ListedTag | null> {
  const [row] = await selectTags(database, teamIds).where(eq(tags.name, name));
  return row ?? null;
}

function selectTags({ db }: Database, teamIds: readonly TeamId[] | undefined) {
  const { name, values, pattern, sources, required, onUnknown, maxValues, idleDays, createdAt } = tags;
  const rule = { name, values, pattern, sources, required, onUnknown, maxValues, idleDays, createdAt };
  return db
    .select({ ...rule, openValues: openValues(teamIds) })
    .from(tags)
    .$dynamic();
}

export function createTag(
  database: Database,
  name: string,
  contents: TagContents,
): Promise<ListedTag | ApiError> {
  return changeCatalog(database, async (tx, createdAt) => {
    if ((await tx.$count(tags)) >= TAG_RULES_MAX) {
      return apiError('conflict', `there are ${TAG_RULES_MAX} tags, as many as there may be`, {
        param: 'name',
      });
    }
    const [row] = await tx
      .insert(tags)
      .values({ name, ...contents, createdAt })
      .onConflictDoNothing()
      .returning();
    if (!row) return apiError('conflict', `a tag named ${name} exists already`, { param: 'name' });
    return changed(tx, { ...row, openValues: 0 });
  });
}

export function changeTag(
  database: Database,
  name: string,
  change: { [K in keyof TagContents]?: TagContents[K] | undefined },
): Promise<TagRow | null> {
  return changeCatalog(database, async (tx) => {
    const [row] = await tx.update(tags).set(change).where(eq(tags.name, name)).returning();
    return row ? changed(tx, row) : null;
  });
}

/** No call may bring the tag any more, but for keys that have it. Its sums and its limits stay. */
export function deleteTag(database: Database, name: string): Promise<TagRow | null> {
  return changeCatalog(database, async (tx) => {
    const [row] = await tx.delete(tags).where(eq(tags.name, name)).returning();
    return row ? changed(tx, row) : null;
  });
}

/** The keys of all teams are read again. */
async function changed<Row>(tx: Transaction, row: Row): Promise<Row> {
  await raiseVersion(tx, [ORGANIZATION_ID], 'reread');
  return row;
}

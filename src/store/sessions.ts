/** Sessions of the console: the rows of those that are open. One that ends is deleted; the audit log keeps who it was. */
import { and, desc, eq, gt, inArray, isNull, lte } from 'drizzle-orm';
import type { PersonId, SessionId } from '../domain/ids.ts';
import { type AccessEntry, addAccess } from './audit.ts';
import { type After, clock, isAfter } from './changes.ts';
import type { Database, Transaction } from './database.ts';
import { rolesOf } from './people.ts';
import { people, sessions } from './schema.ts';

export type SessionRow = typeof sessions.$inferSelect;

/** What signing in and out needs of the store. */
export function sessionStore(database: Database) {
  return {
    add: (session: SessionRow, entry: AccessEntry | null) => addSession(database, session, entry),
    holder: (id: SessionId) => sessionHolder(database, id),
    end: (id: SessionId, entryOf: (session: SessionRow) => AccessEntry, of: PersonId | null = null) =>
      endSession(database, id, entryOf, of),
  };
}

/** Open sessions of one key, of one person, or of the admin key; the next one ends the oldest. */
const OPEN_MAX = 100;

/** Adds a session, and the entry of the audit log that says so; null: that is counted elsewhere. */
async function addSession(database: Database, session: SessionRow, entry: AccessEntry | null): Promise<void> {
  await database.db.transaction(async (tx) => {
    await tx.delete(sessions).where(lte(sessions.expiresAt, await clock(tx)));
    await endOldest(tx, session);
    await tx.insert(sessions).values(session);
    if (entry !== null) await addAccess(tx, entry);
  });
}

async function endOldest(
  tx: Transaction,
  { keyId, personId }: Pick<SessionRow, 'keyId' | 'personId'>,
): Promise<void> {
  const tooMany = tx
    .select({ id: sessions.id })
    .from(sessions)
    .where(
      and(
        keyId === null ? isNull(sessions.keyId) : eq(sessions.keyId, keyId),
        personId === null ? isNull(sessions.personId) : eq(sessions.personId, personId),
      ),
    )
    .orderBy(desc(sessions.createdAt), desc(sessions.id))
    .offset(OPEN_MAX - 1);
  await tx.delete(sessions).where(inArray(sessions.id, tooMany));
}

/** Returns the person whose session was opened and not ended since, with their roles as of now; see `SessionStore`. */
async function sessionHolder(database: Database, id: SessionId) {
  const [row] = await database.db
    .select({ personId: sessions.personId, person: people })
    .from(sessions)
    .leftJoin(people, eq(people.id, sessions.personId))
    .where(eq(sessions.id, id));
  if (row === undefined) return null;
  const { personId, person } = row;
  if (personId === null) return { person: null };
  if (!person?.active) return null;
  const { userName, displayName } = person;
  return { person: { id: personId, userName, displayName, held: await rolesOf(database.db, person) } };
}

/** Ends a session, on every replica at once. Returns it; null: there is none that is open. */
function endSession(
  database: Database,
  id: SessionId,
  entryOf: (session: SessionRow) => AccessEntry,
  of: PersonId | null,
): Promise<SessionRow | null> {
  return database.db.transaction(async (tx) => {
    const [session] = await tx
      .delete(sessions)
      .where(and(eq(sessions.id, id), of === null ? undefined : eq(sessions.personId, of)))
      .returning();
    if (session === undefined) return null;
    await addAccess(tx, entryOf(session));
    return session;
  });
}

/** Open sessions, newest first. `personId`: those of one person; null: of all. */
export async function listSessions(
  database: Database,
  page: { after: After | null; limit: number; personId: PersonId | null },
): Promise<SessionRow[]> {
  const now = await clock(database.db);
  return database.db
    .select()
    .from(sessions)
    .where(
      and(
        isAfter(sessions, page.after, 'desc'),
        gt(sessions.expiresAt, now),
        page.personId === null ? undefined : eq(sessions.personId, page.personId),
      ),
    )
    .orderBy(desc(sessions.createdAt), desc(sessions.id))
    .limit(page.limit);
}

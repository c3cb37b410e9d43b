/** Sessions of the console: the rows of those that are open. One that ends is deleted; the audit log keeps who it was. */
import { and, desc, eq, gt, inArray, isNull, lte } from 'drizzle-orm';
import type { KeyId, SessionId } from '../domain/ids.ts';
import { type AccessEntry, addAccess } from './audit.ts';
import { type After, clock, isAfter } from './changes.ts';
import type { Database, Transaction } from './database.ts';
import { sessions } from './schema.ts';

export type SessionRow = typeof sessions.$inferSelect;

/** What signing in and out needs of the store. */
export function sessionStore(database: Database) {
  return {
    add: (session: SessionRow, entry: AccessEntry | null) => addSession(database, session, entry),
    isOpen: (id: SessionId) => isSessionOpen(database, id),
    end: (id: SessionId, entryOf: (session: SessionRow) => AccessEntry) => endSession(database, id, entryOf),
  };
}

/** Open sessions of one key, or of the admin key; the next one ends the oldest. */
const OPEN_MAX = 100;

/** Adds a session, and the entry of the audit log that says so; null: that is counted elsewhere. */
async function addSession(database: Database, session: SessionRow, entry: AccessEntry | null): Promise<void> {
  await database.db.transaction(async (tx) => {
    await tx.delete(sessions).where(lte(sessions.expiresAt, await clock(tx)));
    await endOldest(tx, session.keyId);
    await tx.insert(sessions).values(session);
    if (entry !== null) await addAccess(tx, entry);
  });
}

async function endOldest(tx: Transaction, keyId: KeyId | null): Promise<void> {
  const tooMany = tx
    .select({ id: sessions.id })
    .from(sessions)
    .where(keyId === null ? isNull(sessions.keyId) : eq(sessions.keyId, keyId))
    .orderBy(desc(sessions.createdAt), desc(sessions.id))
    .offset(OPEN_MAX - 1);
  await tx.delete(sessions).where(inArray(sessions.id, tooMany));
}

/** Returns whether the session was opened and not ended since. */
async function isSessionOpen(database: Database, id: SessionId): Promise<boolean> {
  const rows = await database.db.select({ id: sessions.id }).from(sessions).where(eq(sessions.id, id));
  return rows.length > 0;
}

/** Ends a session, on every replica at once. Returns it; null: there is none that is open. */
function endSession(
  database: Database,
  id: SessionId,
  entryOf: (session: SessionRow) => AccessEntry,
): Promise<SessionRow | null> {
  return database.db.transaction(async (tx) => {
    const [session] = await tx.delete(sessions).where(eq(sessions.id, id)).returning();
    if (session === undefined) return null;
    await addAccess(tx, entryOf(session));
    return session;
  });
}

/** Open sessions, newest first. */
export async function listSessions(
  database: Database,
  page: { after: After | null; limit: number },
): Promise<SessionRow[]> {
  const now = await clock(database.db);
  return database.db
    .select()
    .from(sessions)
    .where(and(isAfter(sessions, page.after, 'desc'), gt(sessions.expiresAt, now)))
    .orderBy(desc(sessions.createdAt), desc(sessions.id))
    .limit(page.limit);
}

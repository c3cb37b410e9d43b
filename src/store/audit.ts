/**
 * Audit: who changed what, who signed in, who failed to, who took calls out. Reads, and the entries that no trigger writes:
 * a release, and what changes no row (see the migrations).
 */

import { randomUUID } from 'node:crypto';
import { and, desc, eq, getTableColumns, inArray, notInArray } from 'drizzle-orm';
import type { TeamId } from '../domain/ids.ts';
import { type After, clock, isAfter } from './changes.ts';
import type { Database, Transaction } from './database.ts';
import { auditLog } from './schema.ts';

/** An entry; `before` and `after` are rows by the names of their columns, without what is secret. */
export type AuditRow = typeof auditLog.$inferSelect & { createdAt: Date };

export interface AuditPage {
  after: After | null;
  limit: number;
  resource: AuditRow['resource'] | undefined;
  resourceId: string | undefined;
  teamIds: readonly TeamId[] | undefined;
}

/** Entries, newest first. */
export function listAudit(database: Database, page: AuditPage): Promise<AuditRow[]> {
  return database.db
    .select({ ...getTableColumns(auditLog), createdAt: auditLog.at })
    .from(auditLog)
    .where(
      and(
        isAfter({ createdAt: auditLog.at, id: auditLog.id }, page.after, 'desc'),
        page.resource === undefined ? undefined : eq(auditLog.resource, page.resource),
        page.resourceId === undefined ? undefined : eq(auditLog.resourceId, page.resourceId),
        page.teamIds && inArray(auditLog.teamId, [...page.teamIds]),
      ),
    )
    .orderBy(desc(auditLog.at), desc(auditLog.id))
    .limit(page.limit);
}

/** What changes no rule is no change that could be lost. */
const ACCESSES = ['sign_in', 'sign_out', 'fail', 'export'] as const;
const RECENT_MAX = 500;

/** The latest changes of rows, newest first. */
export function recentChanges({ db }: Database) {
  const { id, at, actor, action, resource, resourceId, teamId } = auditLog;
  return db
    .select({ id, at, actor, action, resource, resourceId, teamId })
    .from(auditLog)
    .where(notInArray(action, [...ACCESSES]))
    .orderBy(desc(at), desc(id))
    .limit(RECENT_MAX);
}

/** Adds an entry to the transaction of its change. */
export async function addAudit(tx: Transaction, entry: Omit<AuditRow, 'id' | 'createdAt'>): Promise<void> {
  await tx.insert(auditLog).values({ id: randomUUID(), ...entry });
}

/** What happened without a change of a row that a trigger sees. */
export type AccessEntry = Pick<AuditRow, 'actor' | 'action' | 'resource' | 'resourceId' | 'teamId' | 'after'>;

/** Adds an entry at this moment, in the transaction of what it is about. */
export async function addAccess(tx: Transaction, entry: AccessEntry): Promise<void> {
  await addAudit(tx, { at: await clock(tx), before: null, ...entry });
}

/** Adds an entry by itself. */
export function writeAccess(database: Database, entry: AccessEntry): Promise<void> {
  return database.db.transaction((tx) => addAccess(tx, entry));
}

/** Recipients: who gets notices of a team or a department, and which. Changes stand in the audit log, without addresses that are secrets. */
import { randomUUID } from 'node:crypto';
import { and, asc, eq, inArray, isNull } from 'drizzle-orm';
import { defined } from '../domain/defined.ts';
import { type ApiError, apiError } from '../domain/errors.ts';
import type { TeamId } from '../domain/ids.ts';
import { ORGANIZATION_ID } from '../domain/limit.ts';
import { addAccess } from './audit.ts';
import { type After, actorOf, changeCatalog, isAfter, lockOwner } from './changes.ts';
import type { Database, Transaction } from './database.ts';
import { lockDepartment } from './departments.ts';
import { recipients } from './schema.ts';

export type RecipientRow = typeof recipients.$inferSelect;
export type NewRecipient = Pick<
  RecipientRow,
  'teamId' | 'departmentId' | 'kind' | 'address' | 'secret' | 'wants' | 'language'
>;

/** Every notice of a team or department is a message to each of them. */
const RECIPIENTS_MAX = 50;

/** Returns `not_found` or `conflict` without the team or department, and `invalid_request` where it has as many as it may. */
export function createRecipient(database: Database, made: NewRecipient): Promise<RecipientRow | ApiError> {
  return changeCatalog(database, async (tx, now) => {
    const { teamId, departmentId } = made;
    const problem =
      (await lockOwner(tx, teamId, 'subject.id')) ??
      (departmentId === null ? null : await lockDepartment(tx, departmentId, 'subject.id'));
    if (problem) return problem;
    const open = and(
      eq(recipients.teamId, teamId),
      departmentId === null ? isNull(recipients.departmentId) : eq(recipients.departmentId, departmentId),
      isNull(recipients.deletedAt),
    );
    if ((await tx.$count(recipients, open)) >= RECIPIENTS_MAX) {
      const message = `it has ${RECIPIENTS_MAX} recipients, the most there may be: delete one, or name an address that forwards to several people`;
      return apiError('invalid_request', message, { param: 'subject' });
    }
    const [row] = await tx
      .insert(recipients)
      .values({ id: randomUUID(), ...made, createdAt: now })
      .returning();
    const recipient = defined(row, 'the row of the statement');
    await note(tx, database, 'create', recipient);
    return recipient;
  });
}

export async function findRecipient({ db }: Database, id: string): Promise<RecipientRow | null> {
  const [row] = await db.select().from(recipients).where(eq(recipients.id, id));
  return row ?? null;
}

export function listRecipients(
  { db }: Database,
  page: { after: After | null; limit: number; deleted: boolean; teamIds: readonly TeamId[] | undefined },
): Promise<RecipientRow[]> {
  return db
    .select()
    .from(recipients)
    .where(
      and(
        isAfter(recipients, page.after),
        page.teamIds && inArray(recipients.teamId, [...page.teamIds]),
        page.deleted ? undefined : isNull(recipients.deletedAt),
      ),
    )
    .orderBy(asc(recipients.createdAt), asc(recipients.id))
    .limit(page.limit);
}

export function changeRecipient(
  database: Database,
  id: string,
  change: Partial<Pick<RecipientRow, 'wants' | 'language'>>,
): Promise<RecipientRow | null> {
  return changeCatalog(database, async (tx) => {
    const open = and(eq(recipients.id, id), isNull(recipients.deletedAt));
    const [row] = await tx.update(recipients).set(change).where(open).returning();
    if (row) await note(tx, database, 'change', row);
    return row ?? null;
  });
}

/** Deleting it again changes nothing. What was sent to it stays listed. */
export async function deleteRecipient(database: Database, id: string): Promise<RecipientRow | null> {
  await changeCatalog(database, async (tx, now) => {
    const open = and(eq(recipients.id, id), isNull(recipients.deletedAt));
    const [row] = await tx.update(recipients).set({ deletedAt: now, secret: null }).where(open).returning();
    if (row) await note(tx, database, 'delete', row);
  });
  return findRecipient(database, id);
}

function note(
  tx: Transaction,
  database: Database,
  action: 'create' | 'change' | 'delete',
  { id, teamId, departmentId, kind, address, wants, language }: RecipientRow,
): Promise<void> {
  return addAccess(tx, {
    actor: actorOf(database),
    action,
    resource: 'recipient',
    resourceId: id,
    teamId: teamId === ORGANIZATION_ID ? null : teamId,
    after: {
      ...(departmentId === null ? {} : { department_id: departmentId }),
      ...{ kind, address: shownAddress(kind, address), wants, language },
    },
  });
}

/** Returns an address as people may see it: the path of a URL is what lets one write there. */
export function shownAddress(kind: RecipientRow['kind'], address: string): string {
  return kind === 'email' ? address : `${new URL(address).origin}/…`;
}

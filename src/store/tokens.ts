/** Service tokens: how programs use the admin API. A token is never worth more than the person who made it. */
import { randomUUID } from 'node:crypto';
import { and, asc, eq, isNull, sql } from 'drizzle-orm';
import { type ApiError, apiError } from '../domain/errors.ts';
import { asId, type PersonId, type TokenId } from '../domain/ids.ts';
import { Authority } from '../domain/roles.ts';
import { type After, changeCatalog, isAfter } from './changes.ts';
import type { Database } from './database.ts';
import { findPerson, heldRoles, type RoleCheck, rolesOf, scopeProblem } from './people.ts';
import { tokens } from './schema.ts';
import type { GivenRole } from './stored-json.ts';

/** Without the hash, which nothing shows. */
export type TokenRow = Omit<typeof tokens.$inferSelect, 'hash'>;

export interface NewToken {
  name: string;
  hash: string;
  prefix: string;
  roles: GivenRole[];
  personId: PersonId | null;
  expiresAt: Date | null;
}

const LIFETIME_MS = 90 * 86_400_000;
const LIFETIME_MAX_MS = 366 * 86_400_000;

export function createToken(
  database: Database,
  token: NewToken,
  check: RoleCheck,
): Promise<TokenRow | ApiError> {
  return changeCatalog(database, async (tx, createdAt) => {
    const expiresAt = token.expiresAt ?? new Date(createdAt.getTime() + LIFETIME_MS);
    const problem =
      expiryProblem(expiresAt, createdAt) ??
      (await scopeProblem(tx, token.roles)) ??
      check(await heldRoles(tx, token.roles));
    if (problem) return problem;
    const id: TokenId = asId(randomUUID());
    const [row] = await tx
      .insert(tokens)
      .values({ id, ...token, createdAt, expiresAt })
      .returning();
    return row ?? apiError('conflict', 'the token was not made');
  });
}

function expiryProblem(expiresAt: Date, createdAt: Date): ApiError | null {
  const lifetimeMs = expiresAt.getTime() - createdAt.getTime();
  if (lifetimeMs > 0 && lifetimeMs <= LIFETIME_MAX_MS) return null;
  return apiError('invalid_request', 'expires_at: must lie in the next 366 days', { param: 'expires_at' });
}

export async function findToken(database: Database, id: TokenId): Promise<TokenRow | null> {
  const [row] = await database.db.select().from(tokens).where(eq(tokens.id, id));
  return row ?? null;
}

export function listTokens(
  database: Database,
  page: { after: After | null; limit: number; deleted: boolean },
): Promise<TokenRow[]> {
  return database.db
    .select()
    .from(tokens)
    .where(and(isAfter(tokens, page.after), page.deleted ? undefined : isNull(tokens.revokedAt)))
    .orderBy(asc(tokens.createdAt), asc(tokens.id))
    .limit(page.limit);
}

/** Changes a token that is not revoked; an error when it is. */
export function changeToken(
  database: Database,
  id: TokenId,
  change: { name?: string | undefined; roles?: GivenRole[] | undefined; expiresAt?: Date | undefined },
  check: RoleCheck,
): Promise<TokenRow | ApiError | null> {
  return changeCatalog(database, async (tx) => {
    const [token] = await tx.select().from(tokens).where(eq(tokens.id, id)).for('update');
    if (!token) return null;
    if (token.revokedAt) return apiError('conflict', `the token ${token.name} was revoked`);
    const { roles = [], expiresAt } = change;
    const problem =
      (expiresAt ? expiryProblem(expiresAt, token.createdAt) : null) ??
      (await scopeProblem(tx, roles)) ??
      check(await heldRoles(tx, [...token.roles, ...roles]));
    if (problem) return problem;
    const [row] = await tx.update(tokens).set(change).where(eq(tokens.id, id)).returning();
    return row ?? null;
  });
}

/** Revokes a token for good, on every replica at once. Revoking it again changes nothing. */
export function revokeToken(
  database: Database,
  id: TokenId,
  check: RoleCheck,
): Promise<TokenRow | ApiError | null> {
  return changeCatalog(database, async (tx, now) => {
    const [token] = await tx.select().from(tokens).where(eq(tokens.id, id)).for('update');
    if (!token || token.revokedAt) return token ?? null;
    const problem = check(await heldRoles(tx, token.roles));
    if (problem) return problem;
    const [row] = await tx.update(tokens).set({ revokedAt: now }).where(eq(tokens.id, id)).returning();
    return row ?? null;
  });
}

/** What a token that was sent may do. */
export interface TokenHolder {
  name: string;
  prefix: string;
  authority: Authority;
}

/** Returns what the token with this hash may do now; null: there is none, or it is over. Notes that it was used. */
export async function useToken(database: Database, hash: string, nowMs: number): Promise<TokenHolder | null> {
  const [token] = await database.db.select().from(tokens).where(eq(tokens.hash, hash));
  if (!token || token.revokedAt || token.expiresAt.getTime() <= nowMs) return null;
  let giver: Authority | null = null;
  if (token.personId !== null) {
    const person = await findPerson(database.db, token.personId);
    if (!person?.active) return null;
    giver = new Authority(await rolesOf(database.db, person));
  }
  if (nowMs - (token.lastUsedAt?.getTime() ?? 0) > 60_000) {
    await database.db
      .update(tokens)
      .set({ lastUsedAt: sql`date_trunc('minute', tollgate_now())` })
      .where(eq(tokens.id, token.id));
  }
  const { name, prefix, roles } = token;
  return { name, prefix, authority: new Authority(await heldRoles(database.db, roles), giver) };
}

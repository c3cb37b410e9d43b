/**
 * Sign-in of people: which person an identity of the identity provider is. Owns: that an identity is one person for good, and
 * that one who was made before is known by what the provider has verified alone.
 */
import { randomUUID } from 'node:crypto';
import { and, eq, isNull, or } from 'drizzle-orm';
import { asId, type PersonId } from '../domain/ids.ts';
import { changeCatalog } from './changes.ts';
import { type Database, sqlState, type Transaction } from './database.ts';
import { type PersonRow, rolesOf } from './people.ts';
import { people } from './schema.ts';

/** Who a person is, in the words of the identity provider. */
export interface Identity {
  issuer: string;
  subject: string;
  userName: string;
  displayName: string;
  /** Null: none that the provider has verified. */
  email: string | null;
  groups: string[];
}

/**
 * Returns the person who signs in, with their roles, after noting their groups and the moment. The first time they become a
 * person without roles, or the one who was made for them: by the external id, or by the verified address.
 */
export async function signInPerson(database: Database, identity: Identity) {
  try {
    return await changeCatalog(database, async (tx, now) => {
      const person = (await findKnown(tx, identity)) ?? (await findMade(tx, identity));
      if (person === 'conflict') return person;
      if (person && (!person.active || person.deletedAt)) return 'inactive' as const;
      const { issuer, subject, groups, userName, displayName, email } = identity;
      const seen = { issuer, subject, groups, lastSignInAt: now };
      const [row] = person
        ? await tx.update(people).set(seen).where(eq(people.id, person.id)).returning()
        : await tx
            .insert(people)
            .values({
              id: asId<PersonId>(randomUUID()),
              ...{ userName, displayName, email, ...seen },
              ...{ active: true, roles: [], createdAt: now },
            })
            .returning();
      if (row === undefined) return 'conflict' as const;
      const held = await rolesOf(tx, row);
      return { id: row.id, userName: row.userName, displayName: row.displayName, held };
    });
  } catch (error) {
    // Another person has the name, or the same one signs in for the first time twice at once.
    if (sqlState(error) === '23505') return 'conflict' as const;
    throw error;
  }
}

async function findKnown(tx: Transaction, { issuer, subject }: Identity): Promise<PersonRow | null> {
  const [row] = await tx
    .select()
    .from(people)
    .where(and(eq(people.issuer, issuer), eq(people.subject, subject)))
    .for('update');
  return row ?? null;
}

/** Returns the only person who was made for this identity and never signed in. */
async function findMade(
  tx: Transaction,
  { subject, email }: Identity,
): Promise<PersonRow | 'conflict' | null> {
  const isNamed =
    email === null
      ? eq(people.externalId, subject)
      : or(eq(people.externalId, subject), eq(people.email, email), eq(people.userName, email));
  const rows = await tx
    .select()
    .from(people)
    .where(and(isNull(people.subject), isNull(people.deletedAt), isNamed))
    .for('update');
  const [row] = rows;
  if (rows.length > 1) return 'conflict';
  return row ?? null;
}

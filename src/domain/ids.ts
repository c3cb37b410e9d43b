/**
 * Ids. All of them are texts; a branded type keeps the id of one thing out of the place of another's. A row of the store
 * bears branded ids, and what a request names is branded where it was checked. Owns: what can be read out of an id. Does
 * not own: ids of counters, which are made of others (counter.ts), and making new ones. Pure.
 */
declare const kind: unique symbol;
type Id<Kind extends string> = string & { readonly [kind]: Kind };

export type TeamId = Id<'team'>;
export type KeyId = Id<'key'>;
export type LimitId = Id<'limit'>;
export type GrantId = Id<'grant'>;
export type CounterId = Id<'counter'>;
export type EventId = Id<'event'>;
export type DepartmentId = Id<'department'>;
export type RaiseId = Id<'raise'>;
export type SessionId = Id<'session'>;
export type PersonId = Id<'person'>;
export type TokenId = Id<'token'>;

/** Calls a text an id of the kind that its place wants. For edges alone, which have checked what it names. */
export function asId<Any extends Id<string>>(text: string): Any {
  return text as Any;
}

/** Returns the moment in a UUIDv7 (RFC 9562), in milliseconds since the epoch: its first 48 bits. */
export function momentOfUuidV7(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
}

const NO_DEPARTMENTS: readonly DepartmentId[] = [];

/** Reads departments as Postgres writes an array of ids: `{a,b}`. Null, missing: none. */
export function departmentsOf(text: string | null | undefined): readonly DepartmentId[] {
  return text
    ? text
        .slice(1, -1)
        .split(',')
        .map(asId<DepartmentId>)
    : NO_DEPARTMENTS;
}

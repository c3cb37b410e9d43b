/**
 * Sessions: who is signed in to the web console. Owns: the text in the cookie, how long it is good for, the token that a
 * change must bring besides it, and who signed in, for the audit log. Does not own: the rows (store), the cookie's
 * attributes, what a role may do (admin). Invariants: a session is worth no more than the key that opened it: it ends
 * when that key is revoked, expires or is rotated, and all end when the admin key changes; one that was ended here is
 * ended on every replica.
 */

import { createHmac, hkdfSync, randomUUID } from 'node:crypto';
import { ApiError } from '../domain/errors.ts';
import { asId, type KeyId, type PersonId, type SessionId, type TeamId } from '../domain/ids.ts';
import type { HeldRole } from '../domain/roles.ts';
import type { AccessEntry } from '../store/audit.ts';
import type { KeyRecord } from '../store/hot/catalog.ts';
import type { SessionRow } from '../store/sessions.ts';
import type { AccessLog } from './access-log.ts';
import type { ClientAddresses, Sender } from './addresses.ts';
import { isSame } from './admin-key.ts';
import type { KeyCache } from './keys.ts';
import { hashKey, usableKey } from './keys.ts';

const SESSION_MS = 12 * 60 * 60 * 1000;
const USER_AGENT_CHARACTERS_MAX = 200;

/** Who signed in by name, and what they may do now. */
export interface SignedInPerson {
  id: PersonId;
  userName: string;
  displayName: string;
  held: readonly HeldRole[];
}

export type SessionOwner =
  | { role: 'admin' }
  | { role: 'team'; teamId: TeamId; teamName: string; keyId: KeyId }
  | { role: 'person'; person: SignedInPerson };

const ADMIN: SessionOwner = { role: 'admin' };

function ownerOf({ account }: KeyRecord): SessionOwner {
  const { teamId, teamName, keyId } = account.principal;
  return { role: 'team', teamId, teamName, keyId };
}

export interface Session {
  id: SessionId;
  owner: SessionOwner;
  /** What a change must repeat in a header: no other site can read it. */
  csrf: string;
  expiresAtMs: number;
}

/** Returns a session's name as an actor: the person, or the first eight digits of its id, which tell the sessions of a day apart. */
export function actorOf({ id, keyId, userName }: Pick<SessionRow, 'id' | 'keyId' | 'userName'>): string {
  if (userName !== null) return `person ${userName}`;
  return `${keyId === null ? 'admin' : 'team'} session ${id.slice(0, 8)}`;
}

/** Where sessions are kept. */
export interface SessionStore {
  add(session: SessionRow, entry: AccessEntry | null): Promise<void>;
  /** Returns whose the session is; null: it is over. A person who is not active has none. */
  holder(id: SessionId): Promise<{ person: SignedInPerson | null } | null>;
  /** `of`: only a session of this person. */
  end(
    id: SessionId,
    entryOf: (session: SessionRow) => AccessEntry,
    of?: PersonId | null,
  ): Promise<SessionRow | null>;
}

export interface SessionsOptions {
  adminKey: string;
  keys: KeyCache;
  store: SessionStore;
  log: AccessLog;
  addresses: ClientAddresses;
  nowMs(): number;
}

/** What the cookie says. */
interface Claims {
  id: SessionId;
  /** The hash of the team's key; null: the admin key, or a person. */
  keyHash: string | null;
  /** Missing: it was opened with a key. */
  personId?: PersonId;
  expiresAtMs: number;
}

/** What a signature stands for: releases before people must not take the cookie of one for that of an admin. */
type Purpose = 'session' | 'person session' | 'csrf';

export class Sessions {
  readonly #options: SessionsOptions;
  readonly #secret: Buffer;

  constructor(options: SessionsOptions) {
    this.#options = options;
    // Derived, so that a signature tells nothing about the admin key, and replicas that share it share sessions.
    this.#secret = Buffer.from(hkdfSync('sha256', options.adminKey, '', 'tollgate console session', 32));
  }

  /**
   * Opens a session with the admin key or a virtual key. Returns it with its cookie, or why the key is not valid.
   * Rejects when Postgres is needed and away.
   */
  async open(key: string, sender: Sender): Promise<{ token: string; session: Session } | ApiError> {
    const { adminKey, keys, nowMs } = this.#options;
    let owner: SessionOwner = ADMIN;
    let keyHash: string | null = null;
    if (!isSame(key, adminKey)) {
      const record = usableKey(await keys.find(key, sender), nowMs());
      if (record instanceof ApiError) return record;
      owner = ownerOf(record);
      keyHash = hashKey(key);
    }
    const createdAtMs = nowMs();
    const claims: Claims = { id: asId(randomUUID()), keyHash, expiresAtMs: createdAtMs + SESSION_MS };
    await this.#keep(claims, owner, createdAtMs, sender);
    return this.#opened(claims, owner);
  }

  /** Opens a session of a person, whom the identity provider has vouched for. */
  async openFor(person: SignedInPerson, sender: Sender): Promise<{ token: string; session: Session }> {
    const createdAtMs = this.#options.nowMs();
    const expiresAtMs = createdAtMs + SESSION_MS;
    const claims: Claims = { id: asId(randomUUID()), keyHash: null, personId: person.id, expiresAtMs };
    const owner: SessionOwner = { role: 'person', person };
    await this.#keep(claims, owner, createdAtMs, sender);
    return this.#opened(claims, owner);
  }

  #opened(claims: Claims, owner: SessionOwner): { token: string; session: Session } {
    const body = Buffer.from(JSON.stringify(claims)).toString('base64url');
    const token = `${body}.${this.#sign(purposeOf(claims), body)}`;
    return { token, session: this.#sessionOf(claims, owner, token) };
  }

  async #keep(
    { id, expiresAtMs }: Claims,
    owner: SessionOwner,
    createdAtMs: number,
    sender: Sender,
  ): Promise<void> {
    const { store, log, addresses } = this.#options;
    const { keyId, teamId } = owner.role === 'team' ? owner : { keyId: null, teamId: null };
    const { id: personId, userName } = owner.role === 'person' ? owner.person : { id: null, userName: null };
    const session: SessionRow = {
      id,
      keyId,
      teamId,
      personId,
      userName,
      address: addresses.of(sender),
      userAgent: userAgentOf(sender),
      createdAt: new Date(createdAtMs),
      expiresAt: new Date(expiresAtMs),
    };
    const entry = entryOf(session, 'sign_in', actorOf(session));
    await store.add(session, log.admits(`sign_in ${personId ?? keyId}`, entry) ? entry : null);
  }

  /** The session of a cookie's text; null when it is none of ours, or over. Rejects when Postgres is needed and away. */
  async read(token: string): Promise<Session | null> {
    const claims = this.#claimsOf(token);
    if (claims === null || claims.expiresAtMs <= this.#options.nowMs()) return null;
    const holder = await this.#options.store.holder(claims.id);
    if (holder === null || holder.person?.id !== claims.personId) return null;
    const { person } = holder;
    const owner: SessionOwner | null =
      person === null ? await this.#ownerOf(claims.keyHash) : { role: 'person', person };
    return owner && this.#sessionOf(claims, owner, token);
  }

  /** Ends the session of a cookie's text, wherever the cookie was copied to. Does nothing on any other text. */
  async signOut(token: string): Promise<void> {
    const claims = this.#claimsOf(token);
    if (claims === null) return;
    await this.#options.store.end(claims.id, (session) => entryOf(session, 'sign_out', actorOf(session)));
  }

  /** Ends a session in an actor's name. `of`: only one of this person. Returns it; null: there is none that is open. */
  revoke(id: SessionId, actor: string, of: PersonId | null = null): Promise<SessionRow | null> {
    return this.#options.store.end(id, (session) => entryOf(session, 'revoke', actor), of);
  }

  /** Returns what a cookie says when it is one of ours. */
  #claimsOf(token: string): Claims | null {
    const [body = '', signature = '', ...rest] = token.split('.');
    if (rest.length > 0) return null;
    const purposes = (['session', 'person session'] as const).filter((purpose) =>
      isSame(signature, this.#sign(purpose, body)),
    );
    const [purpose] = purposes;
    if (purpose === undefined) return null;
    const claims: Partial<Claims> = JSON.parse(Buffer.from(body, 'base64url').toString());
    // Releases before the rows signed cookies without an id.
    return claims.id === undefined || purposeOf(claims) !== purpose ? null : (claims as Claims);
  }

  /** Returns null when the key is not valid any more. */
  async #ownerOf(keyHash: string | null): Promise<SessionOwner | null> {
    if (keyHash === null) return ADMIN;
    const record = usableKey(await this.#options.keys.findHashed(keyHash), this.#options.nowMs());
    return record instanceof ApiError ? null : ownerOf(record);
  }

  #sessionOf({ id, expiresAtMs }: Claims, owner: SessionOwner, token: string): Session {
    return { id, owner, csrf: this.#sign('csrf', token), expiresAtMs };
  }

  #sign(purpose: Purpose, text: string): string {
    return createHmac('sha256', this.#secret).update(`${purpose} ${text}`).digest('base64url');
  }
}

function purposeOf({ personId }: Partial<Claims>): 'session' | 'person session' {
  return personId === undefined ? 'session' : 'person session';
}

function entryOf(session: SessionRow, action: AccessEntry['action'], actor: string): AccessEntry {
  const { id, teamId, keyId, personId, address, userAgent } = session;
  const after = { key_id: keyId, person_id: personId, address, user_agent: userAgent };
  return { actor, action, resource: 'session', resourceId: id, teamId, after };
}

function userAgentOf({ rawHeaders }: Sender): string {
  const index = rawHeaders.findIndex((name, at) => at % 2 === 0 && name.toLowerCase() === 'user-agent');
  return (index === -1 ? '' : (rawHeaders[index + 1] ?? '')).slice(0, USER_AGENT_CHARACTERS_MAX);
}

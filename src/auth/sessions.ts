/**
 * Sessions: who is signed in to the web console. Owns: the text in the cookie, how long it is good for, the token that a
 * change must bring besides it, and who signed in, for the audit log. Does not own: the rows (store), the cookie's
 * attributes, what a role may do (admin). Invariants: a session is worth no more than the key that opened it: it ends
 * when that key is revoked, expires or is rotated, and all end when the admin key changes; one that was ended here is
 * ended on every replica.
 */

import { createHmac, hkdfSync, randomUUID } from 'node:crypto';
import { ApiError } from '../domain/errors.ts';
import { asId, type KeyId, type SessionId, type TeamId } from '../domain/ids.ts';
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

export type SessionOwner =
  | { role: 'admin' }
  | { role: 'team'; teamId: TeamId; teamName: string; keyId: KeyId };

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

/** Returns a session's name as an actor: the first eight digits of its id tell the sessions of a day apart. */
export function actorOf({ id, keyId }: Pick<SessionRow, 'id' | 'keyId'>): string {
  return `${keyId === null ? 'admin' : 'team'} session ${id.slice(0, 8)}`;
}

/** Where sessions are kept. */
export interface SessionStore {
  add(session: SessionRow, entry: AccessEntry | null): Promise<void>;
  isOpen(id: SessionId): Promise<boolean>;
  end(id: SessionId, entryOf: (session: SessionRow) => AccessEntry): Promise<SessionRow | null>;
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
  /** The hash of the team's key; null: the admin key. */
  keyHash: string | null;
  expiresAtMs: number;
}

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
    const body = Buffer.from(JSON.stringify(claims)).toString('base64url');
    const token = `${body}.${this.#sign('session', body)}`;
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
    const session: SessionRow = {
      id,
      keyId,
      teamId,
      address: addresses.of(sender),
      userAgent: userAgentOf(sender),
      createdAt: new Date(createdAtMs),
      expiresAt: new Date(expiresAtMs),
    };
    const entry = entryOf(session, 'sign_in', actorOf(session));
    await store.add(session, log.admits(`sign_in ${keyId}`, entry) ? entry : null);
  }

  /** The session of a cookie's text; null when it is none of ours, or over. Rejects when Postgres is needed and away. */
  async read(token: string): Promise<Session | null> {
    const claims = this.#claimsOf(token);
    if (claims === null || claims.expiresAtMs <= this.#options.nowMs()) return null;
    const owner = await this.#ownerOf(claims.keyHash);
    if (owner === null || !(await this.#options.store.isOpen(claims.id))) return null;
    return this.#sessionOf(claims, owner, token);
  }

  /** Ends the session of a cookie's text, wherever the cookie was copied to. Does nothing on any other text. */
  async signOut(token: string): Promise<void> {
    const claims = this.#claimsOf(token);
    if (claims === null) return;
    await this.#options.store.end(claims.id, (session) => entryOf(session, 'sign_out', actorOf(session)));
  }

  /** Ends a session in an actor's name. Returns it; null: there is none that is open. */
  revoke(id: SessionId, actor: string): Promise<SessionRow | null> {
    return this.#options.store.end(id, (session) => entryOf(session, 'revoke', actor));
  }

  /** Returns what a cookie says when it is one of ours. */
  #claimsOf(token: string): Claims | null {
    const [body = '', signature = '', ...rest] = token.split('.');
    if (rest.length > 0 || !isSame(signature, this.#sign('session', body))) return null;
    const claims: Partial<Claims> = JSON.parse(Buffer.from(body, 'base64url').toString());
    // Releases before the rows signed cookies without an id.
    return claims.id === undefined ? null : (claims as Claims);
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

  #sign(purpose: 'session' | 'csrf', text: string): string {
    return createHmac('sha256', this.#secret).update(`${purpose} ${text}`).digest('base64url');
  }
}

function entryOf(session: SessionRow, action: AccessEntry['action'], actor: string): AccessEntry {
  const { id, teamId, keyId, address, userAgent } = session;
  const after = { key_id: keyId, address, user_agent: userAgent };
  return { actor, action, resource: 'session', resourceId: id, teamId, after };
}

function userAgentOf({ rawHeaders }: Sender): string {
  const index = rawHeaders.findIndex((name, at) => at % 2 === 0 && name.toLowerCase() === 'user-agent');
  return (index === -1 ? '' : (rawHeaders[index + 1] ?? '')).slice(0, USER_AGENT_CHARACTERS_MAX);
}

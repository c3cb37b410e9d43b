/**
 * Sessions: who is signed in to the web console. Owns: the text in the cookie, how long it is good for, and the token
 * that a change must bring besides it. Does not own: the cookie's attributes, what a role may do (admin).
 * Invariants: nothing is stored, so every replica knows every session; a session is worth no more than the key that
 * opened it: it ends when that key is revoked, expires or is rotated, and all end when the admin key changes.
 */

import { createHmac, hkdfSync, randomBytes } from 'node:crypto';
import { ApiError } from '../domain/errors.ts';
import type { KeyId, TeamId } from '../domain/ids.ts';
import type { KeyRecord } from '../store/hot/catalog.ts';
import type { Sender } from './addresses.ts';
import { isSame } from './admin-key.ts';
import type { KeyCache } from './keys.ts';
import { hashKey, usableKey } from './keys.ts';

const SESSION_MS = 12 * 60 * 60 * 1000;

export type SessionOwner =
  | { role: 'admin' }
  | { role: 'team'; teamId: TeamId; teamName: string; keyId: KeyId };

const ADMIN: SessionOwner = { role: 'admin' };

function ownerOf({ account }: KeyRecord): SessionOwner {
  const { teamId, teamName, keyId } = account.principal;
  return { role: 'team', teamId, teamName, keyId };
}

export interface Session {
  owner: SessionOwner;
  /** Eight hex digits: enough to tell the sessions of a day apart, useless to anyone else. */
  name: string;
  /** What a change must repeat in a header: no other site can read it. */
  csrf: string;
  expiresAtMs: number;
}

export interface SessionsOptions {
  adminKey: string;
  keys: KeyCache;
  nowMs(): number;
}

/** What the cookie says. */
interface Claims {
  name: string;
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
    const expiresAtMs = this.#options.nowMs() + SESSION_MS;
    const claims: Claims = { name: randomBytes(4).toString('hex'), keyHash, expiresAtMs };
    const body = Buffer.from(JSON.stringify(claims)).toString('base64url');
    const token = `${body}.${this.#sign('session', body)}`;
    return { token, session: this.#sessionOf(claims, owner, token) };
  }

  /** The session of a cookie's text; null when it is none of ours, or over. Rejects when Postgres is needed and away. */
  async read(token: string): Promise<Session | null> {
    const [body = '', signature = '', ...rest] = token.split('.');
    if (rest.length > 0 || !isSame(signature, this.#sign('session', body))) return null;
    const claims = JSON.parse(Buffer.from(body, 'base64url').toString()) as Claims;
    if (claims.expiresAtMs <= this.#options.nowMs()) return null;
    const owner = await this.#ownerOf(claims.keyHash);
    return owner === null ? null : this.#sessionOf(claims, owner, token);
  }

  /** Returns null when the key is not valid any more. */
  async #ownerOf(keyHash: string | null): Promise<SessionOwner | null> {
    if (keyHash === null) return ADMIN;
    const record = usableKey(await this.#options.keys.findHashed(keyHash), this.#options.nowMs());
    return record instanceof ApiError ? null : ownerOf(record);
  }

  #sessionOf({ name, expiresAtMs }: Claims, owner: SessionOwner, token: string): Session {
    return { owner, name, csrf: this.#sign('csrf', token), expiresAtMs };
  }

  #sign(purpose: 'session' | 'csrf', text: string): string {
    return createHmac('sha256', this.#secret).update(`${purpose} ${text}`).digest('base64url');
  }
}

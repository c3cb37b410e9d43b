/**
 * Sessions: who is signed in to the web console. Owns: the text in the cookie, how long it is good for, and the token
 * that a change must bring besides it. Does not own: the cookie's attributes, what a role may do (admin).
 * Invariants: nothing is stored, so every replica knows every session; a session is worth no more than the key that
 * opened it: it ends when that key is revoked, expires or is rotated, and all end when the admin key changes.
 */

import { createHmac, hkdfSync, randomBytes } from 'node:crypto';
import type { KeyId, TeamId } from '../domain/ids.ts';
import { isSame } from './admin-key.ts';
import type { KeyCache } from './keys.ts';
import { hashKey, keyProblem } from './keys.ts';

const SESSION_MS = 12 * 60 * 60 * 1000;

export type SessionOwner =
  | { role: 'admin' }
  | { role: 'team'; teamId: TeamId; teamName: string; keyId: KeyId };

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
  async open(key: string): Promise<{ token: string; session: Session } | string> {
    const keyHash = isSame(key, this.#options.adminKey) ? null : hashKey(key);
    const owner = await this.#ownerOf(keyHash);
    if (typeof owner === 'string') return owner;
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
    return typeof owner === 'string' ? null : this.#sessionOf(claims, owner, token);
  }

  async #ownerOf(keyHash: string | null): Promise<SessionOwner | string> {
    if (keyHash === null) return { role: 'admin' };
    const record = await this.#options.keys.findHashed(keyHash);
    const problem = keyProblem(record, this.#options.nowMs());
    if (problem !== null) return problem;
    const { teamId, teamName, keyId } = record!.account.principal;
    return { role: 'team', teamId, teamName, keyId };
  }

  #sessionOf({ name, expiresAtMs }: Claims, owner: SessionOwner, token: string): Session {
    return { owner, name, csrf: this.#sign('csrf', token), expiresAtMs };
  }

  #sign(purpose: 'session' | 'csrf', text: string): string {
    return createHmac('sha256', this.#secret).update(`${purpose} ${text}`).digest('base64url');
  }
}

/**
 * Virtual keys. Owns: their text and how it is kept. Does not own the rows (store/keys).
 * Invariant: the text of a key is never stored; whoever holds the database cannot make a call with it.
 */
import { hash, randomBytes } from 'node:crypto';
import type { KeyRecord } from '../store/hot/catalog.ts';

export interface NewKey {
  /** `tg-` and 43 URL-safe characters: 256 random bits. Shown once. */
  key: string;
  /** What is stored: see {@link hashKey}. */
  hash: string;
  /** The first characters, by which people recognise the key in a list. */
  prefix: string;
}

const SECRET_BYTES = 32;
const PREFIX_LENGTH = 'tg-'.length + 6;

/** A new virtual key. */
export function makeKey(): NewKey {
  const key = `tg-${randomBytes(SECRET_BYTES).toString('base64url')}`;
  return { key, hash: hashKey(key), prefix: key.slice(0, PREFIX_LENGTH) };
}

/** SHA-256 in hex. A slow password hash would buy nothing: nobody guesses 256 random bits. */
export function hashKey(key: string): string {
  return hash('sha256', key, 'hex');
}

/** Why this key may not be used at this moment, in words for its holder; null: it may. */
export function whyRefused(record: KeyRecord | null, nowMs: number): string | null {
  if (record === null) return 'This API key is not known.';
  if (record.revoked) return 'This API key was revoked.';
  if (record.expiresAtMs !== null && record.expiresAtMs <= nowMs) return 'This API key has expired.';
  return null;
}

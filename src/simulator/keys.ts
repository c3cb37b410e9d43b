/** Keys: which of them open what, and the ids by which reports name them. */
import { createHash } from 'node:crypto';
import { ADMIN_KEY_WANTED, type ApiError, NO_KEY, WRONG_KEY } from './errors.ts';

/** What is accepted; null: any key for the API, any that looks like an admin key for reports. */
export interface AcceptedKeys {
  apiKey: string | null;
  adminKey: string | null;
}

const ADMIN_PREFIX = 'sk-admin-';
const KNOWN_IDS_MAX = 1_000;
const ids = new Map<string, string>();
/** By id, as an administrator sees a key: its begin and its end. */
const redacted = new Map<string, string>();

/** Null: the key opens the API. */
export function checkApiKey(authorization: string | undefined, { apiKey }: AcceptedKeys): ApiError | null {
  const key = keyOf(authorization);
  if (key === null) return NO_KEY;
  return apiKey === null || key === apiKey ? null : WRONG_KEY;
}

/** Null: the key opens the organization's reports. A key of the API does not. */
export function checkAdminKey(authorization: string | undefined, keys: AcceptedKeys): ApiError | null {
  const key = keyOf(authorization);
  if (key === null) return NO_KEY;
  if (!key.startsWith(ADMIN_PREFIX)) return ADMIN_KEY_WANTED;
  return keys.adminKey === null || key === keys.adminKey ? null : WRONG_KEY;
}

/** The id of the key that a request bears; null: it bears none. */
export function apiKeyIdOf(authorization: string | undefined): string | null {
  const key = keyOf(authorization);
  if (key === null) return null;
  let id = ids.get(key);
  if (id === undefined) {
    id = `key_${createHash('sha256').update(key).digest('hex').slice(0, 16)}`;
    if (ids.size >= KNOWN_IDS_MAX) {
      ids.clear();
      redacted.clear();
    }
    ids.set(key, id);
    redacted.set(id, `${key.slice(0, 6)}...${key.slice(-4)}`);
  }
  return id;
}

/** What an administrator sees of a key that made requests; null: none that did has this id. */
export function redactedKey(id: string): string | null {
  return redacted.get(id) ?? null;
}

function keyOf(authorization: string | undefined): string | null {
  return /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1] ?? null;
}

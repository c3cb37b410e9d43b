/**
 * Virtual keys. Owns: their text and how it is kept; which key text is whose, as fresh as the catalog's version says.
 * Does not own the rows (store/keys). Keys are found by their hash; a key that is not known here is looked up once,
 * however many calls ask for it at that moment. Invariant: the text of a key is never stored; the database is not enough to make a call with it.
 */
import { hash, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { KeyRecord } from '../store/hot/catalog.ts';

export interface KeySecret {
  /** `tg-` and 43 URL-safe characters: 256 random bits. Shown once. */
  key: string;
  /** What is stored: see {@link hashKey}. */
  hash: string;
  /** The first characters, by which people recognise the key in a list. */
  prefix: string;
}

const SECRET_BYTES = 32;
const PREFIX_LENGTH = 'tg-'.length + 6;

/** Returns a new virtual key. */
export function makeKey(): KeySecret {
  const key = `tg-${randomBytes(SECRET_BYTES).toString('base64url')}`;
  return { key, hash: hashKey(key), prefix: key.slice(0, PREFIX_LENGTH) };
}

/** Returns the SHA-256 in hex. A slow password hash would add nothing: 256 random bits cannot be guessed. */
export function hashKey(key: string): string {
  return hash('sha256', key, 'hex');
}

/** Returns why this key may not be used now, in words for its holder; null: it may be used. */
export function keyProblem(record: KeyRecord | null, nowMs: number): string | null {
  if (record === null) return 'This API key is not known.';
  if (record.revoked) return 'This API key was revoked.';
  if (record.expiresAtMs !== null && record.expiresAtMs <= nowMs) return 'This API key has expired.';
  return null;
}

export interface KeyCacheOptions {
  findKey(hash: string): Promise<KeyRecord | null>;
  maxKeys?: number;
}

/** Keys that are found by their text: those of busy callers. */
const TEXTS_MAX = 5_000;

type Found = { record: KeyRecord | null };

export class KeyCache {
  readonly #findKey: KeyCacheOptions['findKey'];
  readonly #known: LRUCache<string, Found>;
  /** The same records by the key's text, which saves a call the hash. Texts that are no key have no place here. */
  readonly #byText: LRUCache<string, KeyRecord>;
  readonly #teamNames: LRUCache<string, string>;
  readonly #loading = new Map<string, Promise<KeyRecord | null>>();
  #generation = 0;

  constructor({ findKey, maxKeys = 50_000 }: KeyCacheOptions) {
    this.#findKey = findKey;
    this.#known = new LRUCache({ max: maxKeys });
    this.#byText = new LRUCache({ max: Math.min(maxKeys, TEXTS_MAX) });
    this.#teamNames = new LRUCache({ max: maxKeys });
  }

  /** Grows whenever what was found before may be out of date. */
  get generation(): number {
    return this.#generation;
  }

  /** The key's record, null for a text that is no key. Rejects when Postgres is needed and away. */
  find(key: string): KeyRecord | null | Promise<KeyRecord | null> {
    const known = this.#byText.get(key);
    if (known !== undefined) return known;
    const found = this.findHashed(hashKey(key));
    if (found !== null && !(found instanceof Promise)) this.#byText.set(key, found);
    return found;
  }

  /** The same, for who kept only the key's hash. */
  findHashed(hashed: string): KeyRecord | null | Promise<KeyRecord | null> {
    const found = this.#known.get(hashed);
    return found ? found.record : this.#load(hashed);
  }

  /** The name of a team that called here; null: none of its keys was seen. */
  teamName(teamId: string): string | null {
    return this.#teamNames.get(teamId) ?? null;
  }

  #load(hashed: string): Promise<KeyRecord | null> {
    let loading = this.#loading.get(hashed);
    if (!loading) {
      const generation = this.#generation;
      loading = this.#findKey(hashed)
        .then((record) => {
          if (record) this.#teamNames.set(record.account.principal.teamId, record.account.principal.teamName);
          // A change that came while we read may not be in what we read: use it once, do not keep it.
          if (generation === this.#generation) this.#known.set(hashed, { record });
          return record;
        })
        .finally(() => {
          if (this.#loading.get(hashed) === loading) this.#loading.delete(hashed);
        });
      this.#loading.set(hashed, loading);
    }
    return loading;
  }

  /** Forgets the keys of these teams, and every text that was no key before. */
  invalidate(teamIds: ReadonlySet<string> | 'all'): void {
    this.#generation++;
    this.#byText.clear();
    // What is being read may be older than the change: who calls from now on must not get it.
    this.#loading.clear();
    if (teamIds === 'all') {
      this.#known.clear();
      return;
    }
    for (const [hashed, { record }] of this.#known.entries()) {
      if (record === null || teamIds.has(record.account.principal.teamId)) this.#known.delete(hashed);
    }
  }
}

/**
 * Keys in memory. Owns: which key text is whose, as fresh as the catalog's version says. Keys are found by their hash;
 * a key that is not known here is looked up once, however many calls ask for it at that moment.
 */
import { LRUCache } from 'lru-cache';
import type { KeyRecord } from '../store/hot/catalog.ts';
import { hashKey } from './keys.ts';

export interface KeyCacheOptions {
  findKey(hash: string): Promise<KeyRecord | null>;
  maxKeys?: number;
}

type Found = { record: KeyRecord | null };

export class KeyCache {
  readonly #findKey: KeyCacheOptions['findKey'];
  readonly #known: LRUCache<string, Found>;
  readonly #teamNames: LRUCache<string, string>;
  readonly #loading = new Map<string, Promise<KeyRecord | null>>();
  #generation = 0;

  constructor({ findKey, maxKeys = 50_000 }: KeyCacheOptions) {
    this.#findKey = findKey;
    this.#known = new LRUCache({ max: maxKeys });
    this.#teamNames = new LRUCache({ max: maxKeys });
  }

  /** Grows whenever what was found before may be out of date. */
  get generation(): number {
    return this.#generation;
  }

  /** The key's record, null for a text that is no key. Rejects when Postgres is needed and away. */
  find(key: string): KeyRecord | null | Promise<KeyRecord | null> {
    return this.findHashed(hashKey(key));
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
        .finally(() => this.#loading.delete(hashed));
      this.#loading.set(hashed, loading);
    }
    return loading;
  }

  /** Forgets the keys of these teams, and every text that was no key before. */
  invalidate(teamIds: ReadonlySet<string> | 'all'): void {
    this.#generation++;
    if (teamIds === 'all') {
      this.#known.clear();
      return;
    }
    for (const [hashed, { record }] of this.#known.entries()) {
      if (record === null || teamIds.has(record.account.principal.teamId)) this.#known.delete(hashed);
    }
  }
}

/**
 * Virtual keys. Owns: where a request carries one; their text and how it is kept; which key text is whose, as fresh as the
 * catalog's version says; how many look-ups guesses may cause. Does not own the rows (store/keys). Keys are found by their
 * hash; a key that is not known here is looked up once, however many calls ask for it at that moment. Invariants: the text of
 * a key is never stored; the database is not enough to make a call with it; a text that is no key takes no key's place in memory.
 */
import { hash, randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { LRUCache } from 'lru-cache';
import { ApiError, apiError } from '../domain/errors.ts';
import type { KeyRecord } from '../store/hot/catalog.ts';
import { ClientAddresses, type Sender } from './addresses.ts';
import { Attempts } from './attempts.ts';

export interface KeySecret {
  /** `tg-` (of a service token `tgs-`), 43 URL-safe characters (256 random bits), and 6 that check them. Shown once. */
  key: string;
  /** What is stored: see {@link hashKey}. */
  hash: string;
  /** The first characters, by which people recognise the key in a list. */
  prefix: string;
}

const SECRET_BYTES = 32;
const KEY_MARK = 'tg-';
export const TOKEN_MARK = 'tgs-';
const SHOWN_CHARACTERS = 6;
const CHECK_LENGTH = 6;
const UNCHECKED_LENGTH = KEY_MARK.length + 43;
const CHECKED_LENGTH = UNCHECKED_LENGTH + CHECK_LENGTH;
const KEY_TEXT = /^tg-[A-Za-z0-9_-]+$/;

/** Returns a new virtual key; with the mark of tokens, a service token. */
export function makeKey(mark: typeof KEY_MARK | typeof TOKEN_MARK = KEY_MARK): KeySecret {
  const secret = mark + randomBytes(SECRET_BYTES).toString('base64url');
  const key = secret + checksumOf(secret);
  return { key, hash: hashKey(key), prefix: key.slice(0, mark.length + SHOWN_CHARACTERS) };
}

/** Returns whether a text may be a service token: the check holds off guesses before Postgres is asked. */
export function isTokenText(text: string): boolean {
  const secret = text.slice(0, -CHECK_LENGTH);
  return /^tgs-[A-Za-z0-9_-]{49}$/.test(text) && text === secret + checksumOf(secret);
}

/** It holds off typing errors and blind guesses; who knows how it is made meets the limit on look-ups. */
function checksumOf(secret: string): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(crc32(secret));
  return bytes.toString('base64url');
}

/** `unchecked`: it may be a key of a release whose keys had no checksum. Null: it cannot be a key. */
function kindOf(text: string): 'checked' | 'unchecked' | null {
  if (!KEY_TEXT.test(text)) return null;
  if (text.length === UNCHECKED_LENGTH) return 'unchecked';
  if (text.length !== CHECKED_LENGTH) return null;
  const secret = text.slice(0, UNCHECKED_LENGTH);
  return text === secret + checksumOf(secret) ? 'checked' : null;
}

/** Returns the SHA-256 in hex. A slow password hash would add nothing: 256 random bits cannot be guessed. */
export function hashKey(key: string): string {
  return hash('sha256', key, 'hex');
}

const UNKNOWN_KEY =
  'This API key is not known here: send a virtual key of this Tollgate (tg-…); an administrator makes one.';

/** Returns why this key may not be used now, in words for its holder; null: it may be used. */
function keyProblem(record: KeyRecord | null, nowMs: number): string | null {
  if (record === null) return UNKNOWN_KEY;
  if (record.revoked) return 'This API key was revoked: ask an administrator for another one.';
  if (record.expiresAtMs !== null && record.expiresAtMs <= nowMs)
    return 'This API key has expired: ask an administrator for another one.';
  return null;
}

export interface KeyCacheOptions {
  findKey(hash: string): Promise<KeyRecord | null>;
  maxKeys?: number;
  /** Default: no proxy is trusted. */
  addresses?: ClientAddresses;
  /** The monotonic clock. */
  nowMs?(): number;
}

/** Keys that are found by their text: those of busy callers. */
const TEXTS_MAX = 5_000;
/** Texts that are known to be no key. */
const MISSES_MAX = 10_000;
/** So many guesses of an address in a minute may ask Postgres: of texts with a checksum, and of those without. */
const LOOK_UPS_MAX = 60;
/** Look-ups under way at once; Postgres does several thousand a second. */
const LOADING_MAX = 1_000;

export class KeyCache {
  readonly #findKey: KeyCacheOptions['findKey'];
  readonly #addresses: ClientAddresses;
  readonly #known: LRUCache<string, KeyRecord>;
  /** The same records by the key's text, which saves a call the hash. */
  readonly #byText: LRUCache<string, KeyRecord>;
  /** Hashes of texts that are no key. */
  readonly #misses = new LRUCache<string, true>({ max: MISSES_MAX });
  readonly #guesses: Record<'checked' | 'unchecked', Attempts>;
  readonly #teamNames: LRUCache<string, string>;
  readonly #loading = new Map<string, Promise<KeyRecord | null>>();
  #generation = 0;

  constructor({
    findKey,
    maxKeys = 50_000,
    addresses = new ClientAddresses(null),
    nowMs = () => performance.now(),
  }: KeyCacheOptions) {
    this.#findKey = findKey;
    this.#addresses = addresses;
    this.#known = new LRUCache({ max: maxKeys });
    this.#byText = new LRUCache({ max: Math.min(maxKeys, TEXTS_MAX) });
    this.#teamNames = new LRUCache({ max: maxKeys });
    this.#guesses = {
      checked: new Attempts(LOOK_UPS_MAX, nowMs),
      unchecked: new Attempts(LOOK_UPS_MAX, nowMs),
    };
  }

  /** Grows whenever what was found before may be out of date. */
  get generation(): number {
    return this.#generation;
  }

  /**
   * Returns the key's record; null for a text that is no key; an error when its sender has guessed too often to be looked
   * up for. What is known here needs no look-up, and so no limit. Rejects when Postgres is needed and away.
   */
  find(key: string, sender: Sender): KeyRecord | null | ApiError | Promise<KeyRecord | null | ApiError> {
    const known = this.#byText.get(key);
    if (known !== undefined) return known;
    const kind = kindOf(key);
    if (kind === null) return null;
    const hashed = hashKey(key);
    const record = this.#known.get(hashed);
    if (record !== undefined) {
      this.#byText.set(key, record);
      return record;
    }
    if (this.#misses.has(hashed)) return null;
    return this.#lookUp(hashed, this.#guesses[kind], this.#addresses.of(sender));
  }

  #lookUp(hashed: string, guesses: Attempts, address: string): ApiError | Promise<KeyRecord | null> {
    const retryAfterMs = guesses.waitMs(address);
    if (retryAfterMs > 0) {
      return apiError('rate_limit_exceeded', 'Too many wrong API keys came from this address.', {
        retryAfterMs,
      });
    }
    if (this.#loading.size >= LOADING_MAX && !this.#loading.has(hashed)) {
      return apiError('ledger_unavailable', 'Too many keys are being looked up just now.', {
        retryAfterMs: 1000,
      });
    }
    // Calls that ask for the same text at once are one guess.
    const isFirst = !this.#loading.has(hashed);
    return this.#load(hashed).then((found) => {
      if (found === null && isFirst) guesses.failed(address);
      return found;
    });
  }

  /** The same, for who kept only the hash of what was a key: it is no guess. */
  findHashed(hashed: string): KeyRecord | null | Promise<KeyRecord | null> {
    const known = this.#known.get(hashed);
    if (known !== undefined) return known;
    return this.#misses.has(hashed) ? null : this.#load(hashed);
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
          if (generation === this.#generation) this.#keep(hashed, record);
          return record;
        })
        .finally(() => {
          if (this.#loading.get(hashed) === loading) this.#loading.delete(hashed);
        });
      this.#loading.set(hashed, loading);
    }
    return loading;
  }

  #keep(hashed: string, record: KeyRecord | null): void {
    if (record === null) this.#misses.set(hashed, true);
    else this.#known.set(hashed, record);
  }

  /** Forgets the keys of these teams, and every text that was no key before. */
  invalidate(teamIds: ReadonlySet<string> | 'all'): void {
    this.#generation++;
    this.#byText.clear();
    this.#misses.clear();
    // What is being read may be older than the change: who calls from now on must not get it.
    this.#loading.clear();
    if (teamIds === 'all') {
      this.#known.clear();
      return;
    }
    for (const [hashed, record] of this.#known.entries()) {
      if (teamIds.has(record.account.principal.teamId)) this.#known.delete(hashed);
    }
  }
}

/** Returns the record of a key that may be used now, or the error for its holder. */
export function usableKey(found: KeyRecord | null | ApiError, nowMs: number): KeyRecord | ApiError {
  if (found instanceof ApiError) return found;
  const problem = keyProblem(found, nowMs);
  return found === null || problem !== null ? apiError('invalid_api_key', problem ?? UNKNOWN_KEY) : found;
}

/** Headers that carry a key: OpenAI's own, Azure's, and that of other vendors' clients. */
const KEY_HEADERS = new Map([
  ['authorization', true],
  ['api-key', false],
  ['x-api-key', false],
]);

/**
 * The virtual key among raw headers: of `Authorization: Bearer`, `api-key` or `x-api-key`; null when there is none. Two
 * `Authorization` headers, and two different keys, are refused: what stands before us may have checked the other one.
 */
export function clientKey(incoming: readonly string[]): string | null | ApiError {
  let found: string | null = null;
  let authorizations = 0;
  for (let index = 0; index < incoming.length; index += 2) {
    const name = incoming[index] ?? '';
    if (name.length !== 13 && name.length !== 7 && name.length !== 9) continue;
    const isBearer = KEY_HEADERS.get(name.toLowerCase());
    if (isBearer === undefined) continue;
    if (isBearer && ++authorizations > 1) {
      return apiError('invalid_api_key', 'Send exactly one Authorization header.');
    }
    const value = incoming[index + 1] ?? '';
    if (isBearer && value.slice(0, 7).toLowerCase() !== 'bearer ') continue;
    const key = (isBearer ? value.slice(7) : value).trim();
    if (key === '' || key === found) continue;
    if (found !== null) {
      return apiError(
        'invalid_api_key',
        'The request carries two different API keys: send one, in one header.',
      );
    }
    found = key;
  }
  return found;
}

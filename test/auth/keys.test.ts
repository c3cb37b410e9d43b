import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { ClientAddresses } from '../../src/auth/addresses.ts';
import { hashKey, KeyCache, makeKey, usableKey } from '../../src/auth/keys.ts';
import { ApiError } from '../../src/domain/errors.ts';
import type { KeyRecord } from '../../src/store/hot/catalog.ts';
import { accountOf } from '../support/accounts.ts';

const from = (remoteAddress: string) => ({ remoteAddress, rawHeaders: [] });
const HERE = from('192.0.2.1');

const recordOf = (teamId: string): KeyRecord => ({
  account: accountOf({ teamId }),
  expiresAtMs: null,
  revoked: false,
});

/** A key as releases before the checksum made them. */
const oldKey = () => makeKey().key.slice(0, 46);

/** Keys of a table, and how often it was read. */
function tableOf(keys: readonly string[], teamIds = keys) {
  const table = { reads: 0, away: false, nowMs: 0 };
  const records = new Map(keys.map((key, index) => [hashKey(key), recordOf(teamIds[index]!)]));
  const cache = new KeyCache({
    findKey: async (hash) => {
      table.reads++;
      if (table.away) throw new Error('Postgres is away');
      return records.get(hash) ?? null;
    },
    nowMs: () => table.nowMs,
    addresses: new ClientAddresses(null),
  });
  return { table, cache };
}

describe('the text of a key', () => {
  it('is tg-, 256 random bits and a checksum, and its hash is plain SHA-256', () => {
    const { key, hash, prefix } = makeKey();
    expect(key).toMatch(/^tg-[A-Za-z0-9_-]{49}$/);
    expect(hash).toBe(createHash('sha256').update(key).digest('hex'));
    expect(hashKey(key)).toBe(hash);
    expect(key.startsWith(prefix)).toBe(true);
    expect(prefix.length).toBeLessThan(12);
  });

  it('is never made twice', () => {
    expect(new Set(Array.from({ length: 1000 }, () => makeKey().key)).size).toBe(1000);
  });
});

describe('what cannot be a key', () => {
  it('is unknown without a look-up: another form, or a checksum that is wrong at any place', async () => {
    const { key } = makeKey();
    const { table, cache } = tableOf([key]);
    const wrong = [
      '',
      'tg-',
      'tg-key',
      'sk-proj-abc',
      `${key}A`,
      ` ${key}`,
      key.toUpperCase(),
      oldKey().slice(0, 45),
    ];
    for (let place = 3; place < key.length; place++) {
      wrong.push(`${key.slice(0, place)}${key[place] === 'A' ? 'B' : 'A'}${key.slice(place + 1)}`);
    }
    for (const text of wrong) expect(cache.find(text, HERE), text).toBeNull();
    expect(table.reads).toBe(0);
    expect(await cache.find(key, HERE)).toMatchObject({ revoked: false });
  });
});

describe('guesses', () => {
  it('of an address are looked up sixty times a minute: then what is not known here is told when to come again', async () => {
    const known = makeKey().key;
    const { table, cache } = tableOf([known]);
    for (const guess of [oldKey, () => makeKey().key]) {
      const readsBefore = table.reads;
      for (let tried = 0; tried < 60; tried++) expect(await cache.find(guess(), HERE)).toBeNull();
      const refused = await cache.find(guess(), HERE);
      expect(refused).toBeInstanceOf(ApiError);
      expect(refused).toMatchObject({ code: 'rate_limit_exceeded', retryAfterMs: expect.any(Number) });
      expect(table.reads - readsBefore).toBe(60);
      expect(await cache.find(guess(), from('192.0.2.2'))).toBeNull();
    }
    table.nowMs += 60_000;
    expect(await cache.find(known, HERE)).toMatchObject({ revoked: false });
  });

  it('without a checksum keep no key with one from being looked up', async () => {
    const { key } = makeKey();
    const { cache } = tableOf([key]);
    for (let tried = 0; tried < 61; tried++) await cache.find(oldKey(), HERE);
    expect(await cache.find(key, HERE)).toMatchObject({ revoked: false });
  });

  it('push no key out of memory, which works on while Postgres is away, for their address too', async () => {
    const key = makeKey().key;
    const old = oldKey();
    const { table, cache } = tableOf([key, old]);
    await Promise.all([cache.find(key, HERE), cache.find(old, HERE)]);
    for (let tried = 0; tried < 60_000; tried++) {
      const address = from(`10.${tried >> 16}.${(tried >> 8) & 255}.${tried & 255}`);
      await cache.find(tried % 2 === 0 ? makeKey().key : oldKey(), address);
    }
    for (let tried = 0; tried < 61; tried++) await cache.find(oldKey(), HERE);
    table.away = true;
    expect(cache.find(key, HERE)).toMatchObject({ revoked: false });
    expect(cache.find(old, HERE)).toMatchObject({ revoked: false });
  }, 120_000);

  it('of one text are one guess and one look-up, however many ask at once and again', async () => {
    const text = makeKey().key;
    const { table, cache } = tableOf([]);
    await Promise.all(Array.from({ length: 100 }, () => cache.find(text, HERE)));
    for (let tried = 0; tried < 100; tried++) expect(await cache.find(text, HERE)).toBeNull();
    expect(table.reads).toBe(1);
    expect(await cache.find(makeKey().key, HERE)).toBeNull();
  });

  it('that are no guesses cost nothing: a failed look-up, and a key that is found', async () => {
    const keys = Array.from({ length: 200 }, () => makeKey().key);
    const { table, cache } = tableOf(keys);
    table.away = true;
    for (const key of keys) await expect(cache.find(key, HERE)).rejects.toThrow('away');
    table.away = false;
    for (const key of keys) expect(await cache.find(key, HERE)).toMatchObject({ revoked: false });
  });

  it('under way at once are at most a thousand', async () => {
    const cache = new KeyCache({ findKey: () => new Promise(() => {}) });
    for (let tried = 0; tried < 1000; tried++) {
      expect(cache.find(makeKey().key, from(`10.0.${tried >> 8}.${tried & 255}`))).toBeInstanceOf(Promise);
    }
    expect(cache.find(makeKey().key, HERE)).toMatchObject({ code: 'ledger_unavailable', retryAfterMs: 1000 });
  });
});

describe('a change', () => {
  it('is seen by every call that begins after it, however slow what was read before it is', async () => {
    const before = Promise.withResolvers<KeyRecord | null>();
    const reads = [before.promise, Promise.resolve(null)];
    const cache = new KeyCache({ findKey: () => reads.shift() ?? Promise.resolve(null) });
    const { key } = makeKey();
    const earlier = cache.find(key, HERE);
    cache.invalidate('all');
    const later = cache.find(key, HERE);
    before.resolve(recordOf('before'));
    expect(usableKey(await earlier, 0)).toMatchObject({ account: { principal: { teamName: 'before' } } });
    expect(await later).toBeNull();
    expect(await cache.find(key, HERE)).toBeNull();
  });

  it('makes a text that was no key one, and leaves the keys of other teams in memory', async () => {
    const { key } = makeKey();
    const other = makeKey().key;
    const { table, cache } = tableOf([key, other], ['one', 'two']);
    const fresh = makeKey().key;
    for (const text of [key, other, fresh]) await cache.find(text, HERE);
    cache.invalidate(new Set(['one']));
    const readsBefore = table.reads;
    for (const text of [key, other, fresh]) await cache.find(text, HERE);
    expect(table.reads - readsBefore).toBe(2);
  });
});

import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { hashKey, KeyCache, makeKey } from '../../src/auth/keys.ts';
import type { KeyRecord } from '../../src/store/hot/catalog.ts';
import { accountOf } from '../support/accounts.ts';

test('a key is tg- and 256 random bits, and its hash is plain SHA-256', () => {
  const { key, hash, prefix } = makeKey();
  expect(key).toMatch(/^tg-[A-Za-z0-9_-]{43}$/);
  expect(Buffer.from(key.slice(3), 'base64url')).toHaveLength(32);
  expect(hash).toBe(createHash('sha256').update(key).digest('hex'));
  expect(hashKey(key)).toBe(hash);
  expect(key.startsWith(prefix)).toBe(true);
  expect(prefix.length).toBeLessThan(12);
});

test('no two keys are alike', () => {
  expect(new Set(Array.from({ length: 1000 }, () => makeKey().key)).size).toBe(1000);
});

test('a call that begins after a revocation never gets what was read before it, however slow that was', async () => {
  const before = Promise.withResolvers<KeyRecord | null>();
  const reads = [before.promise, Promise.resolve(null)];
  const keys = new KeyCache({ findKey: () => reads.shift() ?? Promise.resolve(null) });
  const earlier = keys.find('tg-key');
  keys.invalidate('all');
  const later = keys.find('tg-key');
  before.resolve({ account: accountOf({ teamId: 'before' }), expiresAtMs: null, revoked: false });
  expect((await earlier)?.account.principal.teamName).toBe('before');
  expect(await later).toBeNull();
  expect(await keys.find('tg-key')).toBeNull();
});

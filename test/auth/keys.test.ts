import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { hashKey, makeKey } from '../../src/auth/keys.ts';

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

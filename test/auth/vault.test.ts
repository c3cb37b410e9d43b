import { randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { Vault } from '../../src/auth/vault.ts';

const newKey = () => randomBytes(32).toString('base64');
const [KEY, OTHER] = [newKey(), newKey()];
const vault = new Vault([KEY]);

it('opens what it sealed, each time another text', () => {
  const [one, two] = [vault.seal('a', 'sk-é'), vault.seal('a', 'sk-é')];
  expect([vault.open('a', one), vault.open('a', two)]).toEqual(['sk-é', 'sk-é']);
  expect(one.sealed).not.toBe(two.sealed);
});

it('opens nothing under another name or key, nor what was changed or cut', () => {
  const secret = vault.seal('a', 'sk-1');
  expect(vault.open('b', secret)).toBeNull();
  expect(new Vault([OTHER]).open('a', secret)).toBeNull();
  // A key that claims to be the one is none.
  expect(new Vault([OTHER]).open('a', { ...secret, keyId: new Vault([OTHER]).keyId })).toBeNull();
  const bytes = Buffer.from(secret.sealed, 'base64');
  for (let at = 0; at < bytes.length; at++) {
    const changed = Buffer.from(bytes);
    changed[at] = (changed[at] ?? 0) ^ 1;
    expect(vault.open('a', { ...secret, sealed: changed.toString('base64') })).toBeNull();
    expect(vault.open('a', { ...secret, sealed: bytes.subarray(0, at).toString('base64') })).toBeNull();
  }
});

it('seals with the first key, and opens with each', () => {
  const both = new Vault([OTHER, KEY]);
  expect(both.open('a', vault.seal('a', 'sk-1'))).toBe('sk-1');
  expect(vault.open('a', both.seal('a', 'sk-1'))).toBeNull();
});

it('takes no key of another length', () => {
  expect(() => new Vault([randomBytes(16).toString('base64')])).toThrow(RangeError);
});

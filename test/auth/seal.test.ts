import { expect, it } from 'vitest';
import { Sealer, sealingKey } from '../../src/auth/seal.ts';

const sealer = new Sealer(Buffer.alloc(32, 1));
const plain = Buffer.from('the word is heliotrope');

it('what is sealed opens under the same key about the same thing, and says nothing', () => {
  const sealed = sealer.seal(plain, 'row/1');
  expect(sealed.includes('heliotrope')).toBe(false);
  expect(sealer.open(sealed, 'row/1')).toEqual(plain);
  expect(sealer.seal(plain, 'row/1').equals(sealed)).toBe(false);
});

it('it opens neither about another thing, nor under another key, nor with one bit changed', () => {
  const sealed = sealer.seal(plain, 'row/1');
  expect(sealer.open(sealed, 'row/2')).toBeNull();
  expect(new Sealer(Buffer.alloc(32, 2)).open(sealed, 'row/1')).toBeNull();
  for (let at = 0; at < sealed.length; at++) {
    const changed = Buffer.from(sealed);
    changed[at] = changed[at]! ^ 1;
    expect(sealer.open(changed, 'row/1'), `byte ${at}`).toBeNull();
  }
  expect(sealer.open(sealed.subarray(0, 20), 'row/1')).toBeNull();
});

it.each([
  ['hex', 'ab'.repeat(32)],
  ['base64', Buffer.alloc(32, 3).toString('base64')],
  ['base64 for URLs, with a line end', `${Buffer.alloc(32, 250).toString('base64url')}\n`],
])('a key is 32 bytes in %s', (_form, text) => {
  expect(sealingKey(text)).toHaveLength(32);
});

it.each(['', 'hunter22', 'ab'.repeat(31), 'ab'.repeat(33), `${'A'.repeat(42)}==`])('%s is none', (text) => {
  expect(sealingKey(text)).toBeNull();
});

import { expect, test } from 'vitest';
import { moneyOf } from '../../src/admin/page.ts';
import { usd } from '../../src/domain/money.ts';
import { formatUsd } from '../../src/domain/quantities.ts';
import { Random } from '../support/random.ts';

test('money is written as an amount is, whatever zeros it ends with', () => {
  const random = new Random(1);
  const texts = [
    '0',
    '7',
    '-0.5',
    '1.25',
    '0.000000000000',
    '-0.000000000001',
    '10.000000000000',
    '100.100000000000',
  ];
  for (let round = 0; round < 2_000; round++) {
    const fraction = String(random.between(0, 999_999)).padStart(random.between(6, 12), '0').padEnd(12, '0');
    texts.push(`${random.chance(0.3) ? '-' : ''}${random.between(0, 9_999_999)}.${fraction}`);
  }
  for (const text of texts) expect(moneyOf(text), text).toBe(formatUsd(usd(text)));
  expect(() => moneyOf('NaN')).toThrow('not a decimal amount');
});

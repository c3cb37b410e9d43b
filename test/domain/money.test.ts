import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { divideUp, parseUsd, usd } from '../../src/domain/money.ts';
import { formatUsd } from '../../src/domain/quantities.ts';

const amounts = fc.oneof(
  fc.bigInt({ min: -(10n ** 24n) + 1n, max: 10n ** 24n - 1n }),
  // Those that a Number holds are written another way.
  fc.bigInt({ min: 0n, max: 2n ** 53n + 1000n }),
  fc
    .tuple(fc.nat(9007), fc.bigInt({ min: -2n, max: 2n }))
    .map(([usd, off]) => BigInt(usd) * 10n ** 12n + off),
  fc
    .tuple(fc.nat(9_007_000), fc.bigInt({ min: -2n, max: 2n }))
    .map(([k, off]) => BigInt(k) * 10n ** 9n + off),
);

describe('money', () => {
  test('an amount survives being written and read', () => {
    fc.assert(fc.property(amounts, (amount) => parseUsd(formatUsd(amount)) === amount));
  });

  test('an amount has one text, however it is reckoned', () => {
    fc.assert(
      fc.property(amounts, (amount) => {
        const digits = (amount < 0n ? -amount : amount).toString().padStart(13, '0');
        const text = `${digits.slice(0, -12)}.${digits.slice(-12)}`.replace(/0{1,10}$/, '');
        expect(formatUsd(amount)).toBe(amount < 0n ? `-${text}` : text);
      }),
      { numRuns: 5_000 },
    );
  });

  test('an amount is written with at least the cents and never with an exponent', () => {
    fc.assert(fc.property(amounts, (amount) => /^-?\d+\.\d{2,12}$/.test(formatUsd(amount))));
    expect(formatUsd(125_000n)).toBe('0.000000125');
    expect(formatUsd(usd('18'))).toBe('18.00');
  });

  test.each(['', ' 1', '1e3', '+1', '.5', '5.', '1.0000000000001', '0x10', '1,5', 'NaN', '1234567890123'])(
    'the text %j is no amount',
    (text) => expect(parseUsd(text)).toBeNull(),
  );

  test('a division is rounded up and by less than one unit', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n }), fc.bigInt({ min: 1n }), (numerator, denominator) => {
        const quotient = divideUp(numerator, denominator);
        return quotient * denominator >= numerator && (quotient - 1n) * denominator < numerator;
      }),
    );
  });
});

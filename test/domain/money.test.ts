import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { divideUp, formatUsd, parseUsd, usd } from '../../src/domain/money.ts';

const amounts = fc.bigInt({ min: -(10n ** 24n) + 1n, max: 10n ** 24n - 1n });

describe('money', () => {
  test('an amount survives being written and read', () => {
    fc.assert(fc.property(amounts, (amount) => parseUsd(formatUsd(amount)) === amount));
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

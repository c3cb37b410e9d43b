import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  amountProblem,
  compare,
  isZero,
  partsOf,
  ratio,
  restDigits,
  subtract,
  sum,
  toMillionths,
} from '../../src/console/money.ts';
import { parseUsd, usd } from '../../src/domain/money.ts';
import { formatUsd } from '../../src/domain/quantities.ts';

const pico = fc.bigInt({ min: -(10n ** 21n), max: 10n ** 21n });

describe('an amount in the console', () => {
  it.each([
    ['18.00', '18.00', ''],
    ['1234567.5', '1,234,567.50', ''],
    ['0.000000125', '0.00', '0000125'],
    ['49.8677', '49.86', '77'],
    ['0', '0.00', ''],
  ])('%s is shown to its last digit: %s and %s', (amount, main, rest) => {
    expect(partsOf(amount)).toEqual({ sign: '', main, rest });
  });

  it('that is an average ends after millionths', () => {
    expect(['0.00', '1234.5', '0.003431883663'].map(toMillionths)).toEqual(['0.00', '1234.5', '0.003431']);
  });

  it('loses no digit, whatever it is', () => {
    fc.assert(
      fc.property(pico, (amount) => {
        const { sign, main, rest } = partsOf(formatUsd(amount));
        const shown = `${sign === '' ? '' : '-'}${main.replaceAll(',', '')}${rest}`;
        expect(parseUsd(shown)).toBe(amount);
      }),
    );
  });

  it('is added, subtracted and compared exactly', () => {
    fc.assert(
      fc.property(pico, pico, (a, b) => {
        const [one, other] = [formatUsd(a), formatUsd(b)];
        expect(usd(sum([one, other]))).toBe(a + b);
        expect(usd(subtract(one, other))).toBe(a - b);
        expect(compare(one, other)).toBe(a < b ? -1 : a > b ? 1 : 0);
        expect(isZero(one)).toBe(a === 0n);
      }),
    );
  });

  it('is written as the API writes it', () => {
    expect(sum(['0.10', '0.20'])).toBe('0.30');
    expect(sum([])).toBe('0.00');
  });

  it('is entered as the API reads it', () => {
    for (const good of ['18', '18.00', '0.000000000001']) expect(amountProblem(good)).toBeNull();
    for (const bad of ['', '-1', '1e3', '1,000', ' 1', '0.0000000000001', '$5'])
      expect(amountProblem(bad)).toBe('format');
    expect(amountProblem('0.00')).toBe('positive');
    expect(amountProblem('0.00', true)).toBeNull();
  });

  it('has its share of another, and none of nothing', () => {
    expect(ratio('2.50', '10.00')).toBe(0.25);
    expect(ratio('1.00', '0.00')).toBe(0);
  });

  it('lines up with the others of its column', () => {
    expect(restDigits(['1.00', '0.0025', null, undefined])).toBe(2);
  });
});

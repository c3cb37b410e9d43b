/**
 * Decimal amounts as people read them. Invariant: an amount is the API's decimal string from end to end; sums are
 * integers of its last digit. Only charts, which draw pixels, may have a float.
 */
const DIGITS = 12;

/** An amount split where the eye splits it: `-`, `1,234.50` and the digits beyond cents. */
export interface Parts {
  sign: '' | '−';
  /** With thousands separated and two digits after the point. */
  main: string;
  /** What follows the second digit after the point; empty for whole cents. */
  rest: string;
}

export function partsOf(amount: string): Parts {
  const [, sign = '', whole = '0', fraction = ''] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(amount) ?? [];
  const digits = fraction.replace(/0+$/, '').padEnd(2, '0');
  return {
    sign: sign ? '−' : '',
    main: `${whole.replace(/\B(?=(\d{3})+$)/g, ',')}.${digits.slice(0, 2)}`,
    rest: digits.slice(2),
  };
}

/** How many digits beyond cents the longest of these amounts has: a column aligns its points by it. */
export function restDigits(amounts: readonly (string | null | undefined)[]): number {
  return amounts.reduce((most, amount) => Math.max(most, amount ? partsOf(amount).rest.length : 0), 0);
}

/** The exact sum, as the API would write it. */
export function sum(amounts: readonly string[]): string {
  return toText(amounts.reduce((total, amount) => total + toUnits(amount), 0n));
}

export function subtract(amount: string, less: string): string {
  return toText(toUnits(amount) - toUnits(less));
}

/** -1, 0 or 1. */
export function compare(a: string, b: string): number {
  const difference = toUnits(a) - toUnits(b);
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}

export function isZero(amount: string): boolean {
  return toUnits(amount) === 0n;
}

/** Which part of the whole this is, 0 to 1 and above: for bars and percentages only. */
export function ratio(part: string, whole: string): number {
  const all = toUnits(whole);
  return all === 0n ? 0 : Number((toUnits(part) * 10_000n) / all) / 10_000;
}

/** For pixels only. */
export function toFloat(amount: string): number {
  return Number(amount);
}

/** Why this text is no amount that may be set; null: it is one. */
export function amountProblem(text: string, zeroAllowed = false): 'format' | 'positive' | null {
  if (!/^\d{1,12}(\.\d{1,12})?$/.test(text)) return 'format';
  return !zeroAllowed && isZero(text) ? 'positive' : null;
}

function toUnits(amount: string): bigint {
  const [, sign, whole = '0', fraction = ''] = /^(-?)(\d+)(?:\.(\d{1,12}))?$/.exec(amount) ?? [];
  const units = BigInt(whole + fraction.padEnd(DIGITS, '0'));
  return sign ? -units : units;
}

function toText(units: bigint): string {
  const digits = (units < 0n ? -units : units).toString().padStart(DIGITS + 1, '0');
  const fraction = digits.slice(-DIGITS).replace(/0+$/, '').padEnd(2, '0');
  return `${units < 0n ? '-' : ''}${digits.slice(0, -DIGITS)}.${fraction}`;
}

/** An average, cut off after a millionth of a dollar: what follows says nothing. */
export function toMillionths(amount: string): string {
  const [whole = '', rest = ''] = amount.split('.');
  return `${whole}.${rest.slice(0, 6)}`;
}

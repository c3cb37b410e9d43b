/**
 * Money. Owns: the unit and its conversions. Invariant: an amount is a `bigint` of pico-USD (1 USD = 10^12);
 * no float ever touches money. Postgres holds the same amount as `numeric(24,12)` USD.
 */

/** An amount of money in pico-USD: 1 USD = 10^12. */
export type PicoUsd = bigint;

export const PICO_PER_USD: PicoUsd = 1_000_000_000_000n;

const DECIMAL_USD = /^(-?)(\d{1,12})(?:\.(\d{1,12}))?$/;

/**
 * Reads a decimal string of USD (`"18.00"`, at most 12 digits either side of the point).
 * Returns null when the text is anything else: exponents, blanks, signs other than a leading minus.
 */
export function parseUsd(text: string): PicoUsd | null {
  const match = DECIMAL_USD.exec(text);
  if (!match) return null;
  const [, sign, whole = '0', fraction = ''] = match;
  const amount = BigInt(whole) * PICO_PER_USD + BigInt(fraction.padEnd(12, '0'));
  return sign ? -amount : amount;
}

/** Like {@link parseUsd} for text that we wrote ourselves (the database, the seed): anything else is our bug. */
export function usd(text: string): PicoUsd {
  const amount = parseUsd(text);
  if (amount === null) throw new Error(`not a decimal amount of USD: ${JSON.stringify(text)}`);
  return amount;
}

/** Writes an exact decimal string of USD with at least two digits after the point: `18.00`, `0.000000125`. */
export function formatUsd(amount: PicoUsd): string {
  if (amount >= 0n && amount <= MAX_SAFE) return formatSafe(Number(amount));
  const sign = amount < 0n ? '-' : '';
  const digits = (amount < 0n ? -amount : amount).toString().padStart(13, '0');
  let end = digits.length;
  const point = end - 12;
  while (end > point + 2 && digits.charCodeAt(end - 1) === 48) end--;
  return `${sign}${digits.slice(0, point)}.${digits.slice(point, end)}`;
}

const MAX_SAFE = BigInt(Number.MAX_SAFE_INTEGER);
const MILLION = 1_000_000;

/** The same for what a Number holds, nine thousand dollars: a call writes a dozen amounts. */
function formatSafe(amount: number): string {
  // Below 2^53 a quotient is further from the next integer than it is rounded.
  const millions = Math.floor(amount / MILLION);
  const low = amount - millions * MILLION;
  const whole = Math.floor(millions / MILLION);
  const high = sixDigits(millions - whole * MILLION);
  const digits = low === 0 ? high : high + sixDigits(low);
  let end = digits.length;
  while (end > 2 && digits.charCodeAt(end - 1) === 48) end--;
  return `${whole}.${end === digits.length ? digits : digits.slice(0, end)}`;
}

/** Small integers become text much faster than large ones. */
function sixDigits(value: number): string {
  return String(MILLION + value).slice(1);
}

/** For metrics only: a float of USD. Never feed it back into money. */
export function toFloatUsd(amount: PicoUsd): number {
  return Number(amount) / 1e12;
}

/** `numerator / denominator`, rounded towards plus infinity: the one rounding of an event line. */
export function divideUp(numerator: bigint, denominator: bigint): bigint {
  const quotient = numerator / denominator;
  return quotient * denominator < numerator ? quotient + 1n : quotient;
}

/**
 * Money. Owns: the unit, and how an amount is read; it is written like all other amounts (quantities.ts). Invariant: an
 * amount is a `bigint` of pico-USD (1 USD = 10^12); no float ever touches money. Postgres holds the same amount as
 * `numeric(24,12)` USD.
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

/** For metrics only: a float of USD. Never feed it back into money. */
export function toFloatUsd(amount: PicoUsd): number {
  return Number(amount) / 1e12;
}

/** `numerator / denominator`, rounded towards plus infinity: the one rounding of an event line. */
export function divideUp(numerator: bigint, denominator: bigint): bigint {
  const quotient = numerator / denominator;
  return quotient * denominator < numerator ? quotient + 1n : quotient;
}

/** Exact numbers as people write them (`175B`, `3.14e23`, `1,000.5`) and as they read them. Pure; no float is involved. */

const NUMBER = /^(\d{1,3}(?:,\d{3})+|\d{1,40})(?:\.(\d{1,40}))?(?:e\+?(\d{1,2}))?([KMBT])?$/i;
const SUFFIXES = ['', 'K', 'M', 'B', 'T'];

/**
 * Reads a number of at least 0 as an integer of `10^-places`: `1.5` with 2 places is 150n.
 * Returns null when the text is no number, or has digits below the last place.
 */
export function parseScaled(text: string, places = 0): bigint | null {
  const match = NUMBER.exec(text.trim());
  if (match === null) return null;
  const [, whole = '0', fraction = '', exponent = '0', suffix = ''] = match;
  const digits = BigInt(whole.replaceAll(',', '') + fraction);
  const shift = places + Number(exponent) + SUFFIXES.indexOf(suffix.toUpperCase()) * 3 - fraction.length;
  if (shift >= 0) return digits * 10n ** BigInt(shift);
  const divisor = 10n ** BigInt(-shift);
  return digits % divisor === 0n ? digits / divisor : null;
}

/** Returns `numerator / denominator` with this many digits after the point, rounded half up: `355.6`. */
export function quotientText(numerator: bigint, denominator: bigint, places: number): string {
  const scaled = (2n * numerator * 10n ** BigInt(places) + denominator) / (2n * denominator);
  const digits = scaled.toString().padStart(places + 1, '0');
  const point = digits.length - places;
  return places === 0 ? digits : `${digits.slice(0, point)}.${digits.slice(point)}`;
}

/** Returns an integer in scientific notation with all of its digits: `3.14e23`; one of up to six digits as it is. */
export function scientific(value: bigint): string {
  const digits = value.toString();
  if (digits.length <= 6) return digits;
  const significant = digits.replace(/0+$/, '');
  const fraction = significant.slice(1);
  return `${significant[0]}${fraction === '' ? '' : `.${fraction}`}e${digits.length - 1}`;
}

/** Returns decimal text with its thousands apart: `3,115,079`. */
export function grouped(text: string | number | bigint): string {
  const [whole = '', fraction] = String(text).split('.');
  const groups = whole.replace(/\B(?=(?:\d{3})+$)/g, ',');
  return fraction === undefined ? groups : `${groups}.${fraction}`;
}

/** Returns decimal text without the zeros that end its fraction: `28`, `0.5`. */
export function trimmed(text: string): string {
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}

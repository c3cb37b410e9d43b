/**
 * Repeatable randomness. Every choice of the simulator is drawn from a generator seeded by (seed, key), so that one
 * request meets the same fate in every run, whatever runs beside it.
 */

/** Draws the next number in [0, 1). */
export type Random = () => number;

/** A generator for one key of one seed: four hashes of the text (cyrb128) start an sfc32. */
export function seededRandom(seed: number, key: string): Random {
  let a = 1779033703 ^ seed;
  let b = 3144134277 ^ seed;
  let c = 1013904242;
  let d = 2773480762;
  for (let index = 0; index < key.length; index++) {
    const code = key.charCodeAt(index);
    a = b ^ Math.imul(a ^ code, 597399067);
    b = c ^ Math.imul(b ^ code, 2869860233);
    c = d ^ Math.imul(c ^ code, 951274213);
    d = a ^ Math.imul(d ^ code, 2716044179);
  }
  const next = (): number => {
    const sum = (a + b + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum;
    return (sum >>> 0) / 4294967296;
  };
  // The first draws still resemble the key; keys of one run differ in a digit only.
  for (let round = 0; round < 8; round++) next();
  return next;
}

/** `digits` hexadecimal digits. */
export function randomHex(random: Random, digits: number): string {
  let text = '';
  while (text.length < digits) text += ((random() * 0x1_0000_0000) >>> 0).toString(16).padStart(8, '0');
  return text.slice(0, digits);
}

/** The 0.99 quantile of the standard normal distribution. */
const NORMAL_P99 = 2.3263478740408408;

/** A lognormal draw given by its median and its 99th percentile, rounded, at least 1. */
export function lognormal(random: Random, median: number, p99: number): number {
  const sigma = Math.log(p99 / median) / NORMAL_P99;
  const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  return Math.max(1, Math.round(median * Math.exp(sigma * normal)));
}

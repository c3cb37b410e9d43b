/** Prices by the second of an upstream's time: what a call can cost, and where nothing else is billed. Pure. */
import { divideUp, type PicoUsd } from './money.ts';
import type { Price } from './price.ts';

/** Returns the most that so much of the upstream's time costs at one of these prices, in pico-USD. */
export function mostOfTime(prices: readonly Price[], ms: number): PicoUsd {
  let most = 0n;
  for (const { short, long } of prices) {
    for (const rates of long === null ? [short] : [short, long]) {
      const cost = divideUp(BigInt(ms) * 1_000n * rates.ofTime, rates.denominator);
      if (cost > most) most = cost;
    }
  }
  return most;
}

/** Whether a price charges nothing but the upstream's time: a call's cost is known without its usage. */
export function chargesTimeAlone({ short, long }: Price): boolean {
  if (short.ofTime === 0n || long !== null) return false;
  for (const [meter, factor] of short.factors)
    if (factor !== 0n && meter !== 'upstream_seconds') return false;
  return true;
}

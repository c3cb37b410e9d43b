/**
 * Storage by the day. Owns: how the bill of an account is divided among what it keeps, so that the parts add up to it. Pure.
 */
import { DAY_MS } from './window.ts';

const GIB = 1024n ** 3n;
/** The first GiB of an account is free (OpenAI's pricing page, 2026-09). */
const FREE_BYTES = GIB;
/** Steps of `storage_gib_days`. */
const STEPS = 1_000_000n;

/**
 * Returns what of one day's bill is each store's, in steps of `storage_gib_days`: by its share of all bytes. The steps of all
 * are what lies above the free GiB, rounded up once.
 */
export function storageSteps(bytes: readonly number[]): number[] {
  const total = bytes.reduce((sum, each) => sum + BigInt(each), 0n);
  const billed = total > FREE_BYTES ? total - FREE_BYTES : 0n;
  if (billed === 0n) return bytes.map(() => 0);
  let before = 0n;
  let stepsBefore = 0n;
  return bytes.map((each) => {
    before += BigInt(each);
    const divisor = GIB * total;
    const steps = (before * billed * STEPS + divisor - 1n) / divisor;
    const own = steps - stepsBefore;
    stepsBefore = steps;
    return Number(own);
  });
}

/** Returns the begins of the days (UTC, in milliseconds since the epoch) that are to be charged: from the first that was not, up to today. */
export function daysDue(
  { createdMs, chargedUntilMs }: { createdMs: number; chargedUntilMs: number | null },
  nowMs: number,
): number[] {
  const today = nowMs - (nowMs % DAY_MS);
  // After a month that no charger ran, the rest is left to a look at the bill.
  const earliest = today - 30 * DAY_MS;
  const first = Math.max(chargedUntilMs ?? createdMs - (createdMs % DAY_MS), earliest);
  const days: number[] = [];
  for (let day = first; day <= today; day += DAY_MS) days.push(day);
  return days;
}

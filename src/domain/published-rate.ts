/** Which rate is one that an upstream publishes, for reconciliation.ts: what tells a price that changed from chance. Pure. */
import { lineSubject } from './line-items.ts';
import type { PicoUsd } from './money.ts';
import type { MeterName } from './quantities.ts';
import { abs, type Bucket } from './reconciliation-evidence.ts';

/** In how many units prices are published, and the smallest step between two of them, in pico-USD. */
const STEPS: Partial<Record<MeterName, [per: bigint, step: PicoUsd]>> = {
  audio_seconds: [60n, 100_000_000n],
  web_search_calls: [1_000n, 500_000_000_000n],
  file_search_calls: [1_000n, 500_000_000_000n],
  images: [1n, 1_000_000_000n],
};
const PER_MILLION: [bigint, PicoUsd] = [1_000_000n, 50_000_000n];
/** By chance one amount in so many looks like a published rate. */
const SURE = 100n;
/** No price changed by more. */
const FACTOR_MOST = 10n;

/**
 * Returns the rate, in pico-USD for as many units as prices are published in, that makes all of the quantity cost what was
 * billed; null: none that could be published does, or the quantity is too small to tell.
 */
function publishedRate(
  meter: MeterName,
  { billed, quantity, tolerance }: { billed: PicoUsd; quantity: number; tolerance: PicoUsd },
  { charged, used }: { charged: PicoUsd; used: number },
): PicoUsd | null {
  if (!Number.isSafeInteger(quantity) || quantity <= 0 || !Number.isSafeInteger(used) || used <= 0)
    return null;
  const [per, step] = STEPS[meter] ?? PER_MILLION;
  const [units, before] = [BigInt(quantity), (charged * per) / BigInt(used)];
  if ((step * units) / per < SURE * tolerance) return null;
  const nearest = (2n * billed * per + step * units) / (2n * step * units);
  const rate = nearest * step;
  const off = billed - (rate * units) / per;
  if (off > tolerance || off < -tolerance) return null;
  return rate * FACTOR_MOST >= before && rate <= before * FACTOR_MOST ? rate : null;
}

/** Whether all of a line item costs another published rate than ours. */
export function hasNewPrice(
  { isMixed, billed, charged, used, meter, lineItems, costRows, calls }: Bucket,
  quantity: number,
  tolerance: PicoUsd,
): boolean {
  if (isMixed || lineItems.size !== 1 || used === 0) return false;
  const [name = ''] = lineItems;
  const subject = lineSubject(name);
  const unit = meter ?? (subject?.of === 'model' ? subject.meter : null);
  if (unit === null) return false;
  // A report that happens to have few decimals may be exact all the same.
  const exact = BigInt(costRows + calls) + (abs(billed) >> 50n);
  return [exact, tolerance].some(
    (most) => publishedRate(unit, { billed, quantity, tolerance: most }, { charged, used }) !== null,
  );
}

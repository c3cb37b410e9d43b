/** Price lines as `prices.lines` keeps them: decimal USD for so many units of a meter. */
import { z } from 'zod';
import { parseUsd, usd } from '../domain/money.ts';
import { formatUsd, METER_NAMES } from '../domain/quantities.ts';
import type { PriceLine } from '../domain/rates.ts';

/** What a line is, wherever it is written as JSON: in the database, in the seed, in the admin API. */
export const storedPriceLine = z.strictObject({
  meter: z.enum(METER_NAMES),
  per: z.int().min(1).max(1_000_000_000),
  rate: z.string().refine((text) => (parseUsd(text) ?? -1n) >= 0n, 'must be a decimal amount of USD'),
  band: z.enum(['short', 'long']).optional(),
});
export type StoredPriceLine = z.infer<typeof storedPriceLine>;

export const storedPriceLines = z.array(storedPriceLine);

/** @throws ZodError when a row does not hold what this version of Tollgate or an earlier one wrote */
export function parsePriceLines(json: unknown): PriceLine[] {
  return storedPriceLines.parse(json).map(toPriceLine);
}

export function toPriceLine({ rate, ...line }: StoredPriceLine): PriceLine {
  return { ...line, rate: usd(rate) };
}

export function toStoredLine({ meter, per, rate, band }: PriceLine): StoredPriceLine {
  return { meter, per, rate: formatUsd(rate), ...(band === undefined ? {} : { band }) };
}

/** Prices of audio and images, which are written apart from Tollgate's. */
import { readFileSync } from 'node:fs';

interface TokenPrices {
  text_in: string;
  cached_text?: string;
  image_in?: string;
  cached_image?: string;
  text_out?: string;
  image_out?: string;
}
interface MediaPrices {
  usd_per_minute: Record<string, string>;
  usd_per_1m_characters: Record<string, string>;
  usd_per_1m_tokens: Record<string, TokenPrices>;
  usd_per_image: Record<string, Record<string, string>>;
}

export const MEDIA_PRICES: MediaPrices = JSON.parse(
  readFileSync(new URL('./media-prices.json', import.meta.url), 'utf8'),
);

/** Snapshots cost what their model does. */
export function baseOf(model: string): string {
  return model.replace(/-20\d\d-\d\d-\d\d$/, '');
}

/** The price of so much of what costs so many USD for `per` of it, rounded up to a pico-USD. */
export function priceOf(amount: number, usd: string, per: number): bigint {
  const [whole = '', fraction = ''] = usd.split('.');
  const total = BigInt(amount) * BigInt(whole + fraction.padEnd(12, '0'));
  return (total + BigInt(per) - 1n) / BigInt(per);
}

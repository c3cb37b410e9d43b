/** What all calls of audio and images share: their requests, plans and prices, which are written apart from Tollgate's. */
import { readFileSync } from 'node:fs';
import { type ApiError, invalidRequest } from './errors.ts';
import type { Exchange } from './exchange.ts';
import type { JsonObject } from './fields.ts';
import type { Units } from './invoice.ts';
import type { Part } from './multipart.ts';
import type { Usage } from './prices.ts';

/** A request of media, as it was sent. */
export interface MediaRequest {
  exchange: Exchange;
  body: JsonObject;
  /** Files of a form, by name; several of one name. */
  files: (Part & { name: string })[];
  worst: boolean;
}

/** What will be sent, and what is billed for it. */
export interface MediaPlan {
  model: string;
  usage: Usage;
  /** What the reports count beside tokens. */
  units: Units;
  costPicoUsd: bigint;
  contentType: string;
  body: string | string[] | Buffer;
}

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

export function usageOf(inputTokens: number, outputTokens: number): Usage {
  return {
    input_tokens: inputTokens,
    cached_input_tokens: 0,
    cache_write_tokens: 0,
    output_tokens: outputTokens,
    reasoning_tokens: 0,
  };
}

export function missingField(name: string): ApiError {
  return invalidRequest(`Missing required parameter: '${name}'.`, name, 'missing_required_parameter');
}

export function mediaEvent(event: object): string {
  const json = JSON.stringify(event);
  return `event: ${'type' in event ? String(event.type) : 'message'}\ndata: ${json}\n\n`;
}

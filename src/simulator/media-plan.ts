/** What all calls of audio and images share: their requests and plans. */
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

/**
 * Faults: the ways in which an upstream lets its caller down. At most one for each request, drawn from the seed or
 * ordered by the request's own directive. What a fault means for the bill stands here; how it is played, in `deliver`.
 */

import type { ApiError } from './errors.ts';
import type { Random } from './random.ts';

/**
 * `error`: an error response, never billed. `lost`: whether it was billed, the caller cannot know.
 * `delivered`: served and billed, but the response arrives late, broken, compressed or without its usage.
 */
const FAULT_KINDS = {
  rate_limit: 'error',
  insufficient_quota: 'error',
  server_error: 'error',
  cut_before_headers: 'lost',
  hang: 'lost',
  html_500: 'lost',
  html_502: 'lost',
  html_503: 'lost',
  html_504: 'lost',
  /** A 200 that says it failed: `response.failed` or an error event in the middle of a stream, in JSON an error. No usage. */
  failed: 'lost',
  slow_first_byte: 'delivered',
  slow_chunks: 'delivered',
  cut_mid_stream: 'delivered',
  /** JSON without `usage`; a chat stream without its usage chunk; a Responses stream without its terminal event. */
  no_usage: 'delivered',
  /** Compressed although `identity` was asked for. */
  gzip: 'delivered',
} as const satisfies Record<string, 'error' | 'lost' | 'delivered'>;

export type FaultName = keyof typeof FAULT_KINDS;

/** How likely each fault is, and what share of the lost ones is not billed: probabilities. */
export interface FaultChances {
  faults: Partial<Record<FaultName, number>>;
  unbilledShare: number;
}

export interface Fault {
  name: FaultName;
  billed: boolean;
}

const FAULT_NAMES = Object.keys(FAULT_KINDS) as FaultName[];

export function isFaultName(text: string): text is FaultName {
  return Object.hasOwn(FAULT_KINDS, text);
}

/** A fault with its bill: errors never cost, deliveries always do, `mayBill` decides the rest. */
export function makeFault(name: FaultName, mayBill: boolean): Fault {
  const kind = FAULT_KINDS[name];
  return { name, billed: kind === 'delivered' || (kind === 'lost' && mayBill) };
}

/** Draws at most one fault; always the same number of draws, so that later choices stay put. */
export function drawFault(chances: FaultChances, random: Random): Fault | null {
  let left = random();
  const mayBill = random() >= chances.unbilledShare;
  for (const name of FAULT_NAMES) {
    left -= chances.faults[name] ?? 0;
    if (left < 0) return makeFault(name, mayBill);
  }
  return null;
}

/** The API's error for a fault that has one. */
export function errorOfFault(name: FaultName): ApiError | null {
  switch (name) {
    case 'rate_limit':
      return {
        status: 429,
        message: 'Rate limit reached for requests per min (RPM): Limit 10000, Used 10000, Requested 1.',
        type: 'requests',
        param: null,
        code: 'rate_limit_exceeded',
      };
    case 'insufficient_quota':
      return {
        status: 429,
        message: 'You exceeded your current quota, please check your plan and billing details.',
        type: 'insufficient_quota',
        param: null,
        code: 'insufficient_quota',
      };
    case 'server_error':
      return {
        status: 500,
        message: 'The server had an error while processing your request. Sorry about that!',
        type: 'server_error',
        param: null,
        code: null,
      };
    default:
      return null;
  }
}

/** Returns the status of a fault whose response is a proxy's HTML page instead of the API's JSON. */
export function htmlStatus(name: FaultName): number | null {
  return name.startsWith('html_') ? Number(name.slice(5)) : null;
}

/** What the gateway and its thread that counts say to each other (counting.ts, count-thread.ts). */
import type { Encoding } from '../domain/upstream.ts';
import type { RequestBounds } from '../openai/scan.ts';

/** A request for the thread. */
export interface CountJob {
  operation: string;
  path: string;
  model: string | null;
  bytes: ArrayBuffer;
  bounds: RequestBounds;
  encoding: Encoding;
}

/** What the thread says once it has loaded the encoding of a request, before it counts. */
export const COUNTING = 'counting';

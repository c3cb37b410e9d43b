/**
 * Operation: what one call is, and everything in it that can move its cost. Made by `openai/` from the wire
 * (parse), read by the estimate. It holds bounds, not prices.
 */
import type { ServiceTier } from './price.ts';
import type { Quantities } from './quantities.ts';

export interface Operation {
  /** Null for operations without one (`models.list`). */
  model: string | null;
  /** Whether this operation costs money at all (moderations and models do not). */
  billable: boolean;
  /** Upper bound of input tokens: the bytes of the body plus framing; tokens never exceed UTF-8 bytes. */
  inputTokensBound: number;
  /**
   * True: parts of the input cost more tokens than bytes (inline images), so only the model's sourced
   * maximum input bounds it; without a source the call is refused as unbounded.
   */
  inputBoundByModel: boolean;
  /** Field that makes `inputBoundByModel` true, for the error. */
  inputBoundParam: string | null;
  /** True: the API refuses a request whose whole input is above the model's maximum. */
  inputAtMostModelMaximum: boolean;
  /** The client's own limit of output tokens per choice; null: open-ended. 0 where an operation has no output. */
  outputTokensLimit: number | null;
  /** How many choices the request has (`n`, `best_of`, several prompts): multiplies the output limit. */
  choices: number;
  /** Output tokens billed beyond the limit (a rejected prediction), bounded by the body's bytes. */
  extraOutputTokens: number;
  /** The most of every meter beside input and output tokens of text; missing or null: nothing else is billed. */
  otherBounds?: Quantities | null;
  /** The client's `service_tier`: null when missing, null or `auto` (then it is sent as `default`). */
  serviceTier: Exclude<ServiceTier, 'batch'> | null;
  /** `safety_identifier` or `user`: the end user, where limits count one. */
  endUser: string | null;
}

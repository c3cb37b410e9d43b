/**
 * Operation: what one call is, and everything in it that can move its cost. Made by `openai/` from the wire
 * (classify), read by the estimate. It holds bounds, not prices.
 */
import type { ServiceTier } from './price.ts';
import type { Quantities } from './quantities.ts';

export type OperationName =
  | 'chat.completions'
  | 'responses'
  | 'embeddings'
  | 'completions'
  | 'moderations'
  | 'models.list'
  | 'models.retrieve';

export interface Operation {
  name: OperationName;
  method: 'GET' | 'POST';
  /** Path and query as sent upstream, without `/v1`: `/chat/completions`. */
  path: string;
  /** Null for operations without one (`models.list`). */
  model: string | null;
  /** True: the client asked for server-sent events. */
  stream: boolean;
  /** Whether the client itself asked for the usage chunk of a chat or completions stream. */
  includeUsage: boolean;
  /** Whether this operation costs money at all (moderations and models do not). */
  billable: boolean;
  /** Upper bound of input tokens: the bytes of the body plus framing; tokens never exceed UTF-8 bytes. */
  inputTokensBound: number;
  /**
   * True: parts of the input cost more tokens than bytes (inline images), so only the model's sourced
   * maximum input bounds it; without a source the call is refused as unbounded.
   */
  inputBoundByModel: boolean;
  /** Field that makes `inputBoundByModel` true, for the refusal. */
  inputBoundParam: string | null;
  /** The client's own limit of output tokens per choice; null: open-ended. 0 where an operation has no output. */
  outputTokensLimit: number | null;
  /** How many answers the request asks for (`n`, `best_of`, several prompts): multiplies the output limit. */
  choices: number;
  /** Output tokens billed beyond the limit (a rejected prediction), bounded by the body's bytes. */
  extraOutputTokens: number;
  /** The most of every meter beside input and output tokens of text; missing or null: nothing else is billed. */
  otherBounds?: Quantities | null;
  /** Field into which an output limit can be written; null where the operation has none. */
  outputLimitField: 'max_completion_tokens' | 'max_output_tokens' | null;
  /** The client's `service_tier`: null when missing, null or `auto` (then it is sent as `default`). */
  serviceTier: Exclude<ServiceTier, 'batch'> | null;
  /** `safety_identifier` or `user`: the end user, where limits count one. */
  endUser: string | null;
}

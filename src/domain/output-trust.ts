/** Estimates for an upstream that may not keep an output limit: what is held does not rest on what it promises. */
import { type ApiError, apiError } from './errors.ts';
import type { Estimate } from './estimate.ts';
import type { ModelLimits } from './price.ts';

/** Written in where no source says how much a model of an upstream other than OpenAI can write: a small context holds it. */
const UNSOURCED_OUTPUT_CEILING = 4_096;

/** How far an upstream other than OpenAI is trusted with the output limit of a call. */
export interface OutputTrust {
  /** The most tokens that the server can write in one choice, by its administrator; null: not known. */
  maxOutputTokens: number | null;
  /** It was seen to keep such a limit. */
  keepsLimits: boolean;
}

/**
 * The same call's estimate on an upstream that may not keep OpenAI's rules. A limit is always written in, and no higher
 * than the server can write. Where limits are not known to be kept, every choice is held at all that the server can write:
 * what its administrator says, else what the model's context has room for.
 * Error: `unbounded_request` where neither is known.
 */
export function estimateWithTrust(
  estimate: Estimate,
  { maxInputTokens, maxOutputTokens: ofModel, model }: ModelLimits & { model: string },
  { maxOutputTokens: ofServer, keepsLimits }: OutputTrust,
): Estimate | ApiError {
  const outputCeiling = Math.min(
    ofModel ?? ofServer ?? UNSOURCED_OUTPUT_CEILING,
    ofServer ?? Number.MAX_SAFE_INTEGER,
  );
  if (keepsLimits) return { ...estimate, outputCeiling };
  // Some count a context's input and output together and some apart: no answer is longer than both.
  const most = ofServer ?? (ofModel === null ? maxInputTokens : ofModel + (maxInputTokens ?? 0));
  if (most === null) {
    const why =
      `The upstream is not known to keep an output limit, and nothing says how much it can write with the model '${model}'. ` +
      'An administrator can add max_output_tokens to its price, or set TOLLGATE_UPSTREAM_MAX_OUTPUT_TOKENS.';
    return apiError('unbounded_request', why, { param: 'model' });
  }
  const outputTokensPerChoice = Math.max(most, estimate.outputTokensPerChoice ?? 0);
  return { ...estimate, openEnded: false, outputTokensPerChoice, outputCeiling };
}

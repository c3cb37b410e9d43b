/**
 * Usage: what one call consumed, as the upstream reported it.
 * Input = uncached + cached + cache-written tokens (partitions of `inputTokens`); reasoning tokens lie inside
 * `outputTokens`.
 */
export interface Usage {
  /** All input tokens, including the cached and cache-written ones. */
  inputTokens: number;
  /** Part of `inputTokens` that was read from the cache. */
  cachedInputTokens: number;
  /** Part of `inputTokens` that was written to the cache (dearer than input on newer models). */
  cacheWriteTokens: number;
  /** All output tokens, including reasoning and rejected prediction tokens. */
  outputTokens: number;
  /** Part of `outputTokens` spent on reasoning. */
  reasoningTokens: number;
}

/** What the response said about itself, beside its usage: both decide the bill. */
export interface MeteredResponse {
  usage: Usage | null;
  /** The tier that the response names; null when it names none (then `default` is billed). */
  serviceTier: string | null;
  /** The model that the response names (usually a dated snapshot). */
  model: string | null;
}

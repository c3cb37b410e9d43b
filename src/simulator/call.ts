/** A model call, read and checked: all that its bill depends on. Each operation has its own reader. */

import { type ApiError, invalidRequest, notSimulated, unknownModel } from './errors.ts';
import type { FieldReader, JsonObject } from './fields.ts';
import type { HostedCalls } from './hosted.ts';
import type { InputSize } from './input.ts';
import { findModel, type Model, type ModelKind, type Tier } from './prices.ts';
import type { KeptItem } from './reading.ts';
import { tokensOf } from './tokens.ts';
import type { ToolCall } from './tools.ts';

export type OperationName =
  | 'chat.completions'
  | 'responses'
  | 'responses.compact'
  | 'embeddings'
  | 'completions'
  | 'moderations';

export interface ModelCall {
  operation: OperationName;
  body: JsonObject;
  model: Model;
  /** The snapshot that the response names. */
  servedName: string;
  stream: boolean;
  includeUsage: boolean;
  input: InputSize;
  /** Separate prompts (completions), or inputs (embeddings, moderations). */
  prompts: number;
  /** Candidates returned for each prompt. */
  choices: number;
  /** Candidates generated and billed for each prompt (`best_of`). 0: the operation has no output. */
  candidates: number;
  /** Most output tokens of one candidate: the request's limit or the model's maximum. */
  outputTokensMost: number;
  /** UTF-8 bytes of a predicted output, of which the rejected tokens are billed as output. */
  predictionBytes: number;
  tier: Exclude<Tier, 'batch'> | 'auto';
  /** What the upstream runs for it; null: nothing. */
  hosted: HostedCalls | null;
  /** The answer may be spoken. */
  speaks: boolean;
  /** Cache writes are to be kept for 12 hours, which some models price apart. */
  keepsCache12h: boolean;
  /** The request's own items, as they are kept; null: the operation keeps nothing. */
  items: KeptItem[] | null;
  /** What the response says of earlier reasoning; null: nothing. */
  reasoningContext: 'all_turns' | 'current_turn' | null;
  /** What it is asked to write; null: any text. */
  asked: Asked | null;
}

/** Calls of tools, or a JSON text. */
export type Asked = { calls: ToolCall[] } | { json: string };

/** For models whose maximum output is not published: that of every current model that has one. */
const USUAL_MAX_OUTPUT_TOKENS = 128_000;

/** Tokens of what it is asked to write, each call with its name; null: any number. */
export function askedTokens({ asked, input: { tokeniser } }: ModelCall): number | null {
  if (asked === null) return null;
  const texts =
    'json' in asked ? [asked.json] : asked.calls.map(({ tool, text }) => `${tool.name}({${text}})`);
  return Math.ceil(texts.reduce((sum, text) => sum + tokensOf(text, tokeniser), 0));
}

export function outputMost(model: Model, limit: number | null): number {
  const most = model.maxOutputTokens ?? USUAL_MAX_OUTPUT_TOKENS;
  return limit === null ? most : Math.min(limit, most);
}

/** Finds the model, or says why it cannot serve this endpoint. `kinds`: those that it serves. */
export function readModel(
  reader: FieldReader,
  kinds: readonly ModelKind[],
): { model: Model; servedName: string } | ApiError {
  const name = reader.string('model');
  if (reader.error) return reader.error;
  if (name === null) return invalidRequest('you must provide a model parameter');
  const found = findModel(name);
  if (!found) return unknownModel(name);
  if (!kinds.includes(found.model.kind)) {
    const message = `The model '${name}' is not supported in this endpoint.`;
    return invalidRequest(message, 'model', null, found.model.kind === 'moderation' ? 400 : 404);
  }
  return found;
}

/** `fast` is another name of `priority`; a tier without a price for the model is an error. */
export function readTier(reader: FieldReader, model: Model): ModelCall['tier'] {
  const asked = reader.choice('service_tier', ['auto', 'default', 'flex', 'priority', 'fast']);
  if (asked === null || asked === 'auto') return 'auto';
  const tier = asked === 'fast' ? 'priority' : asked === 'flex' ? 'flex' : asked;
  if (tier !== 'priority' && tier !== 'flex') return 'default';
  if (!model.tiers[tier]) {
    const message = `Invalid service_tier argument: '${tier}' is not available for model '${model.name}'.`;
    reader.fail(invalidRequest(message, 'service_tier', 'invalid_service_tier'));
  }
  return tier;
}

/** `prompt_cache_options.ttl`: 30 minutes, or 12 hours on the models (and the tier) that list a price for it. */
export function readCache12h(reader: FieldReader, model: Model, tier: ModelCall['tier']): boolean {
  const ttl = reader.object('prompt_cache_options')?.ttl ?? '30m';
  if (ttl === '30m') return false;
  const sold = model.tiers.default?.standard.cacheWrite12h != null && (tier === 'auto' || tier === 'default');
  if (ttl !== '12h' || !sold) {
    const message = `Invalid value: '${String(ttl)}' is not a cache lifetime of this model and service tier.`;
    reader.fail(invalidRequest(message, 'prompt_cache_options.ttl', 'invalid_value'));
  }
  return true;
}

/** Tools that run on the client; hosted ones bill fees and re-sent input that no request states. */
const CLIENT_TOOLS = [
  'function',
  'custom',
  'namespace',
  'local_shell',
  'apply_patch',
  'shell',
  'tool_search',
  'computer',
  'computer_use_preview',
];

export function checkTools(reader: FieldReader, hosted: readonly string[] = []): void {
  for (const tool of reader.objects('tools') ?? []) {
    const type = String(tool.type);
    if (!CLIENT_TOOLS.includes(type) && !hosted.includes(type)) reader.fail(notSimulated(`tools: ${type}`));
  }
}

/**
 * Sampling fields that every text operation shares; they do not move the bill, their types are checked all the same.
 */
export function checkSampling(reader: FieldReader): void {
  reader.decimal('temperature', 0, 2);
  reader.decimal('top_p', 0, 1);
  reader.string('user');
  reader.object('metadata');
}

/** Reads `stream` and `stream_options.include_usage`. */
export function readStream(reader: FieldReader): { stream: boolean; includeUsage: boolean } {
  const stream = reader.boolean('stream');
  const options = reader.object('stream_options');
  if (options && !stream) {
    const message = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
    reader.fail(invalidRequest(message, 'stream_options'));
  }
  return { stream, includeUsage: options?.include_usage === true };
}

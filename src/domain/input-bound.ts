/** The bound of an input that is more than text: images by their rule, documents and what is encrypted by the window. */
import { type ApiError, apiError } from './errors.ts';
import { imageTokens } from './images.ts';
import type { BeyondText } from './operation.ts';
import type { RateCard } from './price.ts';

/** The API takes at most this many images in a request (OpenAI's guide to images and vision). */
const IMAGES_MAX = 500;

/**
 * Some models bill more tokens for an image than they read (gpt-4o-mini bills 5,667 for a tile), so the maximum input is
 * no bound of a request with images: the larger counts.
 */
export function inputBeyondText(beyond: BeyondText, textTokens: number, card: RateCard): number | ApiError {
  const { maxInputTokens, imageRule } = card.limits;
  let tokens = textTokens;
  let windowParam = beyond.windowParam;
  for (const image of beyond.images) {
    const billed = imageRule === null ? null : imageTokens(imageRule, image);
    if (billed === null) windowParam ??= beyond.imageParam;
    else tokens += billed;
  }
  if (windowParam === null) return tokens;
  if (maxInputTokens === null) {
    const what = `The input tokens of '${windowParam}' have no known bound with the model ${quote(card.model)}.`;
    const remedy = "An administrator can set the model's 'max_input_tokens' and 'image_rule' with a price.";
    return apiError('unbounded_request', `${what} ${remedy}`, { param: windowParam });
  }
  if (beyond.hasFiles && imageRule !== null) {
    const most = imageTokens(imageRule, { size: null, detail: 'auto' });
    if (most !== null) tokens += most * IMAGES_MAX;
  }
  return Math.max(tokens, maxInputTokens * (1 + beyond.compactions));
}

/** A name of the client's for a message, cut where it is longer than any model's. */
export function quote(model: string | null): string {
  return `'${(model ?? '').slice(0, 100)}'`;
}

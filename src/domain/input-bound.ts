/** The bound of an input that is more than text: images and counted pages by their rule, the rest by the window. */
import { type ApiError, apiError } from './errors.ts';
import { type ImageRule, imageTokens, pageTokens, unknownImagesTokens } from './images.ts';
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
  const byPages = tokensOfPages(beyond, imageRule);
  if (byPages === null) windowParam ??= beyond.imageParam;
  if (windowParam === null && (maxInputTokens === null || beyond.pages === 0)) return tokens + (byPages ?? 0);
  if (maxInputTokens === null) {
    const what = `The input tokens of '${windowParam}' have no known bound with the model ${quote(card.model)}.`;
    const remedy = "An administrator can set the model's 'max_input_tokens' and 'image_rule' with a price.";
    return apiError('unbounded_request', `${what} ${remedy}`, { param: windowParam ?? 'input' });
  }
  const inFiles =
    beyond.hasFiles && imageRule !== null ? unknownImagesTokens(imageRule, maxInputTokens, IMAGES_MAX) : 0;
  const window = Math.max(tokens + inFiles, maxInputTokens * (1 + beyond.compactions));
  return windowParam === null ? Math.min(window, tokens + (byPages ?? 0)) : window;
}

function tokensOfPages({ pages, documentTokens }: BeyondText, rule: ImageRule | null): number | null {
  if (pages === 0) return 0;
  const each = rule === null ? null : pageTokens(rule);
  return each === null ? null : pages * each + documentTokens;
}

/** A name of the client's for a message, cut where it is longer than any model's. */
export function quote(model: string | null): string {
  return `'${(model ?? '').slice(0, 100)}'`;
}

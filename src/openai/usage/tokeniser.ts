/** The published tokenisers by which text can be counted. Each is loaded when it is asked for: it takes megabytes. */
import type { Encoding } from '../../domain/upstream.ts';
import type { CountTokens } from './count.ts';

const LOADERS = {
  o200k_base: () => import('gpt-tokenizer/encoding/o200k_base'),
  o200k_harmony: () => import('gpt-tokenizer/encoding/o200k_harmony'),
  cl100k_base: () => import('gpt-tokenizer/encoding/cl100k_base'),
  p50k_base: () => import('gpt-tokenizer/encoding/p50k_base'),
  r50k_base: () => import('gpt-tokenizer/encoding/r50k_base'),
} satisfies Record<Encoding, () => Promise<unknown>>;

/** What looks like a special token is text like any other here. */
const AS_TEXT = { disallowedSpecial: new Set<string>() };

/** A tokeniser that remembers words it has merged, until `forget`. */
export interface FileTokeniser {
  countTokens: CountTokens;
  forget(): void;
}

/** Loads a tokeniser for the text of files. */
export async function loadFileTokeniser(encoding: Encoding): Promise<FileTokeniser> {
  const { countTokens, clearMergeCache } = await LOADERS[encoding]();
  return { countTokens: (text) => countTokens(text, AS_TEXT), forget: clearMergeCache };
}

/** Loads a tokeniser. */
export async function loadTokeniser(encoding: Encoding): Promise<CountTokens> {
  const { countTokens } = await LOADERS[encoding]();
  return (text) => countTokens(text, AS_TEXT);
}

/**
 * The encodings that OpenAI has published, by how a model's name begins; the first that fits counts. Source: model.py of
 * tiktoken 0.14.0 (2026-08), which names no model of the GPT-6 family.
 */
const PUBLISHED: readonly (readonly [RegExp, Encoding])[] = [
  [/^(?:gpt-5|chatgpt-4o-|gpt-4\.1|gpt-4\.5-|(?:ft:)?gpt-4o)/, 'o200k_base'],
  [/^(?:o1|o3|o4-mini)(?:-|$)/, 'o200k_base'],
  [/^(?:ft:)?(?:gpt-4(?:-|$)|gpt-3\.5-turbo)/, 'cl100k_base'],
];

/** Returns the published encoding of a model's text; null: there is none. */
export function publishedEncoding(model: string): Encoding | null {
  return PUBLISHED.find(([names]) => names.test(model))?.[1] ?? null;
}

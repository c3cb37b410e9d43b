/** The published tokenisers by which an upstream's text can be counted. Each is loaded when it is asked for: it takes megabytes. */
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

/** Loads a tokeniser. */
export async function loadTokeniser(encoding: Encoding): Promise<CountTokens> {
  const { countTokens } = await LOADERS[encoding]();
  return (text) => countTokens(text, AS_TEXT);
}

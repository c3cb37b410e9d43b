/**
 * The text of answers. It means nothing, but it is hostile on purpose: quotes, escapes, other scripts, and the very
 * words by which a careless meter recognises usage.
 */
import type { Random } from './random.ts';

const WORDS = [
  'The',
  ' quick',
  ' brown',
  ' fox',
  ' jumps',
  ' over',
  ' the',
  ' lazy',
  ' dog',
  ',',
  ' and',
  ' then',
  ' rests',
  '.\n',
  ' "usage": null',
  ' "usage":{"prompt_tokens":1}',
  ' data: [DONE]\n\n',
  ' event: response.completed',
  ' \\"',
  ' naïve',
  ' 漢字',
  ' 🦊',
  '\t{',
  '}',
];

/** `count` pieces of text, from a seeded place on. */
export function words(random: Random, count: number): string[] {
  const start = Math.floor(random() * WORDS.length);
  return Array.from({ length: count }, (_, index) => WORDS[(start + index) % WORDS.length]!);
}

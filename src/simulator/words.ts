/**
 * The text of outputs. It means nothing, but unless it is to be plain it is hostile on purpose: quotes, escapes, other
 * scripts, and the very words by which a careless meter recognises usage.
 */
import type { Random } from './random.ts';

const PLAIN_WORDS = [
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
];

const WORDS = [
  ...PLAIN_WORDS,
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

/** Returns `count` pieces of text, from a seeded position on. */
export function words(random: Random, count: number, plain: boolean): string[] {
  const list = plain ? PLAIN_WORDS : WORDS;
  const start = Math.floor(random() * list.length);
  return Array.from({ length: count }, (_, index) => list[(start + index) % list.length] ?? '');
}

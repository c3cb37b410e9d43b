/**
 * How many tokens a text has at most. Owns: that no text takes longer than its length allows, which a tokeniser alone does not
 * give: merging one word of 100 KB takes gpt-tokenizer six seconds. Pure but for the tokeniser that it is given.
 */
import type { Encoding } from '../domain/upstream.ts';
import DATA from './training.json' with { type: 'json' };

export type CountText = (text: string) => number;

/** A run of characters that no tokeniser splits is cut here. A cut adds at most a token, which is added as well. */
const RUN_MAX = 1024;

/** Returns a count that is at least that of the tokeniser, and equal to it for text without such runs. */
export function boundedCount(countTokens: CountText): CountText {
  return (text) => {
    if (text.length <= RUN_MAX) return countTokens(text);
    let tokens = 0;
    let from = 0;
    let runFrom = 0;
    let runKind = -1;
    for (let at = 0; at < text.length; at++) {
      const kind = kindOf(text.charCodeAt(at));
      if (kind !== runKind) {
        runKind = kind;
        runFrom = at;
      } else if (at - runFrom >= RUN_MAX && !isLowSurrogate(text.charCodeAt(at))) {
        tokens += countTokens(text.slice(from, at)) + 1;
        from = at;
        runFrom = at;
      }
    }
    return tokens + countTokens(from === 0 ? text : text.slice(from));
  };
}

/** Tokens are at least a byte each, whatever the vocabulary. */
export const countBytes: CountText = (text) => Buffer.byteLength(text);

const SPACE = 0;
const DIGIT = 1;
const LETTER = 2;
const OTHER = 3;

/** Roughly what the patterns of the published encodings split by; beyond ASCII all is a letter, which only cuts more. */
function kindOf(code: number): number {
  if (code <= 0x20) return SPACE;
  if (code >= 0x30 && code <= 0x39) return DIGIT;
  if (code >= 0x80 || (code >= 0x61 && code <= 0x7a) || (code >= 0x41 && code <= 0x5a)) return LETTER;
  return OTHER;
}

function isLowSurrogate(code: number): boolean {
  return code >= 0xdc00 && code <= 0xdfff;
}

/** Returns the published encoding of a model, fine-tuned ones by their base; null: none is published. */
export function encodingOf(model: string): Encoding | null {
  const base = model.startsWith('ft:') ? (model.split(':')[1] ?? '') : model;
  const found = DATA.encodings.prefixes.find(([prefix = '']) => base.startsWith(prefix))?.[1];
  return found === 'o200k_base' || found === 'cl100k_base' || found === 'r50k_base' ? found : null;
}

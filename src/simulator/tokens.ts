/**
 * Tokenisers. None of them is one that anything else knows: a bound that rests on a published vocabulary is worth nothing
 * here. All of them count at most a token for each byte.
 */

/**
 * `quarter`: one for four bytes, as English usually has. `code`: each pair of bytes decides how long its token is, three
 * bytes on average. `byte`: one each.
 */
export const TOKENISERS = ['quarter', 'code', 'byte'] as const;
export type Tokeniser = (typeof TOKENISERS)[number];

/** Tokens of a text; fractions, since the quarter of many small texts is rounded once. */
export function tokensOf(text: string, tokeniser: Tokeniser): number {
  if (tokeniser === 'code') return codeTokens(Buffer.from(text));
  const bytes = Buffer.byteLength(text);
  return tokeniser === 'quarter' ? bytes / 4 : bytes;
}

/** What a text says does not matter: each pair of bytes gives the length of its token, from one to five. */
function codeTokens(bytes: Buffer): number {
  let tokens = 0;
  for (let at = 0; at < bytes.length; tokens++) {
    const pair = (bytes[at] ?? 0) * 31 + (bytes[at + 1] ?? 0);
    at += 1 + (((pair * 0x9e37) >>> 3) % 5);
  }
  return tokens;
}

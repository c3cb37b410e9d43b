/** JSON as it comes from the wire: values that are not checked yet, and names that stand twice. */

export type Json = null | boolean | number | string | Json[] | JsonObject;

export interface JsonObject {
  [key: string]: Json | undefined;
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Parses text; undefined when it is not JSON. */
export function parseJson(text: string): Json | undefined {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return undefined;
  }
}

/*
 * What JSON.parse hides: names that stand twice in one object. JavaScript takes the last one, other parsers the first, so
 * such a body could be estimated as one request and served as another. Rejected: counting a list of known names with
 * indexOf, which says nothing about `type` inside messages, must grow with the API and takes the names in a tool's schema
 * for duplicates.
 */

/** Deeper bodies are refused: recursive code (ours on rewriting, perhaps the upstream's) must not meet them. */
export const MAX_DEPTH = 256;
/** Objects with more names count as ambiguous, which keeps the search for duplicates linear in the body's size. */
const MAX_NAMES = 128;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Hashes of the names seen in every open object, innermost last. Scanning is synchronous, so one stack serves all. */
const hashes = new Int32Array(MAX_DEPTH * (MAX_NAMES + 1));
/** For each open container, where its names start in `hashes`; -1 for an array. */
const bases = new Int32Array(MAX_DEPTH + 1);

/**
 * Scans a text that JSON.parse accepted (of anything else the answer means nothing).
 * `plain`: every parser reads the same values. `ambiguous`: it may hold a name twice (never a false `plain`: equal
 * names have equal hashes, and a name with an escape counts as ambiguous). `too_deep`: nested over {@link MAX_DEPTH}.
 */
export function scanNames(text: string): 'plain' | 'ambiguous' | 'too_deep' {
  const length = text.length;
  let ambiguous = false;
  let depth = 0;
  let base = -1;
  let top = 0;
  let nameIsNext = false;
  for (let at = 0; at < length; ) {
    switch (text.charCodeAt(at++)) {
      case QUOTE: {
        if (!nameIsNext) {
          at = skipString(text, at);
          break;
        }
        nameIsNext = false;
        let hash = 0;
        for (let code = text.charCodeAt(at++); code !== QUOTE; code = text.charCodeAt(at++)) {
          if (code === BACKSLASH) {
            ambiguous = true;
            at++;
          }
          hash = Math.imul(hash ^ code, 0x01000193);
        }
        for (let other = base; other < top; other++) if (hashes[other] === hash) ambiguous = true;
        if (top - base < MAX_NAMES) hashes[top++] = hash;
        else ambiguous = true;
        break;
      }
      case 0x2c: // ,
        nameIsNext = base !== -1;
        break;
      case 0x7b: // {
      case 0x5b: // [
        if (depth === MAX_DEPTH) return 'too_deep';
        nameIsNext = text.charCodeAt(at - 1) === 0x7b;
        base = nameIsNext ? top : -1;
        bases[++depth] = base;
        break;
      case 0x7d: // }
      case 0x5d: // ]
        if (base !== -1) top = base;
        base = --depth > 0 ? (bases[depth] ?? -1) : -1;
        nameIsNext = false;
        break;
    }
  }
  return ambiguous ? 'ambiguous' : 'plain';
}

/**
 * The index after the closing quote of the string whose first character is at `at`. The runtime's search in a string
 * is several times faster than one in a Buffer, or than a loop.
 */
function skipString(text: string, at: number): number {
  for (;;) {
    const quote = text.indexOf('"', at);
    let slashes = 0;
    while (text.charCodeAt(quote - 1 - slashes) === BACKSLASH) slashes++;
    at = quote + 1;
    if (slashes % 2 === 0) return at;
  }
}

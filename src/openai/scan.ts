/** What the bytes of a JSON text say before they are parsed. */
import { type ApiError, apiError } from '../domain/errors.ts';

/** What the shape of a text may be. */
export interface ScanBounds {
  /** Strings, numbers, literals, objects and arrays; names are counted apart. */
  values: number;
  names: number;
  /** Names in one object. */
  objectNames: number;
  /** Objects and arrays within each other. */
  depth: number;
}

/** The bounds, and whether the names of the outermost object's members are wanted. */
export interface RequestBounds extends ScanBounds {
  keepsNames?: boolean;
}

/** What was found in the bytes of a text. */
export type Scanned = Pick<JsonScan, 'values' | 'names' | 'exceeded' | 'ambiguous' | 'unusual'>;

/**
 * The bounds that no setting moves. Deeper texts are refused because recursive code (ours on rewriting, perhaps the upstream's)
 * must not meet them. A name costs the parser far more than a number; the largest requests of agents have a tenth of these.
 */
export const SCAN_BOUNDS: ScanBounds = {
  values: Number.POSITIVE_INFINITY,
  names: 100_000,
  objectNames: 10_000,
  depth: 256,
};

/**
 * Bodies up to these bounds are read where they come in, which takes no more than a few milliseconds; larger ones in a
 * thread of their own.
 */
export const INLINE_VALUES = 5000;
export const INLINE_BYTES = 1024 * 1024;

/** Names of one object up to this many are compared one by one; a set is made of more. */
const COMPARED_NAMES = 32;
/** The end of a longer string is searched for by the runtime, whose search is fast but slow to begin. */
const LOOPED_CHARACTERS = 8;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

const OUTSIDE = 0;
const IN_VALUE = 1;
const IN_NAME = 2;

/**
 * Scans a JSON text before it is parsed, piece by piece as its bytes come, in time linear in them. A piece is given as
 * Latin-1, one character for each byte: the runtime reads and searches such strings several times faster than a Buffer.
 *
 * Finds what JSON.parse hides: names that stand twice in one object. JavaScript takes the last one, other parsers the
 * first, so such a text could be estimated as one request and served as another. Rejected: counting a list of known names,
 * which says nothing about `type` inside messages and takes the names in a tool's schema for duplicates.
 *
 * Up to the first byte that is no JSON it sees what the parser sees, so whatever the text is, the parser meets no more of
 * anything than was counted.
 */
export class JsonScan {
  /** Which bound was exceeded first; null: none so far. */
  exceeded: keyof ScanBounds | null = null;
  names = 0;
  /**
   * A name may stand twice in one object (never a false `false`: equal names have equal hashes), or one has an escape, which
   * may hide that.
   */
  ambiguous = false;
  /** A name has a capital, an escape, or a letter beyond ASCII, as no name of the API does. */
  unusual = false;
  #bounds: ScanBounds;
  #more = 0;
  #where = OUTSIDE;
  /** The next piece begins with what a backslash escapes. */
  #isEscaped = false;
  #nameIsNext = false;
  /** Nothing came yet after the bracket that opened the innermost object or array. */
  #isFresh = false;
  #depth = 0;
  /** Where the names of the innermost object start in the hashes; -1: it is an array, or there is none. */
  #base = -1;
  /** The same of all that are open, the innermost last. */
  readonly #bases = new Int32Array(SCAN_BOUNDS.depth + 1).fill(-1, 0, 1);
  /** Hashes of the names seen in every open object. */
  #hashes = new Int32Array(64);
  #top = 0;
  #hash = 0;
  /** By depth, of objects with many names. */
  #sets: Map<number, Set<number>> | null = null;

  constructor(bounds: ScanBounds) {
    this.#bounds = bounds;
  }

  get values(): number {
    return this.#more + 1;
  }

  /** Starts again, with another text. */
  reset(bounds: ScanBounds): void {
    this.exceeded = null;
    this.names = 0;
    this.ambiguous = false;
    this.unusual = false;
    this.#bounds = bounds;
    this.#more = 0;
    this.#where = OUTSIDE;
    this.#isEscaped = false;
    this.#nameIsNext = false;
    this.#isFresh = false;
    this.#depth = 0;
    this.#base = -1;
    this.#top = 0;
    this.#hash = 0;
    this.#sets = null;
  }

  /** Returns false once a bound is exceeded: then nothing more is to be scanned. */
  push(text: string): boolean {
    const { length } = text;
    let at = this.#isEscaped ? 1 : 0;
    let where = this.#where;
    while (at < length) {
      if (where === OUTSIDE) {
        at = this.#structure(text, at);
        if (at === -1) return false;
      } else if (where === IN_VALUE) at = this.#string(text, at);
      else at = this.#name(text, at);
      where = this.#where;
    }
    this.#isEscaped = at > length;
    if (this.values > this.#bounds.values) this.exceeded ??= 'values';
    return this.exceeded === null;
  }

  /** Returns where the next string begins, or the end; -1: too deep. */
  #structure(text: string, start: number): number {
    const { length } = text;
    let at = start;
    let more = this.#more;
    let nameIsNext = this.#nameIsNext;
    let isFresh = this.#isFresh;
    let base = this.#base;
    while (at < length) {
      const code = text.charCodeAt(at++);
      if (code === QUOTE) {
        this.#where = nameIsNext ? IN_NAME : IN_VALUE;
        nameIsNext = false;
        isFresh = false;
        break;
      }
      if (code === 0x2c /* , */) {
        more++;
        nameIsNext = base !== -1;
      } else if (code === 0x7b /* { */ || code === 0x5b /* [ */) {
        if (this.#depth === this.#bounds.depth) {
          this.exceeded = 'depth';
          return -1;
        }
        more++;
        isFresh = true;
        nameIsNext = code === 0x7b;
        base = nameIsNext ? this.#top : -1;
        this.#bases[++this.#depth] = base;
      } else if (code === 0x7d /* } */ || code === 0x5d /* ] */) {
        if (isFresh) more--;
        isFresh = false;
        nameIsNext = false;
        base = this.#close(base);
      } else if (code > 0x20) isFresh = false;
    }
    this.#more = more;
    this.#nameIsNext = nameIsNext;
    this.#isFresh = isFresh;
    this.#base = base;
    return at;
  }

  #close(base: number): number {
    if (base !== -1) {
      this.#top = base;
      this.#sets?.delete(this.#depth);
    }
    if (this.#depth > 0) this.#depth--;
    return this.#bases[this.#depth] ?? -1;
  }

  /** Returns where the string ends, or, within it, the end of the text; one further if its next character is escaped. */
  #string(text: string, start: number): number {
    const { length } = text;
    let at = start;
    for (;;) {
      const loopEnd = Math.min(at + LOOPED_CHARACTERS, length);
      while (at < loopEnd) {
        const code = text.charCodeAt(at++);
        if (code === QUOTE) {
          this.#where = OUTSIDE;
          return at;
        }
        if (code === BACKSLASH) at++;
      }
      if (at >= length) return at;
      const quote = text.indexOf('"', at);
      const end = quote === -1 ? length : quote;
      let slashes = end;
      while (slashes > at && text.charCodeAt(slashes - 1) === BACKSLASH) slashes--;
      const isEscaped = (end - slashes) % 2 === 1;
      if (quote === -1) return isEscaped ? length + 1 : length;
      at = end + 1;
      if (isEscaped) continue;
      this.#where = OUTSIDE;
      return at;
    }
  }

  /** The same of a name. */
  #name(text: string, start: number): number {
    const { length } = text;
    let at = start;
    let hash = this.#hash;
    while (at < length) {
      const code = text.charCodeAt(at++);
      if (code === QUOTE) {
        this.#where = OUTSIDE;
        this.#hash = 0;
        this.#add(hash);
        return at;
      }
      if (code === BACKSLASH) {
        this.ambiguous = true;
        this.unusual = true;
        at++;
      } else if (code >= 0x80 || (code <= 0x5a && code >= 0x41)) this.unusual = true;
      hash = Math.imul(hash ^ code, 0x01000193);
    }
    this.#hash = hash;
    return at;
  }

  /** A name of the innermost object has ended. */
  #add(hash: number): void {
    const top = this.#top;
    const base = this.#base;
    this.names++;
    if (top - base < COMPARED_NAMES) {
      for (let other = base; other < top; other++) if (this.#hashes[other] === hash) this.ambiguous = true;
    } else this.#addToSet(hash, base, top);
    if (top === this.#hashes.length) {
      const wider = new Int32Array(top * 2);
      wider.set(this.#hashes);
      this.#hashes = wider;
    }
    this.#hashes[top] = hash;
    this.#top = top + 1;
    if (this.names > this.#bounds.names) this.exceeded ??= 'names';
    if (top - base >= this.#bounds.objectNames) this.exceeded ??= 'objectNames';
  }

  #addToSet(hash: number, base: number, top: number): void {
    this.#sets ??= new Map();
    let set = this.#sets.get(this.#depth);
    if (set === undefined) {
      set = new Set(this.#hashes.subarray(base, top));
      this.#sets.set(this.#depth, set);
    }
    if (set.has(hash)) this.ambiguous = true;
    set.add(hash);
  }
}

/** What is scanned whole, in one turn, shares one scan. */
const whole = new JsonScan(SCAN_BOUNDS);

/** Scans a whole text; what is returned holds until the next one. */
export function scanWhole(bytes: string, bounds: ScanBounds): JsonScan {
  whole.reset(bounds);
  whole.push(bytes);
  return whole;
}

const BOUND_WORDS: Record<keyof ScanBounds, string> = {
  values: 'values (strings, numbers, literals, objects and arrays)',
  names: 'names of members',
  objectNames: 'members in one object',
  depth: 'levels of objects and arrays',
};

/** The error of a body whose shape exceeds a bound. */
export function tooComplex(exceeded: keyof ScanBounds, bounds: ScanBounds): ApiError {
  const most = bounds[exceeded];
  const setting = exceeded === 'values' ? ' (TOLLGATE_MAX_BODY_VALUES)' : '';
  return apiError(
    'body_too_complex',
    `The body has more than ${most} ${BOUND_WORDS[exceeded]}: one with at most ${most} passes${setting}.`,
    { details: { bound: exceeded, maximum: most } },
  );
}

/** The error of a body that would take more memory than a thread may have. */
export function tooLargeForThread(): ApiError {
  return apiError(
    'body_too_complex',
    'The body takes more memory than may be used to read one: send less in one call.',
    {
      details: { bound: 'memory', maximum: null },
    },
  );
}

/** The error of a body that is too large to be rewritten. */
export function namedTwice(): ApiError {
  return apiError(
    'body_too_complex',
    `A name stands twice in one object. A body with more than ${INLINE_VALUES} values passes when each name stands once.`,
    { details: { bound: 'values', maximum: INLINE_VALUES } },
  );
}

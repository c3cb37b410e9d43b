/**
 * Finds the names that metering looks for in lines of a stream, all in one pass: a search for bytes costs a call out of JavaScript, as
 * much for a short chunk as this pass. What looks like a name may be none (`"error"` as a value); who reads it looks closer.
 */

const NEEDLES = ['"usage"', '"error"', '"finish_reason"', '"delta"', '"text"', '"response"', '[DONE]'].map(
  (text) => Buffer.from(text),
);
export const USAGE = 0;
export const ERROR = 1;
export const FINISH = 2;
export const DELTA = 3;
export const TEXT = 4;
export const RESPONSE = 5;
export const DONE = 6;
export type Name = 0 | 1 | 2 | 3 | 4 | 5 | 6;

const NONE = Buffer.alloc(0);
const QUOTE = 0x22;
const BRACKET = 0x5b;
/** In longer lines names stand far apart, and searches are faster. */
const PASS_BYTES_MAX = 4096;
/** Names whose second byte is this; that of no other. */
const BY_SECOND = new Int8Array(256).fill(-1);
for (const [name, needle] of NEEDLES.entries()) BY_SECOND[needle[1] ?? 0] = name;

/** Where names stand; used again for the next lines, so that a chunk leaves no garbage. */
export class NamePlaces {
  #places = new Int32Array(64);
  #names = new Uint8Array(64);
  #count = 0;
  /** A bit for each name that was found. */
  #found = 0;

  /** Forgets all places, and finds those in these lines. */
  find(lines: Buffer): this {
    this.#count = 0;
    this.#found = 0;
    if (lines.length <= PASS_BYTES_MAX) this.#pass(lines);
    else for (const [name, needle] of NEEDLES.entries()) this.#search(lines, name, needle);
    return this;
  }

  /** Returns which place of a name is the first from the `from`-th place on, in the order of the lines; -1: none is. */
  next(name: Name, from: number): number {
    if (!this.has(name)) return -1;
    for (let index = from; index < this.#count; index++) if (this.#names[index] === name) return index;
    return -1;
  }

  has(name: Name): boolean {
    return (this.#found & (1 << name)) !== 0;
  }

  /** Where the `index`-th place is in the lines. */
  at(index: number): number {
    return this.#places[index] ?? -1;
  }

  #pass(lines: Buffer): void {
    const { length } = lines;
    for (let at = 0; at < length; at++) {
      const byte = lines[at];
      if (byte !== QUOTE && byte !== BRACKET) continue;
      const name = BY_SECOND[lines[at + 1] ?? 0] ?? -1;
      if (name !== -1 && standsAt(lines, at, NEEDLES[name])) this.#add(name, at);
    }
  }

  #search(lines: Buffer, name: number, needle: Buffer): void {
    for (let at = lines.indexOf(needle); at !== -1; at = lines.indexOf(needle, at + 1)) this.#add(name, at);
  }

  #add(name: number, at: number): void {
    if (this.#count === this.#places.length) this.#grow();
    this.#found |= 1 << name;
    this.#places[this.#count] = at;
    this.#names[this.#count++] = name;
  }

  #grow(): void {
    const places = new Int32Array(this.#count * 2);
    const names = new Uint8Array(this.#count * 2);
    places.set(this.#places);
    names.set(this.#names);
    this.#places = places;
    this.#names = names;
  }
}

export function bytesOf(name: Name): Buffer {
  return NEEDLES[name] ?? NONE;
}

function standsAt(lines: Buffer, at: number, needle: Buffer | undefined): boolean {
  if (needle === undefined) return false;
  for (let index = 0; index < needle.length; index++) if (lines[at + index] !== needle[index]) return false;
  return true;
}

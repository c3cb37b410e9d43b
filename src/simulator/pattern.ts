/**
 * Writes a text that a regular expression matches, of the part of their language that schemas use: literals, classes,
 * groups, alternatives and quantifiers. Look-around and back-references are read as nothing.
 */
import type { Random } from './random.ts';

const DIGITS = '0123456789';
const LETTERS = 'abcdefghijklmnopqrstuvwxyz';
const OF_ESCAPE: Record<string, string> = {
  d: DIGITS,
  w: LETTERS + DIGITS,
  s: ' ',
  D: LETTERS,
  W: '-',
  S: LETTERS,
  n: '\n',
  t: '\t',
  b: '',
  B: '',
};
const PRINTABLE = Array.from({ length: 95 }, (_, at) => String.fromCharCode(32 + at)).join('');

/** Returns a text for the pattern; of unbounded repetitions it writes the fewest, or one. */
export function textMatching(pattern: string, random: Random): string {
  return new Writer(pattern, random).alternatives();
}

class Writer {
  readonly #pattern: string;
  readonly #random: Random;
  #at = 0;

  constructor(pattern: string, random: Random) {
    this.#pattern = pattern;
    this.#random = random;
  }

  /** Reads up to the end of the group, and returns one of its alternatives. */
  alternatives(): string {
    const texts = [this.#sequence()];
    while (this.#take('|')) texts.push(this.#sequence());
    return texts[Math.floor(this.#random() * texts.length)] ?? '';
  }

  #sequence(): string {
    let text = '';
    while (this.#at < this.#pattern.length && !'|)'.includes(this.#pattern.charAt(this.#at))) {
      const from = this.#at;
      const first = this.#atom();
      const to = this.#at;
      const count = this.#quantifier();
      const after = this.#at;
      for (let index = 0; index < count; index++) {
        // Each repetition is written again: a class gives another letter.
        this.#at = from;
        text += index === 0 ? first : this.#atom();
      }
      this.#at = count === 0 ? Math.max(to, after) : after;
    }
    return text;
  }

  #atom(): string {
    const next = this.#pattern.charAt(this.#at++);
    if (next === '(') return this.#group();
    if (next === '[') return this.#oneOf(this.#class());
    if (next === '.') return this.#oneOf(LETTERS);
    if (next === '^' || next === '$') return '';
    if (next !== '\\') return next;
    const escaped = this.#pattern.charAt(this.#at++);
    return this.#oneOf(OF_ESCAPE[escaped] ?? escaped);
  }

  #group(): string {
    const [look] = /^\?(?:[:=!]|<[=!]|<\w+>)/.exec(this.#pattern.slice(this.#at)) ?? [''];
    this.#at += look.length;
    const text = this.alternatives();
    this.#take(')');
    return /[=!]/.test(look) ? '' : text;
  }

  /** The characters of a class, up to its bracket. */
  #class(): string {
    const negated = this.#take('^');
    let characters = '';
    while (this.#at < this.#pattern.length && !this.#take(']')) {
      const next = this.#pattern.charAt(this.#at++);
      const own = next === '\\' ? this.#pattern.charAt(this.#at++) : next;
      const known = next === '\\' ? (OF_ESCAPE[own] ?? own) : own;
      const isRange = this.#pattern.charAt(this.#at) === '-' && this.#pattern.charAt(this.#at + 1) !== ']';
      characters += isRange ? this.#range(own) : known;
    }
    if (!negated) return characters;
    return [...PRINTABLE].filter((one) => !characters.includes(one)).join('');
  }

  #range(from: string): string {
    this.#at++;
    const to = this.#pattern.charAt(this.#at++);
    const [first, last] = [from.charCodeAt(0), Math.min(to.charCodeAt(0), from.charCodeAt(0) + 95)];
    return Array.from({ length: last - first + 1 }, (_, at) => String.fromCharCode(first + at)).join('');
  }

  #quantifier(): number {
    const [text] = /^(?:[*+?]|\{\d+(?:,\d*)?\})\??/.exec(this.#pattern.slice(this.#at)) ?? [''];
    this.#at += text.length;
    if (text === '') return 1;
    if (text.startsWith('{')) return Number(/\d+/.exec(text)?.[0]);
    return text.startsWith('+') ? 1 : this.#random() < 0.5 ? 0 : 1;
  }

  #oneOf(characters: string): string {
    return characters.charAt(Math.floor(this.#random() * characters.length));
  }

  #take(character: string): boolean {
    const found = this.#pattern.charAt(this.#at) === character && this.#at < this.#pattern.length;
    if (found) this.#at++;
    return found;
  }
}

/**
 * What the codes in a PDF's strings stand for: the most UTF-8 bytes of each byte of a string, in whatever font of the file it is
 * shown. Owns: maps to Unicode (ISO 32000-1, 9.10), names of glyphs, and which fonts have codes of two bytes.
 */
import { type Dictionary, NotPlain, type Value } from './pdf-objects.ts';

/** UTF-8 bytes of a character that is not beyond the basic plane; such ones have two units in a map. */
const CHARACTER_BYTES = 3;
const BLOCK = 'beginbf';
const HEX = '<([0-9A-Fa-f\\s]*)>';
const HEXES = new RegExp(HEX, 'g');
const PAIR = new RegExp(`${HEX}\\s*()${HEX}()`, 'g');
const RANGE = new RegExp(`${HEX}\\s*${HEX}\\s*(?:${HEX}|\\[([^\\][]*)\\])`, 'g');

export class PdfCodes {
  readonly #byByte = new Float64Array(256).fill(CHARACTER_BYTES);
  /** Of a code that has several bytes. */
  #ofPair = CHARACTER_BYTES;
  #ofName = 0;
  #hasPairs = false;
  /** A font that may have codes of one byte. */
  #hasSingles = false;
  #bytes: Float64Array | null = null;

  /** UTF-8 bytes by a byte of a string. To be read once all fonts are added. */
  get bytes(): Float64Array {
    this.#bytes ??= this.#byByte.map((single) =>
      Math.max(
        this.#hasPairs ? this.#ofPair / 2 : 0,
        this.#hasPairs && !this.#hasSingles ? 0 : Math.max(single, this.#ofName),
      ),
    );
    return this.#bytes;
  }

  addFont(font: Dictionary): void {
    const isFont = ['BaseFont', 'FontDescriptor', 'DescendantFonts', 'FirstChar'].some((name) =>
      font.has(name),
    );
    if (!isFont && font.get('Type') !== '/Font') return;
    const subtype = font.get('Subtype');
    if (subtype === '/CIDFontType0' || subtype === '/CIDFontType2') return;
    const isPaired = /^\/Identity-[HV]$/.test(String(font.get('Encoding')));
    if (subtype === '/Type0') this.#hasPairs = true;
    if (subtype !== '/Type0' || !isPaired) this.#hasSingles = true;
  }

  /** Names of glyphs, which say their characters: `/f_f_i`, `/uni00660069`. */
  addNames(names: Value): void {
    if (!Array.isArray(names)) throw new NotPlain();
    for (const name of names) {
      if (typeof name !== 'string' || !/uni|_/.test(name)) continue;
      const characters = name.split('_').length + Math.ceil(name.length / 4);
      this.#ofName = Math.max(this.#ofName, characters * CHARACTER_BYTES);
    }
  }

  /** A map of codes to UTF-16: `<02> <006600660069>` is three characters. What stands in it otherwise is not understood. */
  addMap(text: string): void {
    for (let at = text.indexOf(BLOCK); at !== -1; at = text.indexOf(BLOCK, at)) {
      const end = text.indexOf('endbf', at);
      const isRange = text.startsWith('range', at + BLOCK.length);
      if (end === -1 || !(isRange || text.startsWith('char', at + BLOCK.length))) throw new NotPlain();
      const block = text.slice(at + BLOCK.length, end);
      let read = 0;
      for (const [whole, first = '', last, single = '', several = ''] of block.matchAll(
        isRange ? RANGE : PAIR,
      )) {
        const to = [single, ...Array.from(several.matchAll(HEXES), ([, each = '']) => each)];
        this.#map(digits(first), digits(last || first), Math.max(...to.map(bytesOfUnits)));
        read += count(whole);
      }
      if (read !== count(block)) throw new NotPlain();
      at = end;
    }
  }

  #map(first: string, last: string, bytes: number): void {
    if (first.length !== 2) {
      this.#ofPair = Math.max(this.#ofPair, bytes);
      return;
    }
    const end = Number.parseInt(last, 16);
    for (let code = Number.parseInt(first, 16); code <= end && code < 256; code++)
      this.#byByte[code] = Math.max(this.#byByte[code] ?? 0, bytes);
  }
}

const count = (text: string): number => text.split('<').length - 1;
const digits = (hex: string): string => hex.replace(/\s/g, '');

/** The most UTF-8 bytes of UTF-16 in hexadecimal; its own text where that is ASCII. */
function bytesOfUnits(hex: string): number {
  const units = digits(hex).match(/.{1,4}/g) ?? [];
  return units.reduce((sum, unit) => sum + (/^00[0-7]/.test(unit) ? 1 : CHARACTER_BYTES), 0);
}

export function codesOfHex(written: string): Buffer {
  const hex = written.replace(/[\0\t\n\f\r ]/g, '');
  // What is no hexadecimal is read as it stands, which is no less.
  if (!/^[0-9A-Fa-f]*$/.test(hex)) return Buffer.from(written, 'latin1');
  return Buffer.from(hex.length % 2 === 0 ? hex : `${hex}0`, 'hex');
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', b: '\b', f: '\f' };

/** The codes of a string in parentheses. A lone carriage return is a line feed, a line may end in `\\`. */
export function codesOfLiteral(written: string): Buffer {
  if (!written.includes('\\')) return Buffer.from(written, 'latin1');
  const text = written.replace(/\\([0-7]{1,3}|\r\n|[\s\S])/g, (_, escaped: string) => {
    if (/^[0-7]/.test(escaped)) return String.fromCharCode(Number.parseInt(escaped, 8) & 0xff);
    return ESCAPES[escaped] ?? escaped;
  });
  return Buffer.from(text, 'latin1');
}

/**
 * How many pages a PDF has and the most text that they show, from its bytes. The upstream reads the text and an image of each
 * page. Owns: which files are bounded; all others are null, and the model's window bounds them. Invariant: no page is counted
 * too little, and no text that a page shows, whatever the file: what readers may understand otherwise is not counted at all.
 */
import { codesOfHex, codesOfLiteral, PdfCodes } from './pdf-codes.ts';
import { type Dictionary, endOfLiteral, NotPlain, PdfObjects, Ref, Text, type Value } from './pdf-objects.ts';

export interface PdfSize {
  readonly pages: number;
  /** The most UTF-8 bytes of the text on all pages and in what the file says about itself. */
  readonly textBytes: number;
}

/** Larger files are not looked at: a request has its bytes in base64. */
const BYTES_MAX = 8 * 1024 * 1024;
const PAGES_MAX = 500;
/** UTF-8 bytes of one character, and so of a code, unless the file says that it stands for several characters. */
const CHARACTER_BYTES = 3;
/** A space and the end of a line, which a reader may put around each string. */
const AROUND_BYTES = 2;
/** `%PDF-`. */
export const PDF_IN_BASE64 = 'JVBERi';
const PREFIX = /^data:application\/(?:x-)?pdf;base64,/i;
const PLAIN_BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;
/** Text that is shown otherwise than by the operators of a page, or by them more often than it stands there. */
const OTHER_TEXT = new Set(['ActualText', 'CharProcs', 'EF', 'EmbeddedFiles', 'Encrypt', 'XFA']);

/** Returns the size of a PDF in a data URL or in plain base64; null: only the window bounds it. */
export function pdfSizeOf(data: string): PdfSize | null {
  const start = data.startsWith('data:') ? PREFIX.exec(data)?.[0].length : 0;
  if (start === undefined || data.length > (BYTES_MAX * 4) / 3) return null;
  const text = data.slice(start);
  if (!text.startsWith(PDF_IN_BASE64) || !PLAIN_BASE64.test(text)) return null;
  try {
    return new Pdf(new PdfObjects(Buffer.from(text, 'base64'))).size();
  } catch (error) {
    if (error instanceof NotPlain) return null;
    throw error;
  }
}

interface Content {
  /** The most UTF-8 bytes of what its strings stand for. */
  shown: number;
  strings: number;
  /** How often it draws another object. */
  draws: number;
}

class Pdf {
  readonly #objects: PdfObjects;
  readonly #contents = new Map<number, Content>();
  readonly #seen = new Set<number>();
  #pages: Dictionary[] = [];
  #countMost = 0;
  /** Bytes of all strings that are no page's. */
  #said = 0;
  readonly #codes = new PdfCodes();
  #hasAppearances = false;

  constructor(objects: PdfObjects) {
    this.#objects = objects;
  }

  size(): PdfSize {
    if (/\/(?:Encrypt|Pages)|\/[^\0\t\n\f\r ()<>[\]{}/%]*#/.test(this.#objects.between)) throw new NotPlain();
    let root: Ref | null = null;
    let pageObjects = 0;
    for (const { value } of this.#objects.all.values()) {
      this.#look(value);
      if (!(value instanceof Map)) continue;
      if (value.get('Type') === '/Page') pageObjects++;
      if (!value.has('Pages')) continue;
      const pages = value.get('Pages');
      if (root !== null || !(pages instanceof Ref)) throw new NotPlain();
      root = pages;
    }
    if (root === null) throw new NotPlain();
    this.#walk(root);
    const pages = this.#pages.length;
    if (pages === 0 || pages > PAGES_MAX || this.#countMost > pages || pageObjects > pages)
      throw new NotPlain();
    return { pages, textBytes: this.#textBytes() };
  }

  /** Looks at all that stands in the objects beside the pages' own operators. */
  #look(value: Value): void {
    if (value instanceof Text) this.#said += value.bytes + AROUND_BYTES;
    else if (Array.isArray(value)) for (const each of value) this.#look(each);
    else if (value instanceof Map) {
      for (const [name, member] of value) {
        if (OTHER_TEXT.has(name) || (name === 'PatternType' && member !== 2)) throw new NotPlain();
        if (name === 'Contents' && member instanceof Text) throw new NotPlain();
        if (name === 'AP') this.#hasAppearances = true;
        if (name === 'ToUnicode') this.#readMap(member);
        if (name === 'Differences') this.#codes.addNames(member);
        this.#look(member);
      }
      this.#codes.addFont(value);
    }
  }

  /** Visits the tree of pages, each node once: a file whose pages share nodes has more pages than nodes. */
  #walk(root: Ref): void {
    const rest = [root];
    for (let node = rest.pop(); node !== undefined; node = rest.pop()) {
      const value = this.#objects.all.get(node.id)?.value;
      if (this.#seen.has(node.id) || !(value instanceof Map)) throw new NotPlain();
      this.#seen.add(node.id);
      const kids = value.get('Kids');
      if (kids === undefined) this.#pages.push(value);
      else if (!Array.isArray(kids) || value.has('Contents')) throw new NotPlain();
      else {
        const count = value.get('Count');
        if (typeof count === 'number') this.#countMost = Math.max(this.#countMost, count);
        for (const kid of kids) {
          if (!(kid instanceof Ref)) throw new NotPlain();
          rest.push(kid);
        }
      }
    }
  }

  #textBytes(): number {
    let shown = 0;
    let strings = 0;
    let draws = 0;
    for (const page of this.#pages) {
      const contents = page.get('Contents') ?? [];
      for (const each of Array.isArray(contents) ? contents : [contents]) {
        if (!(each instanceof Ref)) throw new NotPlain();
        const content = this.#contentOf(each.id);
        shown += content.shown;
        strings += content.strings;
        draws += content.draws;
      }
    }
    const forms = draws > 0 || this.#hasAppearances ? this.#forms() : [];
    const texts = forms.filter((form) => form.strings > 0);
    // A form that draws forms may be drawn without bound.
    if (texts.length > 0 && (this.#hasAppearances || forms.some((form) => form.draws > 0)))
      throw new NotPlain();
    shown += draws * Math.max(0, ...texts.map((form) => form.shown));
    strings += draws * Math.max(0, ...texts.map((form) => form.strings));
    return Math.ceil(shown) + this.#said * CHARACTER_BYTES + strings * AROUND_BYTES;
  }

  #forms(): Content[] {
    const forms: Content[] = [];
    for (const [id, { value }] of this.#objects.all)
      if (value instanceof Map && value.get('Subtype') === '/Form') forms.push(this.#contentOf(id));
    return forms;
  }

  #contentOf(id: number): Content {
    const known = this.#contents.get(id);
    if (known !== undefined) return known;
    const content = contentOf(this.#textOf(id), this.#codes.bytes);
    this.#contents.set(id, content);
    return content;
  }

  #textOf(id: number): string {
    const object = this.#objects.all.get(id);
    if (!object?.data || !(object.value instanceof Map)) throw new NotPlain();
    return this.#objects.inflate(object.value, object.data).toString('latin1');
  }

  #readMap(map: Value): void {
    // A name is a map that every reader has: one character a code.
    if (typeof map === 'string') return;
    if (!(map instanceof Ref)) throw new NotPlain();
    this.#codes.addMap(this.#textOf(map.id));
  }
}

/** Adds up the strings of a page's operators. Comments are read like operators: that only finds more. */
function contentOf(text: string, bytesOf: Float64Array): Content {
  // The bytes of an image between operators may be taken for anything.
  if (/(?:^|[^A-Za-z0-9])BI(?![A-Za-z0-9])/.test(text)) throw new NotPlain();
  const content = { shown: 0, strings: 0, draws: 0 };
  const mark = /[(<]|Do(?![A-Za-z0-9])/g;
  for (let found = mark.exec(text); found !== null; found = mark.exec(text)) {
    const start = found.index;
    if (found[0] === 'Do') {
      content.draws++;
      continue;
    }
    if (text[start + 1] === '<' && found[0] === '<') {
      mark.lastIndex = start + 2;
      continue;
    }
    const end = found[0] === '(' ? endOfLiteral(text, start) : text.indexOf('>', start) + 1;
    // It may go on in the page's next stream.
    if (end === 0 || end > text.length) throw new NotPlain();
    const written = text.slice(start + 1, end - 1);
    for (const code of found[0] === '(' ? codesOfLiteral(written) : codesOfHex(written))
      content.shown += bytesOf[code] ?? 0;
    content.strings++;
    mark.lastIndex = end;
  }
  return content;
}

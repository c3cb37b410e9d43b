/**
 * The objects of a PDF (ISO 32000-1, section 7), where no reader can take another object for one of them. Owns: the bytes'
 * grammar. A file that one reader may understand otherwise than another (objects in a stream's bytes, of the same number twice,
 * keys twice, encryption, other filters) is not read: `NotPlain`. Every step is bounded by the bytes at hand.
 */
import { inflateSync } from 'node:zlib';

/** Not every reader would see the same in this file. */
export class NotPlain extends Error {
  override name = 'NotPlain';
}

/** `n g R`. */
export class Ref {
  readonly id: number;
  constructor(id: number) {
    this.id = id;
  }
}
/** A string, of which only the length matters here. */
export class Text {
  readonly bytes: number;
  constructor(bytes: number) {
    this.bytes = bytes;
  }
}
export type Dictionary = ReadonlyMap<string, Value>;
/** Names begin with a slash; booleans are null. */
export type Value = number | string | null | Text | Ref | readonly Value[] | Dictionary;

export interface PdfObject {
  readonly value: Value;
  /** Of a stream, as they stand in the file. */
  readonly data: Buffer | null;
}

const OBJECTS_MAX = 50_000;
const DEPTH_MAX = 30;
/** All streams of a file together, once inflated, for each of its bytes, and at most: some 20 ms. */
const INFLATED_PER_BYTE = 32;
const INFLATED_MAX = 4 * 1024 * 1024;

const SPACE = /[\0\t\n\f\r ]*/y;
const COMMENT = /%[^\r\n]*/y;
const NAME = /\/([^\0\t\n\f\r ()<>[\]{}/%]*)/y;
const NUMBER = /[+-]?(?:\d+\.?\d*|\.\d+)(?![^\0\t\n\f\r ()<>[\]{}/%])/y;
const REFERENCE = /(\d{1,10})[\0\t\n\f\r ]+\d{1,5}[\0\t\n\f\r ]+R(?![^\0\t\n\f\r ()<>[\]{}/%])/y;
const HEX = /<[0-9A-Fa-f\0\t\n\f\r ]*>/y;
const KEYWORD = /true|false|null/y;
const OBJECT = /obj(?![A-Za-z])/g;
const NUMBER_OBJECT = /(?:^|[\r\n])(\d{1,10}) 0 obj\s+(\d{1,9})\s+endobj/g;
const HEADER = /(?:^|[^\d])(\d{1,10})[\0\t\n\f\r ]+\d{1,5}[\0\t\n\f\r ]+$/;

/** Where a reader stands in a text. */
class Cursor {
  readonly text: string;
  at: number;

  constructor(text: string, at: number) {
    this.text = text;
    this.at = at;
  }

  take(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (found !== null) this.at = pattern.lastIndex;
    return found;
  }

  skipSpace(): void {
    do this.take(SPACE);
    while (this.take(COMMENT) !== null);
  }

  takeWord(word: string): boolean {
    if (!this.text.startsWith(word, this.at)) return false;
    this.at += word.length;
    return true;
  }
}

function readValue(cursor: Cursor, depth = 0): Value {
  if (depth > DEPTH_MAX) throw new NotPlain();
  cursor.skipSpace();
  if (cursor.takeWord('<<')) return readDictionary(cursor, depth);
  if (cursor.takeWord('[')) return readArray(cursor, depth);
  if (cursor.text[cursor.at] === '(') return readLiteral(cursor);
  const hex = cursor.take(HEX);
  if (hex !== null) return new Text(hex[0].length - 2);
  const name = cursor.take(NAME);
  if (name !== null) return nameOf(name);
  const reference = cursor.take(REFERENCE);
  if (reference !== null) return new Ref(Number(reference[1]));
  const number = cursor.take(NUMBER);
  if (number !== null) return Number(number[0]);
  if (cursor.take(KEYWORD) !== null) return null;
  throw new NotPlain();
}

function nameOf([, written = '']: RegExpExecArray): string {
  const name = written.replace(/#([0-9A-Fa-f]{2})/g, (_, code: string) =>
    String.fromCharCode(Number.parseInt(code, 16)),
  );
  return `/${name}`;
}

function readDictionary(cursor: Cursor, depth: number): Dictionary {
  const members = new Map<string, Value>();
  for (;;) {
    cursor.skipSpace();
    if (cursor.takeWord('>>')) return members;
    const found = cursor.take(NAME);
    if (found === null) throw new NotPlain();
    const name = nameOf(found).slice(1);
    if (members.has(name)) throw new NotPlain();
    members.set(name, readValue(cursor, depth + 1));
  }
}

function readArray(cursor: Cursor, depth: number): Value[] {
  const values: Value[] = [];
  for (;;) {
    cursor.skipSpace();
    if (cursor.takeWord(']')) return values;
    values.push(readValue(cursor, depth + 1));
  }
}

function readLiteral(cursor: Cursor): Text {
  const end = endOfLiteral(cursor.text, cursor.at);
  if (end > cursor.text.length) throw new NotPlain();
  const text = new Text(end - cursor.at - 2);
  cursor.at = end;
  return text;
}

/** Returns where the string that opens at `start` ends; beyond the text: it does not. */
export function endOfLiteral(text: string, start: number): number {
  let depth = 0;
  for (let at = start; at < text.length; at++) {
    const character = text.charCodeAt(at);
    if (character === 0x5c) at++;
    else if (character === 0x28) depth++;
    else if (character === 0x29 && --depth === 0) return at + 1;
  }
  return text.length + 1;
}

export class PdfObjects {
  readonly all = new Map<number, PdfObject>();
  /** What stands between the objects: tables of references and trailers. */
  readonly between: string;
  readonly #bytes: Buffer;
  readonly #text: string;
  #inflated = 0;
  #numbers: Map<number, number> | null = null;

  /** @throws NotPlain */
  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    this.#text = bytes.toString('latin1');
    let end = 0;
    let between = '';
    for (const { index } of this.#text.matchAll(OBJECT)) {
      if (this.#text.startsWith('end', index - 3)) continue;
      const [header = '', id = ''] = HEADER.exec(this.#text.slice(Math.max(0, index - 32), index)) ?? [];
      // An object that stands in the bytes of another one may be what a table of references points to.
      if (id === '' || index - header.length < end - 1) throw new NotPlain();
      between += `${this.#text.slice(end, index)}\n`;
      end = this.#readObject(Number(id), index + 'obj'.length);
    }
    this.between = between + this.#text.slice(end);
    for (const { value, data } of [...this.all.values()])
      if (data !== null && value instanceof Map && (value.has('First') || value.get('Type') === '/ObjStm'))
        this.#readPacked(value, data);
  }

  #add(id: number, object: PdfObject): void {
    if (this.all.has(id) || this.all.size >= OBJECTS_MAX) throw new NotPlain();
    this.all.set(id, object);
  }

  /** Returns where it ends. */
  #readObject(id: number, at: number): number {
    const cursor = new Cursor(this.#text, at);
    const value = readValue(cursor);
    cursor.skipSpace();
    let data: Buffer | null = null;
    if (value instanceof Map && cursor.takeWord('stream')) {
      if (!cursor.takeWord('\r\n') && !cursor.takeWord('\n')) throw new NotPlain();
      const start = cursor.at;
      cursor.at += this.#lengthOf(value);
      data = this.#bytes.subarray(start, cursor.at);
      cursor.take(SPACE);
      if (!cursor.takeWord('endstream')) throw new NotPlain();
      cursor.skipSpace();
    }
    if (!cursor.takeWord('endobj')) throw new NotPlain();
    this.#add(id, { value, data });
    return cursor.at;
  }

  #lengthOf(stream: Dictionary): number {
    const length = stream.get('Length') ?? null;
    if (typeof length === 'number' && Number.isSafeInteger(length) && length >= 0) return length;
    if (!(length instanceof Ref)) throw new NotPlain();
    this.#numbers ??= new Map(
      Array.from(this.#text.matchAll(NUMBER_OBJECT), ([, id, number]) => [Number(id), Number(number)]),
    );
    // That it is the only object of its number is known once all are read.
    const written = this.#numbers.get(length.id);
    if (written === undefined) throw new NotPlain();
    return written;
  }

  /** Objects in a stream of objects: numbers and places, then the objects. */
  #readPacked(stream: Dictionary, data: Buffer): void {
    const text = this.inflate(stream, data).toString('latin1');
    const count = stream.get('N');
    const first = stream.get('First');
    if (typeof count !== 'number' || typeof first !== 'number' || count > OBJECTS_MAX) throw new NotPlain();
    const places = text.slice(0, first).trim().split(/\s+/).map(Number);
    if (places.length !== 2 * count) throw new NotPlain();
    let end = 0;
    for (let index = 0; index < places.length; index += 2) {
      const [id = Number.NaN, at = Number.NaN] = places.slice(index, index + 2);
      if (!Number.isSafeInteger(id) || !Number.isSafeInteger(at)) throw new NotPlain();
      // In their order, so that none is read twice.
      if (first + at < end) throw new NotPlain();
      const cursor = new Cursor(text, first + at);
      this.#add(id, { value: readValue(cursor), data: null });
      end = cursor.at;
    }
  }

  /** Returns a stream's own bytes. @throws NotPlain where they are more than is looked at, or encoded otherwise */
  inflate(stream: Dictionary, data: Buffer): Buffer {
    const filter = stream.get('Filter') ?? null;
    const names = Array.isArray(filter) ? filter : filter === null ? [] : [filter];
    if (stream.has('DecodeParms') || stream.has('F') || names.length > 1) throw new NotPlain();
    const left = Math.min(INFLATED_MAX, INFLATED_PER_BYTE * this.#bytes.length) - this.#inflated;
    if (left <= 0 || (names.length === 1 && names[0] !== '/FlateDecode')) throw new NotPlain();
    let bytes = data;
    try {
      if (names.length === 1) bytes = inflateSync(data, { maxOutputLength: left });
    } catch {
      throw new NotPlain();
    }
    this.#inflated += bytes.length;
    if (bytes.length > left) throw new NotPlain();
    return bytes;
  }
}

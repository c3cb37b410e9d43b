/**
 * A multipart body as it comes (RFC 2046, section 5.1; RFC 7578). Owns: where its parts begin and end, over any borders of pieces. No
 * more of it is kept than the longest delimiter or head of a part. What is no such body ends the reading, without an error.
 */

export interface Part {
  /** Of its Content-Disposition; empty: none. */
  name: string;
  filename: string | null;
}

export interface PartHandler {
  onPart(part: Part): void;
  /** A piece of the part that began last; its memory may be written again afterwards. */
  onData(piece: Buffer): void;
}

const HEAD_BYTES_MAX = 16 * 1024;
const HEAD_END = Buffer.from('\r\n\r\n');
const EMPTY = Buffer.alloc(0);

export class MultipartReader {
  readonly #delimiter: Buffer;
  readonly #handler: PartHandler;
  /** What may be the beginning of a delimiter or of a head. A body begins as if after the end of a line. */
  #rest: Buffer = Buffer.from('\r\n');
  #state: 'preamble' | 'delimiter' | 'head' | 'data' | 'over' = 'preamble';

  constructor(boundary: string, handler: PartHandler) {
    this.#delimiter = Buffer.from(`\r\n--${boundary}`);
    this.#handler = handler;
  }

  push(piece: Buffer): void {
    if (this.#state === 'over') return;
    this.#rest = this.#rest.length === 0 ? piece : Buffer.concat([this.#rest, piece]);
    while (this.#step());
    // The piece's memory may be written again.
    this.#rest = Buffer.from(this.#rest);
  }

  /** Returns whether there is more to do with what is there. */
  #step(): boolean {
    switch (this.#state) {
      case 'preamble':
      case 'data':
        return this.#readData();
      case 'delimiter':
        return this.#readDelimiter();
      case 'head':
        return this.#readHead();
      case 'over':
        this.#rest = EMPTY;
        return false;
    }
  }

  #readData(): boolean {
    const at = this.#rest.indexOf(this.#delimiter);
    const end = at === -1 ? Math.max(0, this.#rest.length - this.#delimiter.length + 1) : at;
    if (end > 0 && this.#state === 'data') this.#handler.onData(this.#rest.subarray(0, end));
    this.#rest = this.#rest.subarray(at === -1 ? end : at + this.#delimiter.length);
    if (at !== -1) this.#state = 'delimiter';
    return at !== -1;
  }

  #readDelimiter(): boolean {
    const at = this.#rest.indexOf('\n');
    if (this.#rest.length >= 2 && this.#rest.toString('latin1', 0, 2) === '--') this.#state = 'over';
    else if (at !== -1) {
      this.#rest = this.#rest.subarray(at + 1);
      this.#state = 'head';
    } else if (this.#rest.length > HEAD_BYTES_MAX) this.#state = 'over';
    else return false;
    return true;
  }

  #readHead(): boolean {
    const at = this.#rest.indexOf(HEAD_END);
    if (at === -1) {
      if (this.#rest.length <= HEAD_BYTES_MAX) return false;
      this.#state = 'over';
      return true;
    }
    const head = this.#rest.toString('utf8', 0, at);
    this.#rest = this.#rest.subarray(at + HEAD_END.length);
    this.#state = 'data';
    const [, disposition = ''] = /^content-disposition:([^\r]*)/im.exec(head) ?? [];
    const name = /[;\s]name="([^"]*)"/i.exec(disposition)?.[1] ?? '';
    this.#handler.onPart({ name, filename: /[;\s]filename="([^"]*)"/i.exec(disposition)?.[1] ?? null });
    return true;
  }
}

/** Returns the boundary that a content type names; null: none. */
export function boundaryOf(contentType: string): string | null {
  if (!/^multipart\/form-data\s*(?:;|$)/i.test(contentType)) return null;
  const found = /;\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))/i.exec(contentType);
  return found?.[1] ?? found?.[2] ?? null;
}

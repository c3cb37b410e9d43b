/** Lines of a file as they come in pieces, numbered from 1; memory is bounded by the longest line that is kept. */

import { SCAN_BOUNDS, scanWhole } from '../openai/scan.ts';

/** Called with each line, without its end; null: it is longer than what is kept, and has this many bytes. */
export type OnLine = (line: Buffer | null, number: number, bytes: number) => void;

/** Shorter lines take little memory, whatever they hold. */
const SIMPLE_BYTES = 256 * 1024;
const BOUNDS = { ...SCAN_BOUNDS, values: 100_000 };

/** Whether a line holds so many values that parsing it would take a hundred times its bytes. */
export function isTooComplex(line: Buffer): boolean {
  return line.length > SIMPLE_BYTES && scanWhole(line.toString('latin1'), BOUNDS).exceeded !== null;
}

const LF = 0x0a;
const CR = 0x0d;
const EMPTY = Buffer.alloc(0);
const BYTE_ORDER_MARK = Buffer.from('\ufeff');

export class LineSplitter {
  readonly #onLine: OnLine;
  readonly #bytesMax: number;
  #open: Buffer[] = [];
  #openBytes = 0;
  #number = 0;

  constructor(onLine: OnLine, bytesMax: number) {
    this.#onLine = onLine;
    this.#bytesMax = bytesMax;
  }

  push(piece: Buffer): void {
    let from = 0;
    for (let end = piece.indexOf(LF); end !== -1; end = piece.indexOf(LF, from)) {
      this.#take(piece.subarray(from, end));
      this.#emit();
      from = end + 1;
    }
    // The piece's memory may be written again before the rest of the line comes.
    if (from < piece.length) this.#take(Buffer.from(piece.subarray(from)));
  }

  /** A last line without an end counts as one. */
  end(): void {
    if (this.#openBytes > 0) this.#emit();
  }

  #take(part: Buffer): void {
    this.#openBytes += part.length;
    if (this.#openBytes <= this.#bytesMax) this.#open.push(part);
    else this.#open = [];
  }

  #emit(): void {
    const bytes = this.#openBytes;
    const [first = EMPTY, ...more] = this.#open;
    let line = more.length === 0 ? first : Buffer.concat(this.#open);
    this.#open = [];
    this.#openBytes = 0;
    this.#number++;
    if (this.#number === 1 && line.subarray(0, 3).equals(BYTE_ORDER_MARK)) line = line.subarray(3);
    if (line.at(-1) === CR) line = line.subarray(0, -1);
    this.#onLine(bytes > this.#bytesMax ? null : line, this.#number, bytes);
  }
}

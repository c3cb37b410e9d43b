/**
 * Finds the end of HTTP/1.1 responses in the bytes of one connection, for the load generator: a general parser would
 * cost more CPU than the gateways under test. It knows `content-length` and `chunked`, one response at a time, no trailers.
 */

const HEAD_END = '\r\n\r\n';
const CARRIAGE_RETURN = 13;
const LINE_FEED = 10;

/** Where the reader stands. `bytes`: that many of the body remain; a chunk's closing line end counts as its body. */
type State = 'head' | 'bytes' | 'chunk-size' | 'chunk-bytes' | 'end-line' | 'done';

export class ResponseReader {
  status = 0;
  /** The start of the body as text, for messages about failures. */
  excerpt = '';
  #state: State = 'head';
  #head: Buffer | null = null;
  #remaining = 0;
  #started = false;

  /** Prepares for the next response of the connection. */
  reset(): void {
    this.#state = 'head';
    this.#head = null;
    this.#started = false;
    this.status = 0;
    this.excerpt = '';
  }

  /** Whether any byte of the response's body has arrived. */
  get started(): boolean {
    return this.#started;
  }

  /** Takes the next bytes; true when the response is complete. Throws on what no gateway should send. */
  push(data: Buffer): boolean {
    const body = this.#state === 'head' ? this.#readHead(data) : data;
    if (!body) return false;
    this.#started ||= body.length > 0;
    if (this.status !== 200) this.excerpt += body.subarray(0, 500).toString('latin1');
    let position = 0;
    while (position < body.length && this.#state !== 'done') position = this.#readBody(body, position);
    if (position < body.length) throw new Error('bytes after the end of a response');
    return this.#state === 'done';
  }

  /** Returns what arrived of the body so far, or null while the head is incomplete. */
  #readHead(data: Buffer): Buffer | null {
    const received = this.#head ? Buffer.concat([this.#head, data]) : data;
    this.#head = received;
    const end = received.indexOf(HEAD_END);
    if (end < 0) return null;
    const head = received.toString('latin1', 0, end).toLowerCase();
    this.status = Number(head.slice(9, 12));
    this.#remaining = 0;
    const length = /\r\ncontent-length: *(\d+)/.exec(head);
    if (length) {
      this.#remaining = Number(length[1]);
      this.#state = this.#remaining > 0 ? 'bytes' : 'done';
    } else if (head.includes('\r\ntransfer-encoding: chunked')) this.#state = 'chunk-size';
    else throw new Error(`a response without a length:\n${head}`);
    return received.subarray(end + HEAD_END.length);
  }

  #readBody(data: Buffer, position: number): number {
    if (this.#state === 'bytes' || this.#state === 'chunk-bytes') {
      const taken = Math.min(this.#remaining, data.length - position);
      this.#remaining -= taken;
      if (this.#remaining === 0) this.#state = this.#state === 'bytes' ? 'done' : 'chunk-size';
      return position + taken;
    }
    const byte = data[position]!;
    if (byte === LINE_FEED) this.#endLine();
    else if (byte !== CARRIAGE_RETURN) this.#remaining = this.#remaining * 16 + hexDigit(byte);
    return position + 1;
  }

  #endLine(): void {
    if (this.#state === 'end-line') this.#state = 'done';
    else if (this.#remaining === 0) this.#state = 'end-line';
    else {
      this.#remaining += 2;
      this.#state = 'chunk-bytes';
    }
  }
}

function hexDigit(byte: number): number {
  const digit = Number.parseInt(String.fromCharCode(byte), 16);
  if (Number.isNaN(digit)) throw new Error(`not the size of a chunk: ${String.fromCharCode(byte)}`);
  return digit;
}

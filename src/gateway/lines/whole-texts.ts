/**
 * Reads the frames of an upstream's WebSocket before `ws` does: a whole text that stands in one frame, as nearly all of an API do, is
 * handed on at once. For `ws` each of them passes through a stream of its own and three emitters, which takes a tenth of the CPU
 * of a frame. Owns: where frames end. Does not own: what is unusual, whose bytes all go to `ws` in their order: a frame that comes in
 * pieces, control frames, and what breaks the protocol. Invariant: each byte is read by one of the two, and `ws` begins at a frame.
 */
import { isUtf8 } from 'node:buffer';
import type { Socket } from 'node:net';

/** A frame's first byte (RFC 6455, section 5.2): the last of its message, no extension, and what it is. */
const TEXT = 0x81;
const PING = 0x89;
const PONG = 0x8a;
/** Up to this length it stands in the second byte; beyond, these say in how many bytes more. */
const SHORT_BYTES = 125;
const TWO_BYTES_FOLLOW = 126;
const EIGHT_BYTES_FOLLOW = 127;
/** The longest head of a frame that is not masked; a server masks none. */
const HEAD_BYTES_MAX = 10;

type Listener = (this: Socket, bytes: Buffer) => void;

export class WholeTexts {
  readonly #stream: Socket;
  /** What `ws` does with bytes. */
  readonly #ws: Listener;
  readonly #lengthMax: number;
  readonly #onText: (text: Buffer) => void;
  readonly #listener = (bytes: Buffer) => this.#read(bytes);
  /** Bytes of a frame that `ws` reads which are still to come; or what has come of its head. */
  #left = 0;
  #head: Buffer | null = null;

  private constructor(stream: Socket, ws: Listener, lengthMax: number, onText: (text: Buffer) => void) {
    this.#stream = stream;
    this.#ws = ws;
    this.#lengthMax = lengthMax;
    this.#onText = onText;
    stream.off('data', ws);
    stream.on('data', this.#listener);
  }

  /**
   * To be called before the first byte was read.
   * @param stream of a WebSocket that has opened, without extensions
   * @param lengthMax of a message, in bytes; `ws` ends the connection over a longer one
   * @returns null: `ws` listens otherwise than it is known to, and reads everything
   */
  static of(stream: Socket, lengthMax: number, onText: (text: Buffer) => void): WholeTexts | null {
    const [ws, ...others] = stream.listeners('data');
    if (ws === undefined || others.length > 0) return null;
    return new WholeTexts(stream, ws as Listener, lengthMax, onText);
  }

  /** Reads no more, and nor does `ws`: the connection ends over an error. */
  stop(): void {
    this.#stream.off('data', this.#listener);
  }

  #read(bytes: Buffer): void {
    const at = this.#left === 0 && this.#head === null ? this.#readTexts(bytes) : 0;
    if (at === bytes.length) return;
    const rest = at === 0 ? bytes : bytes.subarray(at);
    if (!this.#follow(rest)) this.#leave();
    this.#ws.call(this.#stream, rest);
  }

  /** Returns where the frames end that were handed on. */
  #readTexts(bytes: Buffer): number {
    let at = 0;
    while (bytes[at] === TEXT) {
      const second = bytes[at + 1] ?? EIGHT_BYTES_FOLLOW;
      let start = at + 2;
      let length = second;
      if (second === TWO_BYTES_FOLLOW && at + 4 <= bytes.length) {
        length = ((bytes[start] ?? 0) << 8) | (bytes[start + 1] ?? 0);
        start += 2;
      } else if (second > SHORT_BYTES) break;
      const end = start + length;
      if (end > bytes.length) break;
      const text = bytes.subarray(start, end);
      if (!isUtf8(text)) break;
      at = end;
      this.#onText(text);
    }
    return at;
  }

  /** Finds where the next frame begins, in bytes that `ws` reads. Returns false when it reads all that still comes, too. */
  #follow(bytes: Buffer): boolean {
    let at = Math.min(this.#left, bytes.length);
    this.#left -= at;
    while (at < bytes.length) {
      const before = this.#head?.length ?? 0;
      const head = headAt(this.#head, bytes, at);
      const size = frameSize(head, this.#lengthMax);
      if (size === null) return false;
      if (size === 0) {
        this.#head = Buffer.from(head);
        return true;
      }
      this.#head = null;
      const end = at + size - before;
      at = Math.min(end, bytes.length);
      this.#left = end - at;
    }
    return true;
  }

  #leave(): void {
    this.stop();
    this.#stream.on('data', this.#ws);
  }
}

function headAt(before: Buffer | null, bytes: Buffer, at: number): Buffer {
  const head = bytes.subarray(at, at + HEAD_BYTES_MAX);
  return before === null ? head : Buffer.concat([before, head]);
}

/** Returns the bytes of a whole frame, its head included; 0: its head is not whole; null: it is unusual. */
function frameSize(head: Buffer, lengthMax: number): number | null {
  const [first, second] = head;
  if (first !== TEXT && first !== PING && first !== PONG) return null;
  if (second === undefined) return 0;
  if (second <= SHORT_BYTES) return 2 + second;
  if (first !== TEXT || second > EIGHT_BYTES_FOLLOW) return null;
  if (second === TWO_BYTES_FOLLOW) return head.length < 4 ? 0 : 4 + head.readUInt16BE(2);
  if (head.length < HEAD_BYTES_MAX) return 0;
  const length = head.readUInt32BE(2) * 2 ** 32 + head.readUInt32BE(6);
  return length > lengthMax ? null : HEAD_BYTES_MAX + length;
}

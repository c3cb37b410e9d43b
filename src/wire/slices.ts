/** Large bodies: written slice by slice as the socket takes them, or piece by piece as they come. */
import type { Socket } from 'node:net';
import type { BodySource } from './upstream.ts';

/** What is written at once: TLS encrypts it in one go, which takes a few hundred microseconds. */
const SLICE_BYTES = 256 * 1024;

/** Writes the pieces in their order; calls back when the socket has handed on the last of them. Not, when it breaks before. */
export function writeSlices(socket: Socket, pieces: readonly Buffer[], onSent: () => void): void {
  const left = [...pieces];
  const next = () => {
    for (let piece = left.shift(); piece !== undefined; piece = left.shift()) {
      if (piece.length > SLICE_BYTES) left.unshift(piece.subarray(SLICE_BYTES));
      if (socket.write(piece.subarray(0, SLICE_BYTES))) continue;
      socket.once('drain', next);
      return;
    }
    onSent();
  };
  next();
}

/**
 * Gives back the memory of bytes that have it for themselves and that are not read any more. The collector would let tens of
 * megabytes come together, and then stop the event loop for tens of milliseconds to free them.
 */
export function freeMemory(bytes: Buffer): void {
  const { buffer } = bytes;
  if (buffer instanceof ArrayBuffer && buffer.byteLength >= FREED_BYTES && !isPooled(bytes))
    buffer.transfer(0);
}

/** A smaller one is not worth the call. */
const FREED_BYTES = 8 * 1024;

/** Whether it may be cut from Node's pool, which is as large as a read of a socket in Node 24: 64 KB. What is cut has less than half. */
function isPooled({ buffer, byteLength }: Buffer): boolean {
  return buffer.byteLength === Buffer.poolSize && byteLength < Buffer.poolSize / 2;
}

interface Progress {
  /** The call that the body belongs to has ended: what still comes is thrown away. */
  isOver(): boolean;
  onPiece(): void;
  onSent(): void;
  /** The body is not what was said of it, or its rest will not come. */
  onFailure(): void;
}

/** Writes a body as its source brings it, and has the source wait while the socket is full. */
export function sendAsItComes(socket: Socket, source: BodySource, progress: Progress): void {
  const { length } = source;
  const writer = new PieceWriter(socket, length === null);
  let left = length ?? Number.POSITIVE_INFINITY;
  const fail = () => {
    if (!progress.isOver()) progress.onFailure();
  };
  source.start({
    write(piece) {
      if (progress.isOver() || piece.length === 0) return;
      left -= piece.length;
      progress.onPiece();
      if (left < 0) fail();
      else if (!writer.write(piece)) {
        source.pause();
        socket.once('drain', () => source.resume());
      }
    },
    end() {
      if (progress.isOver()) return;
      if (length === null) socket.write('0\r\n\r\n');
      else if (left > 0) fail();
      progress.onSent();
    },
    fail,
  });
}

/**
 * Writes pieces in their order, and gives the memory of what was read at once back when all of it was written: left to the
 * collector, tens of megabytes of it are there before it looks.
 */
class PieceWriter {
  readonly #socket: Socket;
  readonly #isChunked: boolean;
  /** What was read at once and is in no other use; null: what was written last may be. */
  #written: ArrayBufferLike | null = null;

  constructor(socket: Socket, isChunked: boolean) {
    this.#socket = socket;
    this.#isChunked = isChunked;
  }

  /** Returns false when the socket is full. */
  write(piece: Buffer): boolean {
    const socket = this.#socket;
    const onWritten = () => this.#wrote(piece);
    if (!this.#isChunked) return socket.write(piece, onWritten);
    socket.cork();
    socket.write(`${piece.length.toString(16)}\r\n`, 'latin1');
    socket.write(piece, onWritten);
    const wantsMore = socket.write('\r\n', 'latin1');
    socket.uncork();
    return wantsMore;
  }

  /** What came later was written, so all pieces of what came before were. The last one may have another request at its end. */
  #wrote(piece: Buffer): void {
    const before = this.#written;
    if (before === piece.buffer) return;
    this.#written = isPooled(piece) ? null : piece.buffer;
    if (before instanceof ArrayBuffer) before.transfer(0);
  }
}

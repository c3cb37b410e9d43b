/** Large bodies: written slice by slice as the socket takes them, or piece by piece as they come. */
import type { Socket } from 'node:net';
import { writeTogether } from './message.ts';
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

interface Progress {
  /** The call that the body belongs to has ended: what still comes is thrown away. */
  isOver(): boolean;
  onPiece(): void;
  onSent(): void;
  /** The body is not what was said of it, or its rest will not come. */
  onFailure(): void;
}

/** Writes a body as its source brings it, and has the source wait while the socket is full. */
export function sendAsItComes(socket: Socket, plain: boolean, source: BodySource, progress: Progress): void {
  const { length } = source;
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
      else if (!writePiece(socket, plain, piece, length === null)) {
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

function writePiece(socket: Socket, plain: boolean, piece: Buffer, isChunked: boolean): boolean {
  if (!isChunked) return socket.write(piece);
  return writeTogether(socket, plain, `${piece.length.toString(16)}\r\n`, piece, '\r\n');
}

/** Large bodies: written slice by slice, as the socket takes them. */
import type { Socket } from 'node:net';

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

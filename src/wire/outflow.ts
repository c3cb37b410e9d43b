/** How connections of clients end: those that take nothing of what is sent to them, and those that still write. */
import { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

/** For how long what a client writes that is of no use (the rest of a body, all after its last response) is read and thrown away. */
export const DISCARD_MS = 5000;

/** How a client takes what is sent to it. */
export class Outflow {
  #unsent = 0;
  #movedMs = 0;

  /** Returns for how long the client has taken no byte of what waits for it, as far as was looked; 0: it does, or nothing waits. */
  stalledMs(socket: Socket, nowMs: number): number {
    const unsent = unsentBytes(socket);
    if (unsent === 0 || unsent !== this.#unsent) {
      this.#unsent = unsent;
      this.#movedMs = nowMs;
    }
    return nowMs - this.#movedMs;
  }
}

/**
 * Returns a number that changes with every byte that the kernel takes; 0: it has them all. Of a large write Node counts
 * the bytes on its way for `socket.setTimeout` alone, which the client could put off by sending some.
 */
function unsentBytes(socket: Socket): number {
  if (socket.writableLength === 0) return 0;
  const handle: unknown = Reflect.get(socket, '_handle');
  const queued: unknown = handle instanceof Object ? Reflect.get(handle, 'writeQueueSize') : 0;
  return socket.writableLength + (typeof queued === 'number' ? queued : 0);
}

/** Ends a connection by a reset: what waits in the kernel would be kept for a client that does not want it. */
export function reset(socket: Socket): void {
  // TLS has no reset; the connection below it has.
  const below: unknown = socket instanceof TLSSocket ? Reflect.get(socket, '_parent') : socket;
  if (below instanceof Socket) below.resetAndDestroy();
  socket.destroy();
}

/**
 * Ends a connection after its last response, whose client still writes: closed at once it would be reset, perhaps before the
 * client has read the response. What comes is thrown away until the client ends too (RFC 9112, section 9.6).
 */
export function linger(socket: Socket): void {
  socket.end();
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), DISCARD_MS);
  socket.once('close', () => clearTimeout(timer));
}

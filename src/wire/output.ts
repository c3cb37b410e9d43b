/** Writing a head and what belongs to it with one system call. */
import type { Socket } from 'node:net';

/** More than this is not copied to be sent together: two pieces in one call cost less. */
const COPIED_BYTES = 16 * 1024;

/** Shared by all writes that the kernel takes at once. */
let scratch = Buffer.allocUnsafeSlow(COPIED_BYTES);

/**
 * Writes text (Latin-1), bytes and text together. `plain`: the socket hands its bytes straight to the kernel (no TLS).
 * Returns false when the socket wants no more for now.
 */
export function writeTogether(
  socket: Socket,
  plain: boolean,
  before: string,
  bytes: Buffer | null,
  after: string,
): boolean {
  const length = before.length + (bytes === null ? 0 : bytes.length) + after.length;
  if (length > COPIED_BYTES) return writePieces(socket, before, bytes, after);
  // What waits in the socket needs bytes of its own; what the kernel takes at once does not.
  const shared = plain && socket.writableLength === 0;
  const target = shared ? scratch : Buffer.allocUnsafe(length);
  let end = target.write(before, 0, 'latin1');
  if (bytes !== null) {
    target.set(bytes, end);
    end += bytes.length;
  }
  if (after !== '') target.write(after, end, 'latin1');
  const wantsMore = socket.write(shared ? target.subarray(0, length) : target);
  if (shared && socket.writableLength > 0) scratch = Buffer.allocUnsafeSlow(COPIED_BYTES);
  return wantsMore;
}

function writePieces(socket: Socket, before: string, bytes: Buffer | null, after: string): boolean {
  socket.cork();
  let wantsMore = true;
  if (before !== '') wantsMore = socket.write(before, 'latin1');
  if (bytes !== null) wantsMore = socket.write(bytes);
  if (after !== '') wantsMore = socket.write(after, 'latin1');
  socket.uncork();
  return wantsMore;
}

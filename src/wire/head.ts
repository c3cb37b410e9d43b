/**
 * Heads as they are written: status lines, the date, the check that nothing in a header can end it early; and a head with
 * what belongs to it in one system call.
 */
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';

/** RFC 9110, sections 5.1 and 5.5; the same as Node's and undici's checks. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const NOT_IN_VALUE = /[^\t\x20-\x7e\x80-\xff]/;
const NOT_IN_TARGET = /[^\x21-\x7e\x80-\xff]/;

/** Returns `name: value` with its line end. Throws a TypeError when one of them may not stand in a head. */
export function headerLine(name: string, value: string): string {
  if (!TOKEN.test(name)) throw new TypeError(`not a header name: ${JSON.stringify(name)}`);
  if (NOT_IN_VALUE.test(value)) throw new TypeError(`not a header value, of ${name}`);
  return `${name}: ${value}\r\n`;
}

/** Returns whether a request line can name this target. */
export function isTarget(target: string): boolean {
  return target !== '' && !NOT_IN_TARGET.test(target);
}

const statusLines: (string | undefined)[] = [];

/** Throws a RangeError on a status that ends no request. */
export function statusLine(status: number): string {
  if (!Number.isInteger(status) || status < 200 || status > 999)
    throw new RangeError(`not a status: ${status}`);
  statusLines[status] ??= `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'unknown'}\r\n`;
  return statusLines[status];
}

let dateSecond = -1;
let dateText = '';

/** Returns the `Date` header of this second. */
export function dateLine(): string {
  const second = Math.floor(Date.now() / 1000);
  if (second !== dateSecond) {
    dateSecond = second;
    dateText = `Date: ${new Date(second * 1000).toUTCString()}\r\n`;
  }
  return dateText;
}

/** Returns whether a comma-separated list, as of `Connection`, has this token; `token` is in lower case. */
export function listHas(list: string, token: string): boolean {
  if (list.length < token.length) return false;
  if (list === token) return true;
  for (const item of list.split(',')) if (item.trim().toLowerCase() === token) return true;
  return false;
}

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

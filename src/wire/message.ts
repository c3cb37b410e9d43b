/**
 * Messages of HTTP/1.1, as they are read and written. Owns: driving llhttp, the places of what it found; heads as text, the
 * check that nothing in a header can end one early, and a head with what belongs to it in one system call. Does not own:
 * what a message means, and what becomes of its bytes.
 *
 * Nothing but this file runs inside of the parser: its callbacks only note places, and those who feed it read them
 * afterwards. So no handler can throw through the parser or feed it while it works.
 */
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { type Callbacks, loadLlhttp } from './llhttp.ts';
import type { UpstreamHeaders } from './upstream.ts';

/** Longest head that is read, in bytes of names and values (as Node and undici count it), and of trailers. */
export const MAX_HEAD_BYTES = 16 * 1024;

/** Most headers that one head may have. */
const MAX_HEADERS = 1000;

/** Room for a read of a socket, and some more. */
const INPUT_BYTES = 64 * 1024;

/** From undici's `lib/llhttp/constants.js`. */
const OK = 0;
const PAUSED = 21;
const REQUEST = 1;
const RESPONSE = 2;

/** What a callback returns: go on, stop here with the error of the same number, there is no body, or fail. */
const GO_ON = 0;
const NO_BODY = 1;
const FAIL = -1;

/** Places of the head that is read at the moment: start and end of each name and each value, in turns. */
const places = new Int32Array(MAX_HEADERS * 4);
let placeCount = 0;
/** Start and end of each piece of body that the last run found, within the bytes that it was given. */
const bodyPlaces: number[] = [];
/** The parser at work. */
let current: Parser | null = null;
/** Subtracted from an address gives its place in the head. */
let headOrigin = 0;

const callbacks: Callbacks = {
  wasm_on_message_begin() {
    if (current) current.begun = true;
    return GO_ON;
  },
  wasm_on_status: () => GO_ON,
  wasm_on_url(_, at = 0, length = 0) {
    current?.addUrl(at - headOrigin, length);
    return GO_ON;
  },
  wasm_on_header_field: (_, at = 0, length = 0) => current?.addPlace(at - headOrigin, length, 0) ?? FAIL,
  wasm_on_header_value: (_, at = 0, length = 0) => current?.addPlace(at - headOrigin, length, 2) ?? FAIL,
  wasm_on_headers_complete: (_, status = 0, upgrade = 0, keepAlive = 0) =>
    current?.completeHead(status, upgrade === 1, keepAlive === 1) ?? FAIL,
  wasm_on_body(_, at = 0, length = 0) {
    bodyPlaces.push(at - inputAddress, at - inputAddress + length);
    return GO_ON;
  },
  wasm_on_message_complete() {
    if (current) current.messageComplete = true;
    return PAUSED;
  },
};

const llhttp = loadLlhttp(callbacks);

let inputBytes = INPUT_BYTES;
let inputAddress = llhttp.malloc(INPUT_BYTES);
let input = new Uint8Array(llhttp.memory(), inputAddress, INPUT_BYTES);

/** Parses the messages of one direction of one connection, one after another. */
export class Parser {
  /** More of this message has come than line ends in front of it. */
  begun = false;
  /** The head of this message has been read to its end. */
  headComplete = false;
  /** This message has been read to its end. What follows it is not read before `next`. */
  messageComplete = false;
  /** Of a response. */
  status = 0;
  /** It asks for another protocol, or grants that. */
  upgrade = false;
  /** What the message says of the connection after it, and of its framing. */
  keepAlive = false;
  /** The target of a request lies here in its head. */
  urlStart = -1;
  urlEnd = -1;
  /** How many bytes of the last run were read. */
  consumed = 0;
  #address: number;
  /** Bytes that came in earlier runs, from the one on in which this head began, and the places found in them. */
  #headBytes = 0;
  #saved: Int32Array | null = null;
  /** Bytes of names and values, of the head or of the trailers. */
  #fieldBytes = 0;

  constructor(type: 'request' | 'response') {
    this.#address = llhttp.alloc(type === 'request' ? REQUEST : RESPONSE);
  }

  /**
   * Reads on, to the end of these bytes or of the message. Returns null, or the name of the error (`HPE_…`). Read what
   * was found before another parser runs.
   */
  execute(bytes: Uint8Array): string | null {
    if (bytes.length > inputBytes || input.length === 0) reserve(bytes.length);
    input.set(bytes);
    bodyPlaces.length = 0;
    placeCount = 0;
    if (this.#saved !== null) {
      places.set(this.#saved);
      placeCount = this.#saved.length;
    }
    headOrigin = inputAddress - this.#headBytes;
    current = this;
    const code = llhttp.execute(this.#address, inputAddress, bytes.length);
    current = null;
    this.consumed = code === OK ? bytes.length : llhttp.errorAt(this.#address) - inputAddress;
    if (this.begun && !this.headComplete) {
      this.#headBytes += bytes.length;
      this.#saved = places.slice(0, placeCount);
    }
    if (code === OK || (code === PAUSED && this.messageComplete)) return null;
    return this.#fieldBytes > MAX_HEAD_BYTES || placeCount >= places.length
      ? 'HPE_HEADER_OVERFLOW'
      : `HPE_${text(llhttp.errorName(code)).replace(/^HPE_/, '')}`;
  }

  /** The connection has ended. Returns whether the message may end there. */
  finish(): boolean {
    current = this;
    const code = llhttp.finish(this.#address);
    current = null;
    return code === OK || (code === PAUSED && this.messageComplete);
  }

  /** Makes ready for the next message, after one that is complete. */
  next(): void {
    llhttp.resume(this.#address);
    this.begun = false;
    this.headComplete = false;
    this.messageComplete = false;
    this.urlStart = -1;
    this.#headBytes = 0;
    this.#saved = null;
    this.#fieldBytes = 0;
  }

  /** To be called once, at the end of the connection. */
  free(): void {
    if (this.#address === 0) return;
    llhttp.free(this.#address);
    this.#address = 0;
  }

  /** Returns the method of the request. */
  get method(): string {
    return methodOf(llhttp.method(this.#address));
  }

  get isHttp11(): boolean {
    return llhttp.major(this.#address) === 1 && llhttp.minor(this.#address) === 1;
  }

  /** Where the last header of the head ends, that the last run completed. */
  get headEnd(): number {
    return placeCount === 0 ? Math.max(this.urlEnd, 0) : (places[placeCount - 1] ?? 0);
  }

  /**
   * Returns name, value, name, value … of the head that the last run completed; `head` is the text of all its bytes, in
   * Latin-1.
   */
  headers(head: string): string[] {
    const count = placeCount >> 1;
    const headers = new Array<string>(count);
    for (let index = 0; index < count; index++) {
      const start = places[index << 1] ?? 0;
      let end = places[(index << 1) + 1] ?? 0;
      while (end > start && isBlank(head.charCodeAt(end - 1))) end--;
      headers[index] = head.slice(start, end);
    }
    return headers;
  }

  /** For the callbacks. */
  addUrl(start: number, length: number): void {
    if (this.urlStart === -1) this.urlStart = start;
    this.urlEnd = start + length;
    this.#fieldBytes += length;
  }

  /** For the callbacks: `turn` is 0 for a name, 2 for a value. A name or value may come in several pieces. */
  addPlace(start: number, length: number, turn: 0 | 2): number {
    this.#fieldBytes += length;
    if (this.#fieldBytes > MAX_HEAD_BYTES) return FAIL;
    // Trailers are ignored.
    if (this.headComplete) return GO_ON;
    if (((placeCount - 2) & 2) === turn && placeCount > 0 && places[placeCount - 1] === start) {
      places[placeCount - 1] = start + length;
      return GO_ON;
    }
    if ((placeCount & 2) !== turn || placeCount >= places.length) return FAIL;
    places[placeCount] = start;
    places[placeCount + 1] = start + length;
    placeCount += 2;
    return GO_ON;
  }

  /** For the callbacks. */
  completeHead(status: number, upgrade: boolean, keepAlive: boolean): number {
    this.headComplete = true;
    this.status = status;
    this.upgrade = upgrade;
    this.keepAlive = keepAlive;
    this.#fieldBytes = 0;
    this.#saved = null;
    // Informational responses have none, whatever their headers say (RFC 9112, section 6.3).
    return status >= 100 && status < 200 ? NO_BODY : GO_ON;
  }
}

/** The blanks around a value are no part of it (RFC 9112, section 5); llhttp leaves off those before it. */
function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/** Returns the pieces of body that the last run found: start, end, start, end … within the bytes that it was given. */
export function bodyFound(): readonly number[] {
  return bodyPlaces;
}

function reserve(bytes: number): void {
  if (bytes > inputBytes) {
    llhttp.freeMemory(inputAddress);
    inputBytes = bytes;
    inputAddress = llhttp.malloc(bytes);
  }
  input = new Uint8Array(llhttp.memory(), inputAddress, inputBytes);
}

const methods: (string | undefined)[] = [];

function methodOf(number: number): string {
  methods[number] ??= text(llhttp.methodName(number));
  return methods[number];
}

/** Returns a string of the library, which ends with a zero. */
function text(address: number): string {
  const bytes = Buffer.from(llhttp.memory(), address);
  return bytes.toString('latin1', 0, bytes.indexOf(0));
}

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

/** undici's llhttp misses a `close` with a tab behind it. */
export function saysClose({ connection }: UpstreamHeaders): boolean {
  return connection !== undefined && listHas(String(connection), 'close');
}

/** A 204 or 304 has no body; a server that speaks of one may send it all the same, ahead of the next response. */
export function mayHaveStrayBody(status: number, headers: UpstreamHeaders): boolean {
  if (status !== 204 && status !== 304) return false;
  const length = headers['content-length'];
  return headers['transfer-encoding'] !== undefined || (length !== undefined && Number(length) !== 0);
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

/** Returns the pieces of body in what was read, as bytes that stay; null: none. */
export function piecesOf(bytes: Buffer, own: boolean): Buffer[] | null {
  const places = bodyFound();
  if (places.length === 0) return null;
  const pieces: Buffer[] = [];
  for (let index = 0; index < places.length; index += 2) {
    const piece = bytes.subarray(places[index], places[index + 1]);
    pieces.push(own ? piece : Buffer.from(piece));
  }
  return pieces;
}

type Headers = Record<string, string | string[] | undefined>;

/** Makes objects that inherit no names. What `Object.create(null)` returns is a hash table, which is slower to fill and read. */
const NoHeaders = function NoHeaders() {} as unknown as new () => Headers;
NoHeaders.prototype = Object.create(null);

/** Returns the headers by name in lower case, in an object that inherits no names. */
export function record(raw: readonly string[]): Headers {
  const headers = new NoHeaders();
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = (raw[index] ?? '').toLowerCase();
    const value = raw[index + 1] ?? '';
    const before = headers[name];
    if (before === undefined) headers[name] = value;
    else if (typeof before === 'string') headers[name] = [before, value];
    else before.push(value);
  }
  return headers;
}

/**
 * llhttp, the HTTP/1 parser of Node and undici, in the WebAssembly build that undici carries. Owns: driving it, and the
 * places of what it found. Does not own: what a message means, and what becomes of its bytes.
 *
 * Nothing but this file runs inside of the parser: its callbacks only note places, and those who feed it read them
 * afterwards. So no handler can throw through the parser or feed it while it works.
 */
import { createRequire } from 'node:module';

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

type WasmFunction = (...args: number[]) => number;
type Callbacks = Record<string, WasmFunction>;

/** The part of the global that is used here; the library's types come with the DOM only. */
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: { env: Callbacks }) => { exports: Record<string, unknown> };
};

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

const exports = load().exports;
const llhttp = {
  alloc: wasmFunction('llhttp_alloc'),
  free: wasmFunction('llhttp_free'),
  execute: wasmFunction('llhttp_execute'),
  finish: wasmFunction('llhttp_finish'),
  resume: wasmFunction('llhttp_resume'),
  errorAt: wasmFunction('llhttp_get_error_pos'),
  errorName: wasmFunction('llhttp_errno_name'),
  method: wasmFunction('llhttp_get_method'),
  methodName: wasmFunction('llhttp_method_name'),
  major: wasmFunction('llhttp_get_http_major'),
  minor: wasmFunction('llhttp_get_http_minor'),
  malloc: wasmFunction('malloc'),
  freeMemory: wasmFunction('free'),
};

let inputBytes = INPUT_BYTES;
let inputAddress = llhttp.malloc(INPUT_BYTES);
let input = new Uint8Array(memory(), inputAddress, INPUT_BYTES);

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

function load() {
  const require = createRequire(import.meta.url);
  try {
    return new WebAssembly.Instance(
      new WebAssembly.Module(bytesOf(require('undici/lib/llhttp/llhttp_simd-wasm.js'))),
      {
        env: callbacks,
      },
    );
  } catch {
    // A processor without SIMD.
    return new WebAssembly.Instance(
      new WebAssembly.Module(bytesOf(require('undici/lib/llhttp/llhttp-wasm.js'))),
      {
        env: callbacks,
      },
    );
  }
}

function bytesOf(module: unknown): Uint8Array {
  if (module instanceof Uint8Array) return module;
  throw new Error('undici carries its llhttp in another form than this code knows');
}

function wasmFunction(name: string): WasmFunction {
  const found = exports[name];
  if (isWasmFunction(found)) return found;
  throw new Error(`undici's llhttp has no ${name}`);
}

function isWasmFunction(value: unknown): value is WasmFunction {
  return typeof value === 'function';
}

/** Grows when more is reserved; then what pointed to the old one has no length any more. */
function memory(): ArrayBuffer {
  const { memory } = exports;
  if (
    typeof memory === 'object' &&
    memory !== null &&
    'buffer' in memory &&
    memory.buffer instanceof ArrayBuffer
  ) {
    return memory.buffer;
  }
  throw new Error("undici's llhttp has no memory");
}

function reserve(bytes: number): void {
  if (bytes > inputBytes) {
    llhttp.freeMemory(inputAddress);
    inputBytes = bytes;
    inputAddress = llhttp.malloc(bytes);
  }
  input = new Uint8Array(memory(), inputAddress, inputBytes);
}

const methods: (string | undefined)[] = [];

function methodOf(number: number): string {
  methods[number] ??= text(llhttp.methodName(number));
  return methods[number];
}

/** Returns a string of the library, which ends with a zero. */
function text(address: number): string {
  const bytes = Buffer.from(memory(), address);
  return bytes.toString('latin1', 0, bytes.indexOf(0));
}

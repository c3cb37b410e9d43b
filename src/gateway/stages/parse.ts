/** Parse: from the client's bytes to what they ask for, and whether this account may ask for it. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Account, CallKind } from '../../domain/budget.ts';
import { ApiError, apiError } from '../../domain/errors.ts';
import type { Principal } from '../../domain/limit.ts';
import { ON_SHORTAGE, type OnShortage } from '../../domain/open-ended.ts';
import { includesModel } from '../../domain/price.ts';
import { storable } from '../../domain/storable.ts';
import { type CallTags, tagsOf } from '../../domain/tags.ts';
import { PARTS_BYTES_LEAST } from '../../openai/input-parts.ts';
import { PDF_IN_BASE64 } from '../../openai/pdf.ts';
import { type ParsedRequest, readRequest } from '../../openai/request.ts';
import { INLINE_BYTES, INLINE_VALUES, JsonScan, tooComplex } from '../../openai/scan.ts';
import { REQUEST_ENCODINGS } from '../../openai/wire/decode.ts';
import { unknownField } from '../../upstreams/profile.ts';
import type { BodyEnd, BodyReader } from '../../wire/exchange.ts';
import { busy, SLAB_BYTES, Slabs, tooLarge, whyNotUpload } from '../bodies.ts';
import { type Call, type Stopped, stopped } from '../call.ts';
import { whyNotCounted } from '../countable.ts';
import { withAmount } from '../denial-error.ts';
import type { GatewayDeps } from '../deps.ts';
import { isForm, readWholeForm, whyNotForm } from '../forms.ts';
import type { Authenticated } from './authenticate.ts';

export interface Parsed {
  readonly kind: 'parsed';
  readonly call: Call;
  readonly account: Account;
  readonly generation: number;
  readonly request: ParsedRequest;
  /** What of the call decides which limits touch it: its model, and whom the application calls for. */
  readonly callKind: CallKind;
  /** Tags of which it must be asked whether their values may be open; null: none. */
  readonly openTags: CallTags['open'];
  /** What the call's header says of a shortage; null: there is none. */
  readonly onShortage: OnShortage | null;
  /** What the call goes on with: the upstream that was chosen for it, and all that belongs to it. */
  readonly via: GatewayDeps;
  /** Upstreams that have failed it at no cost, and the number of this attempt. */
  readonly tried: readonly string[];
  readonly attempt: number;
}

const NONE: readonly string[] = [];

/**
 * Reads the body, bounded on its bytes as they come, and no longer than its client keeps the connection. Files are left to
 * be read when they are sent on.
 */
export function parse(deps: GatewayDeps, authenticated: Authenticated): Promise<Parsed | Stopped> {
  return new Promise((resolve, reject) => {
    const { call, route, account } = authenticated;
    const { name, request, takesJson } = route.descriptor;
    if (route.descriptor.class === 'free') {
      const error = deps.freeCalls.take(account.principal.teamId, deps.clock.monotonicMs());
      if (error !== null) {
        resolve(stopped(call, error, name, account, null));
        return;
      }
    }
    if (request === 'multipart' && (isForm(call.exchange) || !takesJson)) {
      const error = whyNotUpload(call.exchange, route.descriptor.bodyBytesMax);
      resolve(parsed(deps, authenticated, error ?? readRequest(route, EMPTY)));
      return;
    }
    if (request === 'form' || takesJson) {
      const error = whyNotForm(route, call.exchange);
      if (error !== null) {
        resolve(stopped(call, error, name, account, null));
        return;
      }
    }
    const upload = new Upload(deps, authenticated, (request) => {
      try {
        if (request instanceof Promise)
          request.then((found) => resolve(parsed(deps, authenticated, found)), reject);
        else resolve(parsed(deps, authenticated, request));
      } catch (error) {
        reject(error);
      }
    });
    call.exchange.readBody(upload);
  });
}

/** What came of a body; null: its client left. */
type Read = ParsedRequest | ApiError | null;

const EMPTY = Buffer.alloc(0);
/** Room for the first bytes of a body of unknown length. */
const FIRST_BYTES = 64 * 1024;

/** A body on its way in: scanned and gathered piece by piece. One that came whole with its head costs no more than its parsing. */
class Upload implements BodyReader {
  readonly maxBytes: number;
  readonly copies = true;
  receivedBytes = 0;
  readonly #deps: GatewayDeps;
  readonly #authenticated: Authenticated;
  readonly #onRead: (read: Read | Promise<Read>) => void;
  /** What came, and room for the rest; empty once there are slabs. */
  #bytes: Buffer = EMPTY;
  /** Of a large body. */
  #slabs: Slabs | null = null;
  /** Memory that was taken for it. */
  #roomBytes = 0;
  /** Null: the body came whole, or compressed. */
  #scan: JsonScan | null = null;
  readonly #isForm: boolean;
  #isWatched = false;
  #error: ApiError | null = null;
  #isOver = false;

  constructor(deps: GatewayDeps, authenticated: Authenticated, onRead: (read: Read | Promise<Read>) => void) {
    this.#deps = deps;
    this.#authenticated = authenticated;
    this.#onRead = onRead;
    const { route, call } = authenticated;
    this.#isForm = route.descriptor.request === 'form' && isForm(call.exchange);
    if (this.#isForm) this.maxBytes = route.descriptor.bodyBytesMax;
    else this.maxBytes = route.descriptor.request === 'none' ? FIRST_BYTES : deps.maxBodyBytes;
  }

  take(piece: Buffer): boolean {
    if (this.#isOver) return false;
    const { contentLength } = this.#authenticated.call.exchange;
    if (this.receivedBytes === 0 && piece.length === contentLength) {
      this.#bytes = piece;
      this.receivedBytes = piece.length;
      return true;
    }
    if (this.#takePart(piece, contentLength)) return true;
    // What still comes is thrown away.
    this.#forgetBytes();
    this.#authenticated.call.giveMemoryBack();
    this.#unwatch();
    return false;
  }

  done(end: BodyEnd): void {
    if (this.#isOver) return;
    const { call } = this.#authenticated;
    this.#end();
    call.ended('upload');
    if (end === 'complete') {
      this.#onRead(this.#read());
      return;
    }
    this.#forgetBytes();
    this.#onRead(end === 'gone' ? null : (this.#error ?? tooLarge(this.maxBytes)));
  }

  /** No byte came for long, or too few: the client has no call that could end in another way. */
  stalled(): void {
    if (this.#isOver) return;
    const { call } = this.#authenticated;
    this.#end();
    call.ended('upload');
    call.exchange.closeAfter();
    this.#forgetBytes();
    const message = `The upload made no progress for ${this.#deps.uploadStallMs} ms: nothing was sent on or charged.`;
    this.#onRead(apiError('request_timeout', message, { retryAfterMs: 1000 }));
  }

  #end(): void {
    this.#isOver = true;
    this.#unwatch();
  }

  #forgetBytes(): void {
    this.#slabs?.free();
    this.#bytes = EMPTY;
  }

  #unwatch(): void {
    if (this.#isWatched) this.#deps.bodies.forget(this);
    this.#isWatched = false;
  }

  #takePart(piece: Buffer, contentLength: number | null): boolean {
    if (this.receivedBytes === 0) {
      if (!this.#takeRoom(contentLength ?? Math.min(FIRST_BYTES, this.maxBytes))) return false;
      const isPlain = this.#authenticated.call.exchange.header('content-encoding') === undefined;
      if (isPlain && !this.#isForm) this.#scan = new JsonScan(this.#deps.bodyBounds);
      this.#deps.bodies.watch(this);
      this.#isWatched = true;
    }
    const length = this.receivedBytes + piece.length;
    if (
      length > this.#roomBytes &&
      !this.#takeRoom(Math.min(Math.max(length, this.#roomBytes * 2), this.maxBytes))
    )
      return false;
    if (this.#slabs === null) this.#bytes.set(piece, this.receivedBytes);
    else this.#slabs.add(piece);
    this.receivedBytes = length;
    const scan = this.#scan;
    if (scan === null || scan.push(piece.toString('latin1')) || scan.exceeded === null) return true;
    this.#error = tooComplex(scan.exceeded, this.#deps.bodyBounds);
    return false;
  }

  /** Returns whether there is memory for so many bytes in all. */
  #takeRoom(length: number): boolean {
    const { call, account } = this.#authenticated;
    const { bodies } = this.#deps;
    const isLarge = length > SLAB_BYTES;
    const room = isLarge ? Math.ceil(length / SLAB_BYTES) * SLAB_BYTES : length;
    this.#error = call.takeMemory(bodies, account.principal, room - this.#roomBytes);
    if (this.#error !== null) return false;
    this.#roomBytes = room;
    const came = this.#bytes.subarray(0, this.receivedBytes);
    if (isLarge) {
      this.#slabs ??= new Slabs(bodies);
      this.#slabs.add(came);
      this.#bytes = EMPTY;
    } else {
      this.#bytes = Buffer.allocUnsafeSlow(room);
      this.#bytes.set(came);
    }
    return true;
  }

  #read(): Read | Promise<Read> {
    const { call, route } = this.#authenticated;
    if (this.#isForm) {
      const type = call.exchange.header('content-type') ?? '';
      return readWholeForm(this.#deps, route, type, this.#joined());
    }
    const encoding = call.exchange.header('content-encoding');
    if (encoding !== undefined && route.descriptor.request !== 'none')
      return this.#decode(encoding, this.#joined());
    const slabs = this.#slabs;
    if (slabs !== null && this.#scan !== null)
      return this.#readInThread(slabs, this.#scan).finally(() => slabs.free());
    return this.#understand(this.#joined(), this.#scan);
  }

  #joined(): Buffer {
    return this.#slabs?.take() ?? this.#bytes.subarray(0, this.receivedBytes);
  }

  /** Small bodies are read at once, others in a thread, and those with a document. */
  #understand(body: Buffer, scan: JsonScan | null): Read | Promise<Read> {
    const isSmall =
      scan === null ||
      (body.length <= INLINE_BYTES && scan.values <= INLINE_VALUES && !body.includes(PDF_IN_BASE64));
    if (!isSmall) return this.#readInThread(body, scan);
    const { route } = this.#authenticated;
    return readRequest(route, body, this.#deps.bodyBounds, scan, this.#partsOf(body));
  }

  async #readInThread(body: Buffer | Slabs, scan: JsonScan): Promise<Read> {
    const { call, route, account } = this.#authenticated;
    const { bodyBounds, threads, anchors } = this.#deps;
    const { teamId } = account.principal;
    const parts = anchors === null ? 'none' : 'all';
    const read = await threads.read(teamId, route, body, bodyBounds, scan, parts);
    if (read === 'busy') return busy('too many large bodies wait to be read');
    if (!(read instanceof ApiError)) call.unsentBody = read.body;
    return read;
  }

  /** Of which inputs the parts are read that other calls may share. */
  #partsOf({ length }: Buffer): 'all' | 'continued' | 'none' {
    const { anchors, clock } = this.#deps;
    if (anchors === null || length < PARTS_BYTES_LEAST) return 'none';
    const { teamId } = this.#authenticated.account.principal;
    return anchors.isContinuing(teamId, clock.nowMs()) ? 'all' : 'continued';
  }

  async #decode(encoding: string, body: Buffer): Promise<Read> {
    const { call, account } = this.#authenticated;
    const decoded = await this.#deps.threads.decode(encoding, body, this.#deps.maxBodyBytes);
    if (decoded === 'too_large') return tooLarge(this.maxBytes);
    if (decoded === 'damaged' || decoded === 'unknown') return wrongEncoding(decoded);
    const error = call.takeMemory(this.#deps.bodies, account.principal, decoded.length);
    if (error !== null) return error;
    if (decoded.length <= FIRST_BYTES) return this.#understand(decoded, null);
    const scan = new JsonScan(this.#deps.bodyBounds);
    for (let at = 0; at < decoded.length; at += SLICE_BYTES) {
      if (!scan.push(decoded.toString('latin1', at, at + SLICE_BYTES)) && scan.exceeded !== null)
        return tooComplex(scan.exceeded, this.#deps.bodyBounds);
      await nextTurn();
    }
    return this.#understand(decoded, scan);
  }
}

/** What is scanned of a decoded body in one turn of the event loop. */
const SLICE_BYTES = 256 * 1024;

function wrongEncoding(why: 'unknown' | 'damaged'): ApiError {
  const message =
    why === 'damaged'
      ? 'The body is not what its content-encoding says.'
      : `The body's content-encoding is not read: send ${REQUEST_ENCODINGS}, or the body as it is.`;
  return apiError('invalid_request', message, { headers: { 'accept-encoding': REQUEST_ENCODINGS } });
}

function parsed(deps: GatewayDeps, authenticated: Authenticated, request: Read): Parsed | Stopped {
  const { call, route, account, generation } = authenticated;
  const { name } = route.descriptor;
  if (request instanceof ApiError) {
    const card =
      request.model === undefined ? null : deps.catalog.rates.find(request.model, deps.clock.nowMs());
    return stopped(call, card === null ? request : withAmount(request, card), name, account, null);
  }
  if (request === null) return stopped(call, null, name, account, null);
  const endUser = endUserOf(request.operation.endUser ?? call.exchange.header('x-tollgate-user'));
  const found = mayHaveTags(account, call) ? tagsOfCall(account, call, request) : NO_TAGS;
  if (found instanceof ApiError) return stopped(call, found, name, account, endUser);
  const callKind = { model: countedModel(request), endUser, tags: found.tags };
  // By OpenAI's rules a field that is not known is the upstream's business.
  const names = request.fieldNames;
  const chosen = deps.upstreams === null ? deps : deps.upstreams.choose(request, account.principal, NONE);
  const via = chosen instanceof ApiError ? deps : chosen;
  const field = names === null ? null : unknownField(via.profile, route.descriptor, names);
  const onShortage = onShortageOf(call.exchange.header('x-tollgate-on-shortage'));
  if (onShortage instanceof ApiError) return stopped(call, onShortage, name, account, endUser);
  const error =
    whyNotAllowed(account, request, callKind) ?? (chosen instanceof ApiError ? chosen : null) ?? field;
  if (error !== null) return stopped(call, error, name, account, endUser);
  call.ended('parse');
  return {
    kind: 'parsed',
    call,
    account,
    generation,
    request,
    callKind,
    openTags: found.open,
    onShortage,
    via,
    tried: NONE,
    attempt: 1,
  };
}

const NO_TAGS: CallTags = { tags: null, open: null };
const TAGS_HEADER = 'x-tollgate-tags';

function mayHaveTags({ tags, tagRules }: Account, { exchange }: Call): boolean {
  return tags !== null || tagRules.length > 0 || exchange.header(TAGS_HEADER) !== undefined;
}

function tagsOfCall(account: Account, { exchange }: Call, request: ParsedRequest): CallTags | ApiError {
  const { rawHeaders } = exchange;
  const headers = rawHeaders.filter(
    (_, at) => at % 2 === 1 && rawHeaders[at - 1]?.toLowerCase() === TAGS_HEADER,
  );
  const { billable } = request.operation;
  const { metadata } = request;
  return tagsOf(account.tagRules, { own: account.tags, headers, metadata, isBillable: billable });
}

function onShortageOf(value: string | undefined): OnShortage | ApiError | null {
  if (value === undefined) return null;
  const known = ON_SHORTAGE.find((name) => name === value);
  return known ?? apiError('invalid_request', "The header x-tollgate-on-shortage is 'shorten' or 'refuse'.");
}

/** Returns the model by which limits count a request: its own, or the name of its price; '': its file alone says it. */
export function countedModel({ operation, descriptor }: ParsedRequest): string {
  return operation.model ?? descriptor.pricedAs ?? '';
}

/** Returns why the account does not allow the request, or cannot count it; null: it does. */
export function whyNotAllowed(
  account: Account,
  { operation }: Pick<ParsedRequest, 'operation'>,
  kind: CallKind,
): ApiError | null {
  const { model, hosted, billable } = operation;
  const error = billable && account.limits.length > 0 ? whyNotCounted(account, operation, kind) : null;
  if (error !== null) return error;
  if (model !== null && !mayUse(account.principal, model)) {
    const message = `This key may not use the model '${model.slice(0, 100)}'.`;
    return apiError('model_not_allowed', message, { param: 'model' });
  }
  const images = hosted?.images ?? null;
  if (images !== null && !mayUse(account.principal, images.model)) {
    const message = `This key may not use the model '${images.model.slice(0, 100)}', which makes the images.`;
    return apiError('model_not_allowed', message, { param: `${images.param}.model` });
  }
  return null;
}

/** A name that a key, and its team, may use allows its dated snapshots too. */
function mayUse({ models, teamModels }: Principal, model: string): boolean {
  return includesModel(models, model) && includesModel(teamModels, model);
}

const END_USER_CHARACTERS_MAX = 256;

function endUserOf(name: string | undefined): string | null {
  if (name === undefined || name === '') return null;
  return storable(name.slice(0, END_USER_CHARACTERS_MAX));
}

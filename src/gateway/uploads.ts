/**
 * Bodies that are sent on as they come: files. Owns: that neither side sends faster than the other reads, and the end of an
 * upload that makes no progress. Invariant: of a body of any size no more is in memory than the sockets hold.
 */
import { type ApiError, apiError } from '../domain/errors.ts';
import type { FileCount } from '../planner/file-count.ts';
import type { BodyEnd, BodyReader, Exchange } from '../wire/exchange.ts';
import type { BodySink, BodySource } from '../wire/upstream.ts';
import { tooLarge, type Upload as WatchedUpload } from './bodies.ts';
import { errorResponse } from './denial-error.ts';
import type { GatewayDeps } from './deps.ts';
import type { CountedUpload } from './file-counts.ts';
import { type Forwarded, forward } from './stages/forward.ts';
import type { Reserved } from './stages/reserve.ts';

/** Forwards a call with the body that its client sends, and the type that the client gives it. */
export async function forwardUpload(
  deps: GatewayDeps,
  reserved: Reserved,
): Promise<Forwarded & { count: FileCount | null }> {
  const { exchange } = reserved.call;
  const isFile = reserved.descriptor.makes?.kind === 'file';
  const { fileCounts, catalog, clock } = deps;
  const type = exchange.header('content-type') ?? '';
  const counted = isFile ? fileCounts.begin(type, catalog.rates, clock.nowMs()) : null;
  const upload = new Upload(deps, exchange, reserved.descriptor.bodyBytesMax, counted);
  const request = reserved.outgoing.take();
  const headers = request.headers.map((value, at) =>
    request.headers[at - 1] === 'content-type' ? type : value,
  );
  const outgoing = { take: () => ({ ...request, headers, body: upload }) };
  const forwarded = await forward(deps, { ...reserved, outgoing });
  upload.forget();
  const { error } = upload;
  const { ending, status } = forwarded.response;
  if (error !== null || ending !== 'complete' || status >= 300) counted?.stop();
  const count = (await counted?.end()) ?? null;
  const response = error === null ? forwarded.response : errorResponse(error, forwarded.response);
  return { ...forwarded, response, count };
}

class Upload implements BodySource, BodyReader, WatchedUpload {
  readonly isStream = true;
  readonly length: number | null;
  /** Beyond its own limit it ends by itself, at once. */
  readonly maxBytes = Number.POSITIVE_INFINITY;
  receivedBytes = 0;
  /** Why the upload ended before its end; null: it did not, or its client left. */
  error: ApiError | null = null;
  readonly #deps: GatewayDeps;
  readonly #exchange: Exchange;
  #sink: BodySink | null = null;
  readonly #limitBytes: number;
  /** Reads along; null: nothing does. */
  readonly #counted: CountedUpload | null;
  #isPaused = false;
  #isAhead = false;

  constructor(deps: GatewayDeps, exchange: Exchange, limitBytes: number, counted: CountedUpload | null) {
    this.#deps = deps;
    this.#exchange = exchange;
    this.length = exchange.contentLength;
    this.#limitBytes = limitBytes;
    this.#counted = counted;
    if (counted !== null) counted.onCaughtUp = () => this.#caughtUp();
  }

  start(sink: BodySink): void {
    this.#sink = sink;
    this.#deps.bodies.watch(this);
    this.#exchange.readBody(this);
  }

  pause(): void {
    this.#isPaused = true;
    this.#exchange.pauseBody();
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    if (!this.#isAhead) this.#exchange.resumeBody();
  }

  /** No faster than it is counted. */
  #waitForCount(): void {
    if (this.#isAhead || !this.#counted?.isBehind) return;
    this.#isAhead = true;
    this.#exchange.pauseBody();
  }

  #caughtUp(): void {
    if (!this.#isAhead) return;
    this.#isAhead = false;
    if (!this.#isPaused) this.#exchange.resumeBody();
  }

  take(piece: Buffer): boolean {
    this.receivedBytes += piece.length;
    const isTooLarge = this.receivedBytes > this.#limitBytes;
    if (isTooLarge) this.#fail(tooLarge(this.#limitBytes));
    else {
      this.#counted?.push(piece);
      this.#sink?.write(piece);
      this.#waitForCount();
    }
    return !isTooLarge;
  }

  done(end: BodyEnd): void {
    this.forget();
    if (end === 'complete') this.#sink?.end();
    else this.#sink?.fail();
  }

  #fail(error: ApiError): void {
    this.error = error;
    this.forget();
    this.#sink?.fail();
  }

  /** No byte came for long, or too few. */
  stalled(): void {
    if (this.#isPaused || this.#isAhead) {
      // It is the upstream that reads slowly, which has a time limit of its own, or the count.
      this.forget();
      this.#deps.bodies.watch(this);
      return;
    }
    const { uploadStallMs } = this.#deps;
    const message = `The upload made no progress for ${uploadStallMs} ms: nothing was charged.`;
    this.#exchange.closeAfter();
    this.#fail(apiError('request_timeout', message, { retryAfterMs: 1000 }));
  }

  forget(): void {
    this.#deps.bodies.forget(this);
  }
}

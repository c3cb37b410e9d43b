/**
 * Forward: the upstream call, bytes streaming both ways; the stream's meter reads along. Owns: relaying, backpressure,
 * and reading on when the client has left. Never retries: every try is billed.
 */
import { decodeBody } from '../openai/decode.ts';
import { renderBody } from '../openai/edit.ts';
import { upstreamHeaders } from '../openai/headers.ts';
import { StreamMeter } from '../openai/stream.ts';
import type { UpstreamCall, UpstreamFailure, UpstreamHandler } from '../wire/upstream.ts';
import type { Answer, UpstreamHeaders } from './answer.ts';
import type { Call } from './call.ts';
import type { GatewayDeps } from './deps.ts';
import { beginStream } from './respond.ts';

/** Answers up to this size are kept until their end, so that their cost can stand in the headers. */
const BUFFERED_BYTES = 4 * 1024 * 1024;
/** A compressed stream's copy is metered at its end; one that is longer than this is not. */
const COPY_BYTES = 64 * 1024 * 1024;

/** Sends the call and waits for its end. Never rejects: each fault of the world is an ending. */
export function forward(deps: GatewayDeps, call: Call): Promise<Answer> {
  return new Promise((resolve) => new Exchange(deps, call, resolve).start());
}

class Exchange implements UpstreamHandler {
  readonly #deps: GatewayDeps;
  readonly #call: Call;
  readonly #resolve: (answer: Answer) => void;
  readonly #sentMs = performance.now();
  #send: UpstreamCall | null = null;
  #status = 0;
  #headers: UpstreamHeaders = {};
  #firstByteMs: number | null = null;
  #chunks: Buffer[] = [];
  #bytes = 0;
  /** The answer is passed on as it comes; otherwise it is kept until its end. */
  #relaying = false;
  #meter: StreamMeter | null = null;
  #abandoned = false;
  #ended = false;
  #patience: NodeJS.Timeout | null = null;

  constructor(deps: GatewayDeps, call: Call, resolve: (answer: Answer) => void) {
    this.#deps = deps;
    this.#call = call;
    this.#resolve = resolve;
  }

  start(): void {
    if (this.#call.isCut) {
      void this.#finish('unreachable');
      return;
    }
    const { operation } = this.#call.request!;
    const body = renderBody(this.#call.request!, {
      serviceTier: operation.serviceTier === null && operation.billable ? 'default' : undefined,
      outputLimit: this.#call.outputLimit ?? undefined,
      includeUsage: operation.stream || undefined,
    });
    const headers = upstreamHeaders(this.#call.incoming.rawHeaders, {
      apiKey: this.#deps.upstreamApiKey,
      eventId: this.#call.hold!.id,
    });
    this.#call.onClientGone = () => this.#clientLeft();
    this.#call.onCut = () => this.#send?.abort();
    this.#send = this.#deps.upstream!.send(
      {
        method: operation.method,
        path: operation.path,
        headers,
        body: operation.method === 'GET' ? null : body,
      },
      this,
    );
    if (this.#call.clientGone) this.#clientLeft();
  }

  onHeaders(status: number, headers: UpstreamHeaders): void {
    this.#firstByteMs = performance.now();
    this.#status = status;
    this.#headers = headers;
    if (status >= 400 || !String(headers['content-type'] ?? '').startsWith('text/event-stream')) return;
    const { operation } = this.#call.request!;
    if (headers['content-encoding'] === undefined || headers['content-encoding'] === 'identity') {
      this.#meter = new StreamMeter(operation.name, { stripUsage: !operation.includeUsage });
    }
    this.#relay();
  }

  onData(chunk: Buffer): void {
    if (this.#meter) {
      this.#write(this.#meter.push(chunk));
      return;
    }
    this.#bytes += chunk.length;
    if (this.#bytes <= COPY_BYTES) this.#chunks.push(chunk);
    if (this.#relaying) this.#write(chunk);
    else if (this.#bytes > BUFFERED_BYTES) {
      this.#relay();
      for (const kept of this.#chunks) this.#write(kept);
    }
  }

  onEnd(): void {
    if (this.#meter) this.#write(this.#meter.end());
    void this.#finish('complete');
  }

  onError(failure: UpstreamFailure): void {
    // Whoever ends it, a call of which no byte was sent costs nothing.
    if (failure === 'unreachable') void this.#finish(failure);
    else void this.#finish(this.#call.isCut ? 'cut' : this.#abandoned ? 'abandoned' : failure);
  }

  #relay(): void {
    this.#relaying = true;
    if (!this.#call.clientGone) beginStream(this.#deps, this.#call, this.#status, this.#headers);
  }

  #write(bytes: Buffer): void {
    const { response, clientGone } = this.#call;
    if (bytes.length === 0 || clientGone) return;
    if (response.write(bytes)) return;
    this.#send?.pause();
    response.once('drain', () => this.#send?.resume());
  }

  /** The upstream bills the answer whether or not somebody reads it: read on to learn its cost, but not for ever. */
  #clientLeft(): void {
    if (this.#ended || this.#patience) return;
    this.#send?.resume();
    this.#patience = setTimeout(() => {
      this.#abandoned = true;
      this.#send?.abort();
    }, this.#deps.abandonedTimeoutMs);
  }

  async #finish(ending: Answer['ending']): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    this.#call.onClientGone = null;
    this.#call.onCut = null;
    if (this.#patience) clearTimeout(this.#patience);
    const endedMs = performance.now();
    const copy = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks);
    this.#resolve({
      ending,
      status: this.#status,
      headers: this.#headers,
      body: this.#relaying ? null : copy,
      readable: this.#meter ? null : await this.#decoded(copy),
      metered: this.#meter?.result() ?? null,
      sawError: this.#meter?.sawError ?? false,
      firstByteUs: this.#firstByteMs === null ? null : Math.round((this.#firstByteMs - this.#sentMs) * 1000),
      totalUs: Math.round((endedMs - this.#sentMs) * 1000),
    });
  }

  async #decoded(copy: Buffer): Promise<Buffer | null> {
    if (this.#bytes > COPY_BYTES) return null;
    const encoding = this.#headers['content-encoding'];
    return encoding === undefined ? copy : await decodeBody(String(encoding), copy);
  }
}

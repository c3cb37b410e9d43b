/**
 * Forward: the upstream call, bytes streaming both ways; the stream's meter reads along. Owns: the wait for a connection
 * (domain/shares.ts says whose turn it is), relaying, back-pressure, and reading on when the client has left.
 * Never retries: every try is billed.
 */

import { type CallContent, ContentReader } from '../../domain/contents.ts';
import { asId, type EventId } from '../../domain/ids.ts';
import type { Turn } from '../../domain/shares.ts';
import { idAtStart } from '../../openai/kept.ts';
import { OutputCounter } from '../../openai/usage/count.ts';
import { audioOf } from '../../openai/usage/media.ts';
import { StreamMeter } from '../../openai/usage/stream.ts';
import { decodeBody } from '../../openai/wire/decode.ts';
import { NamesBack, type Target } from '../../upstreams/target.ts';
import type { UpstreamCall, UpstreamFailure, UpstreamHandler } from '../../wire/upstream.ts';
import type { Call, Interruption } from '../call.ts';
import { beginStream, type UpstreamHeaders, type UpstreamResponse } from '../call.ts';
import type { GatewayDeps } from '../deps.ts';
import type { Ending } from '../ending-error.ts';
import type { HeldBack, Named } from '../held-back.ts';
import { begunAs, keepBegun } from '../keep.ts';
import type { Reserved } from './reserve.ts';

/** Responses up to this size are kept until their end, so that their cost can stand in the headers. */
const BUFFERED_BYTES = 4 * 1024 * 1024;
/** A compressed stream's copy is metered at its end; one that is longer than this is not. */
const COPY_BYTES = 64 * 1024 * 1024;

export interface Forwarded {
  readonly kind: 'forwarded';
  readonly reserved: Reserved;
  readonly response: UpstreamResponse;
}

/**
 * Sends the call and waits for its end. Each failure of the network is an ending; rejects only on a bug of ours.
 * @param heldBack of a job that may stream; null: it is none
 */
export function forward(
  deps: GatewayDeps,
  reserved: Reserved,
  heldBack: HeldBack | null = null,
): Promise<Forwarded> {
  return new Promise((resolve, reject) => {
    new Relay(
      deps,
      reserved,
      heldBack,
      (response) => {
        reserved.call.ended('forward');
        resolve({ kind: 'forwarded', reserved, response });
      },
      reject,
    ).start();
  });
}

class Relay implements UpstreamHandler, Turn {
  readonly teamId: string;
  readonly #deps: GatewayDeps;
  readonly #reserved: Reserved;
  readonly #call: Call;
  readonly #resolve: (response: UpstreamResponse) => void;
  readonly #reject: (error: unknown) => void;
  #sentMs = performance.now();
  /** Of a connection to the upstream. */
  #turn: 'none' | 'waits' | 'taken' = 'none';
  #send: UpstreamCall | null = null;
  #status = 0;
  #headers: UpstreamHeaders = {};
  #firstByteMs: number | null = null;
  #chunks: Buffer[] = [];
  #bytes = 0;
  /** The response is passed on as it comes; otherwise it is kept until its end. */
  #relaying = false;
  #meter: StreamMeter | null = null;
  /** The upstream may keep what it streams, and has not said by which id. */
  #isNameless = false;
  /** Of a job that may stream; null: it is none. */
  readonly #heldBack: HeldBack | null;
  /** It goes on without this call, or costs nothing: the rest is of no use once its client has left. */
  #needsNoEnd = false;
  #abandoned = false;
  /** The client left with the whole stream: SDKs leave at `[DONE]`, which the connection's own end may follow later. */
  #hadAll = false;
  /** The client gets the audio that the events carry. */
  #carriesAudio = false;
  /** The upstream wrote more than the request allows, and was stopped. */
  #isOverLimit = false;
  #ended = false;
  #patience: NodeJS.Timeout | null = null;
  /** Of the upstream, for the whole call. */
  #deadline: NodeJS.Timeout | null = null;
  #isLate = false;
  /** Null: the client's name of the model is the upstream's. */
  #namesBack: NamesBack | null = null;
  /** Keeps what the call says, where its team wants that; null, as a rule. */
  #content: ContentReader | null = null;

  constructor(
    deps: GatewayDeps,
    reserved: Reserved,
    heldBack: HeldBack | null,
    resolve: (response: UpstreamResponse) => void,
    reject: (error: unknown) => void,
  ) {
    this.#deps = deps;
    this.#reserved = reserved;
    this.#heldBack = heldBack;
    this.#call = reserved.call;
    this.teamId = reserved.account.principal.teamId;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  start(): void {
    if (this.#call.isCut) {
      this.#finish('unsent');
      return;
    }
    this.#call.watch((interruption) => this.#interrupted(interruption));
    const { connections } = this.#deps;
    const turn = connections.enter(this);
    if (turn === 'taken') this.onTurn();
    else if (turn === 'busy') this.#finish('busy');
    else {
      this.#turn = turn;
      // Meanwhile a later call may write into its conversation, which this one does not hold.
      if (this.#reserved.kept?.conversation) {
        this.#finish('busy');
        return;
      }
      this.#patience = setTimeout(() => this.#finish('busy'), connections.timeoutMs);
      if (this.#call.clientGone) this.#finish('unsent');
    }
  }

  /** There is a connection: from here on the call may be billed. */
  onTurn(): void {
    this.#turn = 'taken';
    if (this.#patience) clearTimeout(this.#patience);
    this.#patience = null;
    this.#call.ended('connect');
    this.#sentMs = performance.now();
    const { target } = this.#deps;
    target?.health.sent(this, this.#sentMs);
    const callMs = target?.callMs ?? null;
    if (callMs !== null) this.#deadline = setTimeout(() => this.#late(), callMs);
    const request = this.#reserved.outgoing.take();
    this.#call.unsentBody = null;
    const { account, job } = this.#reserved;
    if (account.keepsContents === true && job === null && this.#deps.contents !== null) {
      this.#content = ContentReader.of(this.#reserved.descriptor.name);
      this.#content?.sends(request.body);
    }
    this.#send = this.#deps.upstream?.send(request, this) ?? null;
    if (this.#send === null) this.#finish('unreachable');
    else if (this.#call.clientGone) this.#clientLeft();
  }

  onSent(): void {
    if (this.#reserved.again === null) this.#call.giveMemoryBack();
  }

  onHeaders(status: number, headers: UpstreamHeaders): void {
    this.#firstByteMs = performance.now();
    if (this.#deps.target !== null) this.#responds(this.#deps.target, this.#firstByteMs);
    this.#status = status;
    this.#headers = headers;
    const encoding = headers['content-encoding'];
    const isPlain = isEventStream(headers) && (encoding === undefined || encoding === 'identity');
    if (status >= 400 || (this.#mustBeWhole && !(isPlain && this.#heldBack !== null))) return;
    const { descriptor, includeUsage, estimate, audioType, job } = this.#reserved;
    if (!isEventStream(headers)) {
      if (descriptor.isFile) this.#relay();
      return;
    }
    const place = descriptor.usage ?? descriptor.replays;
    if (place !== null && isPlain) {
      const { choices } = estimate;
      const isCounted = descriptor.usage !== null && place.media === undefined;
      this.#meter = new StreamMeter(place, {
        stripUsage: !includeUsage,
        choices,
        counter: isCounted ? new OutputCounter(place, this.#deps.profile.text) : null,
        outputTokensMost: this.#reserved.outputTokensSent,
      });
      if (audioType !== null)
        this.#headers = { ...headers, 'content-type': audioType, 'content-length': undefined };
      this.#carriesAudio = audioType !== null;
      this.#isNameless = this.#keepsAnswer && job === null;
      this.#needsNoEnd = descriptor.usage === null;
    }
    this.#relay();
  }

  /** What the client gets of whole lines of a stream. */
  #passed(lines: Buffer): Buffer {
    return this.#carriesAudio ? audioOf(lines) : this.#named(lines);
  }

  #responds({ health, modelNames }: Target, nowMs: number): void {
    health.responded(this, nowMs);
    const { model } = this.#reserved.callKind;
    const nameThere = modelNames.get(model);
    if (nameThere !== undefined) this.#namesBack = new NamesBack(model, nameThere);
  }

  onData(chunk: Buffer): void {
    if (this.#content !== null) this.#content.responds(chunk);
    if (this.#meter) {
      const passed = this.#passed(this.#meter.push(chunk));
      if (this.#isNameless && this.#meter.isNamed) {
        this.#isNameless = false;
        keepBegun(this.#deps, this.#reserved, this.#meter.result());
      }
      if (this.#heldBack?.begin(this.#meter, (...named) => this.#passOn(...named))) this.#send?.pause();
      this.#write(passed);
      // One that is whole has said what it costs; what goes on beyond its limit is not waited for.
      if (this.#meter.isOver && !this.#heldBack?.waits) this.#overLimit();
      return;
    }
    this.#bytes += chunk.length;
    const { usage, isFile } = this.#reserved.descriptor;
    const isRead = !this.#relaying || (usage !== null && !isFile);
    if (isRead && this.#bytes <= COPY_BYTES) this.#chunks.push(chunk);
    if (this.#relaying) this.#write(chunk);
    else if (this.#bytes > BUFFERED_BYTES && !this.#mustBeWhole) {
      const id = this.#chunks[0] && this.#keepsAnswer ? idAtStart(this.#chunks[0]) : null;
      if (id !== null) keepBegun(this.#deps, this.#reserved, begunAs(id));
      this.#relay();
      for (const kept of this.#chunks) this.#write(kept);
    }
  }

  onEnd(): void {
    if (this.#meter) this.#write(this.#passed(this.#meter.end()));
    this.#finish('complete');
  }

  onError(failure: UpstreamFailure): void {
    // Whatever ends it, a call of which no byte was sent costs nothing.
    if (failure === 'unreachable') this.#finish(failure);
    else if (this.#isOverLimit) this.#finish('over_limit');
    else if (this.#isLate) this.#finish('timeout');
    else this.#finish(this.#call.isCut ? 'cut' : this.#abandoned ? 'abandoned' : failure);
  }

  /** What it says of objects comes before the client: others' are left out, and its own recorded. */
  get #mustBeWhole(): boolean {
    const { lists, makes, class: kind } = this.#reserved.descriptor;
    return lists !== null || (makes !== null && kind !== 'metered') || this.#reserved.job !== null;
  }

  get #keepsAnswer(): boolean {
    return this.#reserved.kept?.isStored ?? false;
  }

  /** The job has been taken over, or was none. */
  #passOn(as: Named, held: readonly Buffer[], ending: Ending | null): void {
    if (as === 'job') {
      this.#needsNoEnd = true;
      this.#meter?.unlimited();
    }
    if (as !== 'failed') for (const bytes of held) this.#write(bytes);
    if (ending !== null) this.#finish(ending);
    else if (as === 'failed') this.#send?.abort();
    else if (this.#call.clientGone && as === 'job') this.#abandon();
    else this.#send?.resume();
  }

  #overLimit(): void {
    this.#isOverLimit = true;
    this.#send?.abort();
  }

  #late(): void {
    this.#isLate = true;
    this.#send?.abort();
  }

  /** With the client's name of the model. */
  #named(bytes: Buffer): Buffer {
    return this.#namesBack === null ? bytes : this.#namesBack.replaced(bytes);
  }

  #relay(): void {
    if (!this.#call.clientGone) beginStream(this.#deps, this.#reserved, this.#status, this.#headers);
    this.#relaying = true;
  }

  #write(bytes: Buffer): void {
    if (this.#heldBack?.holds(bytes)) return;
    const { exchange, clientGone } = this.#call;
    if (bytes.length === 0 || clientGone) return;
    if (exchange.write(bytes)) return;
    this.#send?.pause();
    exchange.onDrain = () => this.#send?.resume();
  }

  #interrupted(interruption: Interruption): void {
    if (this.#turn === 'waits') this.#finish('unsent');
    else if (interruption === 'cut') this.#send?.abort();
    else this.#clientLeft();
  }

  /**
   * Most upstreams bill the response whether or not it is read: read on to learn its cost, but not for ever. One that
   * works for this call alone can be stopped, which leaves the cost unknown.
   */
  #clientLeft(): void {
    if (this.#ended || this.#patience) return;
    if (this.#needsNoEnd) {
      this.#abandon();
      return;
    }
    const { account } = this.#reserved;
    // A job goes on without its client: what it is called must be learnt.
    const isJob = this.#reserved.job !== null;
    this.#hadAll = this.#meter?.isWhole ?? false;
    if (!isJob && !this.#hadAll && (account.onClientGone ?? this.#deps.profile.onClientGone) === 'cancel') {
      this.#abandon();
      return;
    }
    this.#send?.resume();
    this.#patience = setTimeout(() => this.#abandon(), this.#deps.abandonedTimeoutMs);
  }

  #abandon(): void {
    this.#abandoned = true;
    this.#send?.abort();
  }

  #finish(ending: Ending): void {
    if (this.#ended || this.#heldBack?.holdsEnd(ending)) return;
    this.#ended = true;
    this.#call.unwatch();
    this.#call.exchange.onDrain = null;
    if (this.#patience) clearTimeout(this.#patience);
    if (this.#deadline) clearTimeout(this.#deadline);
    const { connections, target } = this.#deps;
    target?.health.ended(this);
    if (this.#turn === 'taken') connections.release(this.teamId);
    else {
      this.#call.ended('connect');
      if (this.#turn === 'waits') connections.leave(this);
    }
    const totalUs = Math.round((performance.now() - this.#sentMs) * 1000);
    const [only] = this.#chunks;
    const copy = this.#chunks.length === 1 && only ? only : Buffer.concat(this.#chunks);
    const encoding = this.#headers['content-encoding'];
    if (this.#meter || this.#bytes > COPY_BYTES) this.#resolve(this.#responseOf(ending, totalUs, copy, null));
    else if (encoding === undefined) this.#resolve(this.#responseOf(ending, totalUs, copy, copy));
    else {
      decodeBody(String(encoding), copy).then(
        (decoded) => this.#resolve(this.#responseOf(ending, totalUs, copy, decoded)),
        this.#reject,
      );
    }
  }

  #responseOf(ending: Ending, totalUs: number, copy: Buffer, readable: Buffer | null): UpstreamResponse {
    return {
      ending,
      status: this.#status,
      headers: this.#headers,
      body: this.#relaying ? null : readable === copy ? this.#named(copy) : copy,
      readable,
      stream: this.#meter,
      firstByteUs: this.#firstByteMs === null ? null : Math.round((this.#firstByteMs - this.#sentMs) * 1000),
      totalUs,
      hadAll: this.#hadAll,
      content: ending === 'complete' && this.#content !== null ? this.#said(this.#content) : null,
    };
  }

  #said(content: ContentReader): CallContent {
    const { hold } = this.#reserved;
    const eventId = asId<EventId>(hold.id);
    return content.end({ teamId: asId(this.teamId), eventId, atMs: hold.reservation.atMs });
  }
}

/** Whether a response is a stream of server-sent events. */
export function isEventStream(headers: UpstreamHeaders): boolean {
  return String(headers['content-type'] ?? '').startsWith('text/event-stream');
}

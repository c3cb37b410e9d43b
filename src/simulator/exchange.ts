/** One request until its line and its response: however it ends, it leaves exactly one line. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Deployments } from './azure.ts';
import { cutConnection, type Delivery, deliver, Taken } from './deliver.ts';
import type { Directives } from './directives.ts';
import { type ApiError, errorBody } from './errors.ts';
import type { Fault } from './faults.ts';
import { responseHeaders } from './headers.ts';
import type { Containers } from './hosted.ts';
import { type Invoice, type LineEntry, NO_USAGE } from './invoice.ts';
import type { KeptState } from './kept.ts';
import { type AcceptedKeys, apiKeyIdOf } from './keys.ts';
import type { Planted } from './plant.ts';
import type { Usage } from './prices.ts';
import type { Mode, Profile, UsageReports } from './profile.ts';
import { type Random, randomHex, seededRandom } from './random.ts';
import type { StoredState } from './stored.ts';

export interface ApiState {
  seed: number;
  mode: Mode;
  profile: Profile;
  keys: AcceptedKeys;
  invoice: Invoice;
  kept: KeptState;
  stored: StoredState;
  containers: Containers;
  /** What costs differ in from the invoice, as a test planted it. */
  planted: Planted;
  /** Requests so far: the key of randomness where the client gave none. */
  requestCount: number;
  /** Open requests by the id of their key; a key without any has no entry. */
  inFlight: Map<string, number>;
  /** Streams whose client says what it has, by their `x-client-request-id`. */
  taken: Map<string, Taken>;
  /** Null: it speaks as OpenAI does. */
  deployments: Deployments | null;
}

export class Exchange {
  readonly state: ApiState;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** What all randomness of this request derives from, with the seed. */
  readonly key: string;
  readonly random: Random;
  readonly entry: LineEntry;
  directives: Directives = {};
  fault: Fault | null = null;
  /** What is billed of a request that no model serves. */
  feePicoUsd = 0n;

  private constructor(state: ApiState, request: IncomingMessage, response: ServerResponse) {
    const header = request.headers['x-client-request-id'];
    const clientId = typeof header === 'string' ? header : null;
    this.state = state;
    this.request = request;
    this.response = response;
    this.key = clientId ?? `#${state.requestCount}`;
    this.random = seededRandom(state.seed, this.key);
    this.entry = newEntry(state, request, this.random);
  }

  static begin(state: ApiState, request: IncomingMessage, response: ServerResponse): Exchange {
    state.requestCount++;
    const exchange = new Exchange(state, request, response);
    const keyId = exchange.entry.api_key_id ?? 'none';
    count(state.inFlight, keyId, 1);
    response.once('close', () => count(state.inFlight, keyId, -1));
    return exchange;
  }

  respondError(error: ApiError): void {
    this.send(error.status, 'application/json', errorBody(error), 0n);
  }

  /**
   * Writes the line, then the response.
   * @param billUpTo what is billed of a stream of which so many events were written; missing: all, whatever was
   */
  send(
    status: number,
    contentType: string,
    body: string | string[] | Buffer,
    costPicoUsd: bigint,
    billUpTo?: (eventsWritten: number) => { usage: Usage; costPicoUsd: bigint },
  ): void {
    const { profile } = this.state;
    const fault = this.fault?.name;
    this.entry.status = status;
    this.entry.fault = fault ?? null;
    const line = this.state.invoice.add(this.entry, costPicoUsd);
    const delivery: Delivery = {
      status,
      headers: responseHeaders(this.entry.request_id, contentType, this.random),
      body,
      firstByteMs: this.directives.firstByteMs ?? profile.firstByteMs,
      chunkMs: this.directives.chunkMs ?? profile.chunkMs,
      lastEventMs: this.#usageReports === 'late' ? profile.usageDelayMs : 0,
      cut: fault === 'cut_mid_stream',
      gzip: fault === 'gzip',
    };
    if (profile.outputTokensPerSecond > 0) {
      const writingMs = (1000 * this.entry.usage.output_tokens) / profile.outputTokensPerSecond;
      if (!Array.isArray(body)) delivery.firstByteMs += writingMs;
      else delivery.chunkMs += Math.ceil(writingMs / body.length);
    }
    if (fault === 'slow_first_byte')
      delivery.firstByteMs = Math.max(delivery.firstByteMs, profile.slowFirstByteMs);
    if (fault === 'slow_chunks') delivery.chunkMs = Math.max(delivery.chunkMs, profile.slowChunkMs);
    if (fault === 'rate_limit') {
      delivery.headers['retry-after-ms'] = String(profile.retryAfterMs);
      delivery.headers['retry-after'] = String(Math.ceil(profile.retryAfterMs / 1000));
    }
    if (this.directives.awaitsClient) delivery.taken = this.#taken();
    const completed = (): void => {
      line.completed = true;
    };
    deliver(this.response, delivery, completed, (eventsWritten) => {
      if (!billUpTo) return;
      const billed = billUpTo(eventsWritten);
      this.state.invoice.amend(line, billed.usage, billed.costPicoUsd);
    });
  }

  #taken(): Taken {
    const taken = new Taken();
    this.state.taken.set(this.key, taken);
    this.response.once('close', () => this.state.taken.delete(this.key));
    return taken;
  }

  get #usageReports(): UsageReports {
    return this.directives.usageReports ?? this.state.profile.usageReports;
  }

  /** Writes the line and never responds: cuts the connection at once, or leaves it open. */
  vanish(costPicoUsd: bigint): void {
    this.entry.status = null;
    this.entry.fault = this.fault?.name ?? null;
    this.state.invoice.add(this.entry, costPicoUsd);
    if (this.fault?.name === 'cut_before_headers') cutConnection(this.response);
  }
}

/** A line to be, of a request or of a part of it. */
export function newEntry(state: ApiState, request: IncomingMessage, random: Random): LineEntry {
  const header = request.headers['x-client-request-id'];
  return {
    // Seeded, and still unique when a client id is used twice.
    request_id: `req_${randomHex(random, 24)}${state.requestCount.toString(16).padStart(8, '0')}`,
    client_request_id: typeof header === 'string' ? header : null,
    api_key_id: apiKeyIdOf(request.headers.authorization),
    operation: null,
    model: null,
    service_tier: null,
    status: null,
    usage: NO_USAGE,
    fault: null,
  };
}

export function count(counts: Map<string, number>, key: string, change: 1 | -1): void {
  const next = (counts.get(key) ?? 0) + change;
  if (next === 0) counts.delete(key);
  else counts.set(key, next);
}

/**
 * The simulated OpenAI: a real HTTP server that keeps its own invoice.
 * Owns: the wire as the real API speaks it, its own prices, what each request costs, the faults it injects.
 * Does not own: anything of Tollgate. It imports nothing from outside this folder, for it is the judge of our money.
 * Invariants: every request to `/v1` leaves one line, before the response's first byte; a client that leaves is
 * billed in full; the same seed and `x-client-request-id` meet the same fate.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { handleApi } from './api.ts';
import { type Deployments, fromAzure } from './azure.ts';
import { handleControl } from './control.ts';
import { BODY_TOO_LARGE } from './errors.ts';
import { type ApiState, Exchange } from './exchange.ts';
import { Containers } from './hosted.ts';
import { Invoice, type InvoiceLine, type InvoiceSummary } from './invoice.ts';
import { KeptState } from './kept.ts';
import { Planted } from './plant.ts';
import { DEFAULT_PROFILE, type Mode, mergeProfile, type Profile } from './profile.ts';
import { serveRealtime } from './realtime.ts';
import { serveTranslation } from './realtime-translation.ts';
import { socketServer } from './socket.ts';
import { serveResponses } from './socket-responses.ts';
import { StoredState } from './stored.ts';

export interface SimulatorOptions {
  /** 0, the default: any free port. */
  port?: number;
  /** Default 127.0.0.1. */
  host?: string;
  /** A 32-bit integer, default 1. */
  seed?: number;
  mode?: Mode;
  /** Changes to the default profile: output lengths, latency, tiers, faults. */
  profile?: Partial<Profile>;
  /** The only key that is accepted; default: any. */
  apiKey?: string;
  /** The only key that opens the usage reports; default: any that begins with `sk-admin-`. */
  adminKey?: string;
  /** It is Azure's, with these deployments; missing: OpenAI's. */
  deployments?: Deployments;
  /** How many invoice lines to keep in memory (default 1,000,000); the total covers all. */
  maxInvoiceLines?: number;
}

export interface Simulator {
  /** The base URL for clients: `http://127.0.0.1:8788/v1`. */
  url: string;
  port: number;
  invoice(): { lines: InvoiceLine[] } & InvoiceSummary;
  /** From the next request on. Throws a RangeError on a profile that makes no sense. */
  setProfile(change: Partial<Profile>): void;
  setMode(mode: Mode): void;
  /** Stops at once: open connections are cut. */
  close(): Promise<void>;
}

const MAX_BODY_BYTES = 64 * 1024 * 1024;

/** Starts listening. Rejects when the port is taken; throws a RangeError on a profile that makes no sense. */
export async function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const { port = 0, host = '127.0.0.1', seed = 1, mode = 'normal', maxInvoiceLines = 1_000_000 } = options;
  const state: ApiState = {
    seed,
    mode,
    profile: mergeProfile(DEFAULT_PROFILE, options.profile ?? {}),
    keys: { apiKey: options.apiKey ?? null, adminKey: options.adminKey ?? null },
    invoice: new Invoice(maxInvoiceLines),
    kept: new KeptState(),
    stored: new StoredState(),
    containers: new Containers(),
    planted: new Planted(),
    requestCount: 0,
    inFlight: new Map(),
    taken: new Map(),
    deployments: options.deployments ?? null,
  };
  // Longer than any client keeps an idle connection: who closes first must not be this side, or requests get lost.
  const server = createServer({ keepAliveTimeout: 120_000, requestTimeout: 0 }, (request, response) => {
    receive(state, request, response);
  });
  const sockets = socketServer(state, {
    '/v1/responses': serveResponses,
    '/v1/realtime': serveRealtime,
    '/v1/realtime/translations': serveTranslation,
  });
  server.on('upgrade', sockets.upgrade);
  server.listen(port, host);
  await once(server, 'listening');
  const address = server.address() as AddressInfo;
  const authority =
    address.family === 'IPv6' ? `[${address.address}]:${address.port}` : `${address.address}:${address.port}`;
  return {
    url: `http://${authority}${state.deployments === null ? '' : '/openai'}/v1`,
    port: address.port,
    invoice: () => ({ lines: state.invoice.lines(), ...state.invoice.summary() }),
    setProfile: (change) => {
      state.profile = mergeProfile(state.profile, change);
    },
    setMode: (next) => {
      state.mode = next;
    },
    close: async () => {
      if (!server.listening) return;
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      sockets.close();
      await closed;
    },
  };
}

/** Gathers the body; a request that breaks off before its end was never received, and is not billed. */
function receive(state: ApiState, request: IncomingMessage, response: ServerResponse): void {
  const chunks: Buffer[] = [];
  let bytes = 0;
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= MAX_BODY_BYTES) chunks.push(chunk);
    else chunks.length = 0;
  });
  request.on('end', () => {
    const [first] = chunks;
    const body = first !== undefined && chunks.length === 1 ? first : Buffer.concat(chunks);
    if (state.deployments !== null && request.url?.startsWith('/openai/'))
      receiveFromAzure(state, state.deployments, request, response, body);
    else if (!request.url?.startsWith('/v1/')) handleControl(state, request, response, body);
    else if (bytes > MAX_BODY_BYTES) Exchange.begin(state, request, response).respondError(BODY_TOO_LARGE);
    else handleApi(Exchange.begin(state, request, response), body);
  });
  // A broken connection is the client's affair; without a listener it would end the process.
  request.on('error', () => {});
  response.on('error', () => {});
}

function receiveFromAzure(
  state: ApiState,
  deployments: Deployments,
  request: IncomingMessage,
  response: ServerResponse,
  body: Buffer,
): void {
  const read = fromAzure(request, body, deployments);
  const exchange = Exchange.begin(state, request, response);
  if (Buffer.isBuffer(read)) handleApi(exchange, read);
  else exchange.send(read.status, 'application/json', read.body, 0n);
}

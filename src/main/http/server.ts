/**
 * The HTTP server: the usual requests under `/v1` go straight from the wire to the gateway (docs/decisions); everything
 * else on the same port is Node's, and Hono's where it is no call.
 */
import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { getRequestListener } from '@hono/node-server';
import type { Hono } from 'hono';
import { SELF_SERVICE_ROOT } from '../../admin/self-service.ts';
import { type ApiError, apiError, ERRORS } from '../../domain/errors.ts';
import type { Gateway } from '../../gateway/gateway.ts';
import { startJob } from '../../jobs/every.ts';
import { isAlias } from '../../openai/operations/aliases.ts';
import { errorBody, errorHeaders } from '../../openai/wire/errors.ts';
import { nodeExchange } from '../../wire/node-exchange.ts';
import { createWireServer, type WireServer } from '../../wire/server.ts';
import { orCannotStart } from '../open.ts';
import type { TlsPair } from '../tls.ts';

/** Longer than the idle time of usual load balancers, so that they and not we close an idle connection. */
const KEEP_ALIVE_MS = 75_000;

/** As long as for the head of a request. */
const HANDSHAKE_MS = 30_000;

/** What a key's holder asks of Tollgate itself: no call, though it begins like one. */
const OWN = `${SELF_SERVICE_ROOT}/`;
const CALLS = { under: '/v1/', except: OWN };

export interface HttpServer {
  node: Server | TlsServer;
  wire: WireServer;
}

/** Reads what still comes of a request that has its response, for as long as a request may take; as Node does by itself. */
function discardRest(request: IncomingMessage): void {
  if (request.complete) return;
  request.removeAllListeners('data');
  request.resume();
}

/**
 * @param stallMs a client that takes no byte of a response for so long is cut off
 * @param tls null: plain HTTP
 */
export function createHttpServer(
  gateway: Gateway,
  rest: Hono,
  stallMs: number,
  tls: TlsPair | null,
): HttpServer {
  // Hono ends the connection half a second after an early response that said keep-alive: its own reader holds the body up.
  const others = getRequestListener(rest.fetch, { autoCleanupIncoming: false });
  const handle = (request: IncomingMessage, response: ServerResponse) => {
    if (hasTwoHosts(request.rawHeaders)) {
      server.emit('clientError', new Error('the request has two Host headers'), request.socket);
      return;
    }
    if (isCall(request.method ?? '', request.url ?? '')) gateway.handle(nodeExchange(request, response));
    else {
      response.once('finish', () => discardRest(request));
      void others(request, response);
    }
  };
  // All other requests to change the protocol are served as if they had not asked.
  const shouldUpgradeCallback = (request: IncomingMessage) => isSession(gateway, request);
  const server =
    tls === null
      ? createServer({ shouldUpgradeCallback }, handle)
      : createTlsServer({ ...tls, shouldUpgradeCallback, handshakeTimeout: HANDSHAKE_MS }, handle);
  server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    if (isSession(gateway, request) && !hasTwoHosts(request.rawHeaders))
      gateway.lines.connect(request, socket, head);
    else socket.destroy();
  });
  // A request with an unknown expectation is served.
  server.on('checkExpectation', handle);
  server.on('clientError', respondToBroken);
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  // A long prompt over a slow line is fine, headers that trickle in are not.
  server.headersTimeout = 30_000;
  server.requestTimeout = 300_000;
  const wire = createWireServer({
    http: server,
    targets: CALLS,
    handler: gateway,
    stallMs,
  });
  return { node: server, wire };
}

/** Node takes the first of them; what stands before us may have taken the other. */
function hasTwoHosts(rawHeaders: readonly string[]): boolean {
  let hosts = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) if (rawHeaders[at]?.toLowerCase() === 'host') hosts++;
  return hosts > 1;
}

/** Whether a request asks for a WebSocket at a target that has one. */
function isSession(
  { lines }: Gateway,
  { method, url = '', headers: { upgrade = '' } }: IncomingMessage,
): boolean {
  return method === 'GET' && upgrade.toLowerCase() === 'websocket' && isCall(method, url) && lines.takes(url);
}

function isCall(method: string, url: string): boolean {
  if (url.startsWith(CALLS.except)) return false;
  return url.startsWith(CALLS.under) || isAlias(method, url);
}

const BROKEN: Record<string, ApiError> = {
  HPE_HEADER_OVERFLOW: apiError('invalid_request', 'The headers are larger than this gateway reads.'),
  ERR_HTTP_REQUEST_TIMEOUT: apiError('request_timeout', 'The request did not arrive in time.'),
};
const NO_HTTP = apiError('invalid_request', 'The request is not valid HTTP.');

/**
 * What is no HTTP is refused in the shape that clients of the API read, where Node's own answer has no body. It never
 * goes into the middle of another answer on the same connection: that client would take it for the rest of it.
 */
function respondToBroken(error: NodeJS.ErrnoException & { rawPacket?: Buffer }, socket: Duplex): void {
  // Without a handshake nothing can be said.
  if (socket instanceof TLSSocket && socket.getCipher() === undefined) {
    socket.destroy(error);
    return;
  }
  const { _httpMessage: answering } = socket as Duplex & { _httpMessage?: ServerResponse | null };
  if (socket.writable && error.code !== 'ECONNRESET' && !answering?.headersSent) {
    const invalid = BROKEN[error.code ?? ''] ?? NO_HTTP;
    const { status } = ERRORS[invalid.code];
    const body = errorBody(invalid);
    // The response to a HEAD has none, and its client would not expect it.
    const isHead = error.rawPacket?.toString('latin1', 0, 5) === 'HEAD ';
    const headers = { ...errorHeaders(invalid), 'content-length': body.length, connection: 'close' };
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.write(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n${isHead ? '' : body}`);
  }
  socket.destroy(error);
}

/**
 * Listens; returns the port.
 * @throws CannotStart when the port is taken, or may not be had
 */
export async function listen({ node: server }: HttpServer, port: number, host: string): Promise<number> {
  const listening = new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  await orCannotStart(
    () => listening,
    (why, error) =>
      (error as NodeJS.ErrnoException).code === 'EADDRINUSE'
        ? `port ${port} on ${host} is in use: stop what listens there, or set PORT to another one`
        : `cannot listen on port ${port} of ${host}: ${why} (see PORT and HOST)`,
  );
  const address = server.address();
  return typeof address === 'object' && address ? address.port : port;
}

/** How long open responses of the admin API and pages may take when the server closes. */
const LAST_ANSWERS_MS = 1000;

/** Ends the server: connections close as they become idle, and soon all of them. */
export async function close({ node: server, wire }: HttpServer): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve));
  // A connection that was busy when the server closed would otherwise be kept alive after its answer.
  const idle = startJob({
    intervalMs: 20,
    run() {
      server.closeIdleConnections();
      wire.closeIdleConnections();
    },
  });
  const last = setTimeout(() => {
    server.closeAllConnections();
    wire.closeAllConnections();
  }, LAST_ANSWERS_MS);
  await closed;
  await idle.stop();
  clearTimeout(last);
}

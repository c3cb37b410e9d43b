/**
 * The HTTP server: `/v1` goes straight to the gateway, on Node's own request and response, because the conversions of a
 * web framework cost more than the whole path (docs/decisions); everything else is Hono's.
 */
import { createServer, type Server } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import type { Hono } from 'hono';
import type { Gateway } from '../gateway/gateway.ts';
import { orCannotStart } from './cannot-start.ts';

/** Longer than the idle time of usual load balancers, so that they and not we close an idle connection. */
const KEEP_ALIVE_MS = 75_000;

export function createHttpServer(gateway: Gateway, rest: Hono): Server {
  const others = getRequestListener(rest.fetch);
  const server = createServer((request, response) => {
    if (request.url?.startsWith('/v1/')) gateway.handle(request, response);
    else void others(request, response);
  });
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  // A long prompt over a slow line is fine, headers that trickle in are not.
  server.headersTimeout = 30_000;
  server.requestTimeout = 300_000;
  return server;
}

/**
 * Listens; answers the port.
 * @throws CannotStart when the port is taken, or may not be had
 */
export async function listen(server: Server, port: number, host: string): Promise<number> {
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

/** How long answers of the admin API and pages that are being sent may take when the server closes. */
const LAST_ANSWERS_MS = 1000;

/** Ends the server: connections close as they become idle, and soon all of them. */
export async function close(server: Server): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve));
  // A connection that was busy when the server closed would otherwise be kept alive after its answer.
  const idle = setInterval(() => server.closeIdleConnections(), 20);
  const last = setTimeout(() => server.closeAllConnections(), LAST_ANSWERS_MS);
  await closed;
  clearInterval(idle);
  clearTimeout(last);
}

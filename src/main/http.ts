/**
 * The HTTP server: `/v1` goes straight to the gateway, on Node's own request and response, because the conversions of a
 * web framework cost more than the whole path (docs/decisions); everything else is Hono's.
 */
import { createServer, type Server } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import type { Hono } from 'hono';
import type { Gateway } from '../gateway/gateway.ts';

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

/** Listens; rejects with the system's error (port taken, no permission). Answers the port. */
export function listen(server: Server, port: number, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      const address = server.address();
      resolve(typeof address === 'object' && address ? address.port : port);
    });
  });
}

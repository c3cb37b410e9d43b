/**
 * What the wire itself costs: the same pass-through proxy as `bare.ts`, with the wire in the place of `node:http` and
 * undici. It counts nothing and understands no body; hop-by-hop headers are dropped.
 *
 * Arguments: the upstream's origin, and how many connections its pool may open.
 */
import { createServer } from 'node:http';
import { createUpstream } from '../src/wire/client.ts';
import type { BodyEnd, Exchange } from '../src/wire/exchange.ts';
import { nodeExchange } from '../src/wire/node-exchange.ts';
import { createWireServer } from '../src/wire/server.ts';
import type { UpstreamHandler, UpstreamHeaders } from '../src/wire/upstream.ts';
import { readyWithPort } from './child.ts';

const [origin = '', connections] = process.argv.slice(2);
const upstream = createUpstream({
  baseUrl: origin,
  connections: Number(connections),
  connectTimeoutMs: 10_000,
  pausedTimeoutMs: 0,
  headersTimeoutMs: 300_000,
  bodyTimeoutMs: 300_000,
});

const HOP_BY_HOP = new Set(['connection', 'host', 'keep-alive', 'transfer-encoding', 'content-length']);
const MAX_BYTES = 64 * 1024 * 1024;

function endToEndHeaders(raw: readonly string[]): string[] {
  const kept: string[] = [];
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = raw[index] ?? '';
    if (!HOP_BY_HOP.has(name.toLowerCase())) kept.push(name, raw[index + 1] ?? '');
  }
  return kept;
}

/** As the gateway does: what has a length is sent whole, the rest as it comes. */
function passInto(exchange: Exchange): UpstreamHandler {
  let status = 0;
  let flat: string[] = [];
  let whole: Buffer | null = null;
  let length = -1;
  return {
    onHeaders(code: number, headers: UpstreamHeaders) {
      status = code;
      for (const name in headers) {
        const value = headers[name];
        if (typeof value === 'string' && !HOP_BY_HOP.has(name)) flat.push(name, value);
      }
      length = headers['content-length'] === undefined ? -1 : Number(headers['content-length']);
      if (length === -1) exchange.writeHead(status, flat);
    },
    onData(chunk) {
      if (length === -1) exchange.write(chunk);
      else whole = whole === null ? chunk : Buffer.concat([whole, chunk]);
    },
    onEnd() {
      if (length === -1) exchange.end();
      else exchange.respond(status, flat, whole ?? Buffer.alloc(0));
      flat = [];
    },
    onError() {
      if (exchange.headersSent) exchange.destroy();
      else exchange.respond(502, [], Buffer.alloc(0));
    },
  };
}

function handle(exchange: Exchange): void {
  const pieces: Buffer[] = [];
  const take = (piece: Buffer) => pieces.push(piece) > 0;
  const done = (end: BodyEnd) => {
    if (end !== 'complete') return;
    const [first = null] = pieces;
    const body = pieces.length > 1 ? pieces : first;
    const method = exchange.method === 'GET' ? 'GET' : 'POST';
    const headers = endToEndHeaders(exchange.rawHeaders);
    const call = upstream.send({ method, path: exchange.url, headers, body }, passInto(exchange));
    exchange.onClose = (finished) => {
      if (!finished) call.abort();
    };
  };
  exchange.readBody({ maxBytes: MAX_BYTES, take, done });
}

const server = createServer((request, response) => handle(nodeExchange(request, response)));
createWireServer({ http: server, targets: { under: '/v1/', except: '/v1/tollgate/' }, handler: { handle } });
server.listen(0, '127.0.0.1', () => readyWithPort(server));
process.on('SIGTERM', () => process.exit(0));

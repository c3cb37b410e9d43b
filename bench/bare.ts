/**
 * The yardstick: the least that a pass-through proxy on `node:http` and undici has to do. It parses no body, keeps no
 * count, and pipes bytes both ways with back-pressure; hop-by-hop headers are dropped, as any proxy must (RFC 9110 7.6.1).
 * A WebSocket is passed on message by message, with `ws` on both sides.
 *
 * Arguments: the upstream's origin, and how many connections its pool may open.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { type Dispatcher, Pool } from 'undici';
import { type RawData, WebSocket, WebSocketServer } from 'ws';
import { readyWithPort } from './child.ts';

const [origin, connections] = process.argv.slice(2);
const pool = new Pool(origin!, { connections: Number(connections) });

const HOP_BY_HOP = new Set(['connection', 'host', 'keep-alive', 'transfer-encoding']);

function endToEndHeaders(message: IncomingMessage): string[] {
  const kept: string[] = [];
  const raw = message.rawHeaders;
  for (let index = 0; index < raw.length; index += 2) {
    if (!HOP_BY_HOP.has(raw[index]!.toLowerCase())) kept.push(raw[index]!, raw[index + 1]!);
  }
  return kept;
}

function pipeInto(response: ServerResponse): Dispatcher.DispatchHandler {
  return {
    onRequestStart(controller) {
      response.on('drain', () => controller.resume());
      response.on('close', () => {
        if (!response.writableFinished) controller.abort(new Error('the client went away'));
      });
    },
    onResponseStart(_controller, status, headers) {
      const { connection: _, 'keep-alive': __, 'transfer-encoding': ___, ...kept } = headers;
      response.writeHead(status, kept);
    },
    onResponseData(controller, chunk) {
      if (!response.write(chunk)) controller.pause();
    },
    onResponseEnd() {
      response.end();
    },
    onResponseError() {
      if (response.headersSent) response.destroy();
      else response.writeHead(502).end();
    },
  };
}

const server = createServer((request, response) => {
  const options = {
    path: request.url!,
    method: request.method as Dispatcher.HttpMethod,
    headers: endToEndHeaders(request),
    body: request,
  };
  pool.dispatch(options, pipeInto(response));
});

const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });

/** What comes before the upstream's side is open waits for it. */
function pipeSockets(client: WebSocket, url: string): void {
  const upstream = new WebSocket(`${origin!.replace(/^http/, 'ws')}${url}`, { perMessageDeflate: false });
  const waiting: [RawData, boolean][] = [];
  client.on('message', (data, isBinary) => {
    if (upstream.readyState === WebSocket.OPEN) upstream.send(data, { binary: isBinary });
    else waiting.push([data, isBinary]);
  });
  upstream.on('open', () => {
    for (const [data, isBinary] of waiting.splice(0)) upstream.send(data, { binary: isBinary });
  });
  upstream.on('message', (data, isBinary) => client.send(data, { binary: isBinary }));
  upstream.on('error', () => client.terminate());
  client.on('error', () => upstream.terminate());
  client.on('close', () => upstream.close());
  upstream.on('close', () => client.close());
}

server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
  sockets.handleUpgrade(request, socket, head, (client) => pipeSockets(client, request.url!));
});
server.listen(0, '127.0.0.1', () => readyWithPort(server));
process.on('SIGTERM', () => process.exit(0));

/**
 * The yardstick: the least that a pass-through proxy on `node:http` and undici has to do. It parses no body, keeps no
 * count, and pipes bytes both ways with back-pressure; hop-by-hop headers are dropped, as any proxy must (RFC 9110 7.6.1).
 *
 * Arguments: the upstream's origin, and how many connections its pool may open.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type Dispatcher, Pool } from 'undici';
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
server.listen(0, '127.0.0.1', () => readyWithPort(server));
process.on('SIGTERM', () => process.exit(0));

/** A real receiver of webhooks on this machine, which answers as a test wants. */
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Received {
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
  /** The body as JSON. */
  json: Record<string, unknown>;
}

export interface Receiver {
  url: string;
  received: Received[];
  /** Statuses of the next answers, then 200 for ever. */
  statuses: number[];
  /** Sent with every answer. */
  answerHeaders: Record<string, string>;
  answerBody: string;
  close(): Promise<void>;
}

export async function startReceiver(): Promise<Receiver> {
  const receiver: Receiver = {
    url: '',
    received: [],
    statuses: [],
    answerHeaders: {},
    answerBody: 'ok',
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString();
      const json = JSON.parse(body) as Record<string, unknown>;
      receiver.received.push({ path: request.url!, headers: request.headers, body, json });
      response.writeHead(receiver.statuses.shift() ?? 200, receiver.answerHeaders);
      response.end(receiver.answerBody);
    });
  });
  server.keepAliveTimeout = 1;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  receiver.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
  return receiver;
}

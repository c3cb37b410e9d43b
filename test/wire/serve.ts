/** Servers with a handler of exchanges, over the wire or over `node:http` alone, and clients that send plain bytes. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';
import type { Exchange } from '../../src/wire/exchange.ts';
import { nodeExchange } from '../../src/wire/node-exchange.ts';
import { createWireServer, type WireServer } from '../../src/wire/server.ts';
import { gather } from './gather.ts';

const TARGETS = { under: '/v1/', except: '/v1/tollgate/' };

export type Kind = 'wire' | 'node';

export interface Served {
  http: Server;
  /** Null over `node:http` alone. */
  wire: WireServer | null;
  port: number;
  /** Requests that `node:http` read. */
  nodes: string[];
  /** Codes of the errors of clients. */
  errors: string[];
  close(): void;
}

export interface ServeOptions {
  headersTimeoutMs?: number;
  requestTimeoutMs?: number;
}

/** `/v1/` goes to the handler; everything else is Node's and gets the request's target back. */
async function serve(
  kind: Kind,
  handle: (exchange: Exchange) => void,
  options: ServeOptions = {},
): Promise<Served> {
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    served.nodes.push(`${request.method} ${request.url}`);
    if (request.url?.startsWith('/v1/')) handle(nodeExchange(request, response));
    else {
      request.resume();
      request.on('end', () => response.end(`node ${request.url}`));
    }
  };
  const http = createServer({ connectionsCheckingInterval: 50 }, listener);
  http.on('checkExpectation', listener);
  http.keepAliveTimeout = 75_000;
  http.headersTimeout = options.headersTimeoutMs ?? 30_000;
  http.requestTimeout = options.requestTimeoutMs ?? 300_000;
  http.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    served.errors.push(error.code ?? '');
    const { _httpMessage: begun } = socket as Socket & { _httpMessage?: ServerResponse | null };
    if (socket.writable && !begun?.headersSent) {
      socket.write('HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n');
    }
    socket.destroy(error);
  });
  const wire =
    kind === 'wire' ? createWireServer({ http, targets: TARGETS, handler: { handle }, sweepMs: 50 }) : null;
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  const served: Served = {
    http,
    wire,
    port: (http.address() as AddressInfo).port,
    nodes: [],
    errors: [],
    close() {
      http.close();
      http.closeAllConnections();
      wire?.closeAllConnections();
    },
  };
  return served;
}

const KEPT = 100_000;

/** A connection that sends bytes as they are and keeps what comes back. */
export class Client {
  readonly socket: Socket;
  /** What came, or its end when that is much. */
  text = '';
  received = 0;
  closed = false;
  #onChange: (() => void) | null = null;

  constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1' });
    this.socket.on('data', (bytes: Buffer) => {
      this.received += bytes.length;
      this.text = (this.text + bytes.toString('latin1')).slice(-KEPT);
      this.#onChange?.();
    });
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      this.closed = true;
      this.#onChange?.();
    });
  }

  send(text: string): this {
    this.socket.write(text, 'latin1');
    return this;
  }

  /** Resolves with all that came once that satisfies the condition; rejects when the connection closes before. */
  async until(condition: (text: string) => boolean): Promise<string> {
    while (!condition(this.text)) {
      if (this.closed) throw new Error(`closed after ${JSON.stringify(this.text)}`);
      await new Promise<void>((resolve) => {
        this.#onChange = resolve;
      });
    }
    return this.text;
  }

  /** Resolves with all that came once the connection has closed. */
  async end(): Promise<string> {
    while (!this.closed) {
      await new Promise<void>((resolve) => {
        this.#onChange = resolve;
      });
    }
    return this.text;
  }
}

/** A response as it stands on the wire, without the time of day. */
export function withoutDate(text: string): string {
  return text.replace(/^date: .*$/gim, 'Date: then');
}

export interface Started extends Served {
  connect(): Client;
}

/** Serves until the test has ended. */
export async function start(
  kind: Kind,
  handle: (exchange: Exchange) => void,
  options?: ServeOptions,
): Promise<Started> {
  const served = await serve(kind, handle, options);
  onTestFinished(served.close);
  const connect = () => {
    const client = new Client(served.port);
    onTestFinished(() => {
      client.socket.destroy();
    });
    return client;
  };
  return { ...served, connect };
}

/** Gives back what it read. */
export function echo(exchange: Exchange): void {
  const reader = gather(1024 * 1024, (body) => {
    if (body === 'gone') return;
    const text = `${exchange.method} ${exchange.url} ${exchange.contentLength} ${exchange.header('x-own')} ${body}`;
    exchange.respond(200, ['content-type', 'text/plain', 'X-Own', 'é'], Buffer.from(text));
  });
  exchange.readBody(reader);
}

export const post = (body: string, headers = '') =>
  `POST /v1/x HTTP/1.1\r\nhost: a\r\nX-Own: ä\r\n${headers}content-length: ${body.length}\r\n\r\n${body}`;

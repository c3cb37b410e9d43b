/**
 * The server's side of the wire: it stands in front of a `node:http` server, on the same port, serves the usual requests
 * for some targets itself, and leaves all other connections to that server as they came.
 */
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Exchange } from './exchange.ts';
import { type ConnectionHost, ServerConnection } from './server-connection.ts';
import type { ServerExchange } from './server-exchange.ts';

/** How often deadlines are looked at. */
const SWEEP_MS = 5000;

export interface WireServerOptions {
  /** It listens, and serves what the wire does not; broken requests go to its `clientError` listener. */
  http: Server;
  /** The wire serves requests for targets that begin with `under`, but for those that begin with `except`. */
  targets: { under: string; except: string };
  /** Takes one request. Must not throw. */
  handler: { handle(exchange: Exchange): void };
  /** How often deadlines are looked at. */
  sweepMs?: number;
}

export interface WireServer {
  /** Ends the connections on which no request is under way. */
  closeIdleConnections(): void;
  closeAllConnections(): void;
}

/** Puts the wire between the server and its connections. To be called before it listens. */
export function createWireServer(options: WireServerOptions): WireServer {
  return new Host(options);
}

class Host implements ConnectionHost, WireServer {
  readonly #options: WireServerOptions;
  readonly #connections = new Set<ServerConnection>();
  readonly #nodes: unknown[];
  #timer: NodeJS.Timeout | null = null;

  constructor(options: WireServerOptions) {
    this.#options = options;
    const { http } = options;
    this.#nodes = http.listeners('connection');
    http.removeAllListeners('connection');
    http.on('connection', (socket: Socket) => this.#accept(socket));
  }

  get headTimeoutMs(): number {
    return this.#options.http.headersTimeout;
  }

  get requestTimeoutMs(): number {
    return this.#options.http.requestTimeout;
  }

  takes(url: string): boolean {
    const { under, except } = this.#options.targets;
    return url.startsWith(under) && !url.startsWith(except);
  }

  handle(exchange: ServerExchange): void {
    this.#options.handler.handle(exchange);
  }

  toNode(socket: Socket): void {
    for (const listener of this.#nodes) {
      if (typeof listener === 'function') Reflect.apply(listener, this.#options.http, [socket]);
    }
  }

  refuse(code: string, socket: Socket): void {
    const error = Object.assign(new Error(`the request is no HTTP: ${code}`), { code });
    if (this.#options.http.emit('clientError', error, socket)) return;
    if (socket.writable) socket.write('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
    socket.destroy(error);
  }

  forget(connection: ServerConnection): void {
    this.#connections.delete(connection);
    if (this.#connections.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }

  closeIdleConnections(): void {
    for (const connection of this.#connections) if (connection.idle) connection.socket.destroy();
  }

  closeAllConnections(): void {
    for (const connection of this.#connections) connection.socket.destroy();
  }

  #accept(socket: Socket): void {
    if (this.#timer === null) {
      this.#timer = setInterval(() => this.#sweep(), this.#options.sweepMs ?? SWEEP_MS);
      this.#timer.unref();
    }
    this.#connections.add(new ServerConnection(this, socket));
  }

  #sweep(): void {
    const nowMs = performance.now();
    for (const connection of this.#connections) connection.sweep(nowMs);
  }
}

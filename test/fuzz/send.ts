/** Sends a fuzzer's requests over connections that are kept, as clients do. */
import { type Agent, type ClientRequest, type IncomingMessage, request } from 'node:http';
import type { Socket } from 'node:net';
import type { FuzzRequest } from './requests.ts';

const TIMEOUT_MS = 60_000;
/** The gateway keeps an idle connection for longer, and reads the rest of a body that it has answered for so long. */
const KEPT_MS = 5000;
const TRIES = 3;

export interface Sent {
  status: number;
  text: string;
}

export class Sender {
  readonly #origin: URL;
  readonly #agent: Agent;
  readonly #key: string;
  /** The last request on each connection, and when it was begun. */
  readonly #last = new WeakMap<Socket, { wanted: FuzzRequest; atMs: number }>();
  /** Requests that were sent again on another connection. */
  stale = 0;

  constructor(origin: string, agent: Agent, key: string) {
    this.#origin = new URL(origin);
    this.#agent = agent;
    this.#key = key;
  }

  /**
   * Rejects where the connection breaks. One that may have been closed by then, because the fuzzer's machine was busy and left it
   * idle for longer than the gateway keeps it, is replaced.
   */
  async send(wanted: FuzzRequest): Promise<Sent> {
    for (let tries = 1; ; tries++) {
      const atMs = performance.now();
      let last: { wanted: FuzzRequest; atMs: number } | undefined;
      try {
        return await this.#sendOnce(wanted, (socket) => {
          last = this.#last.get(socket);
          this.#last.set(socket, { wanted, atMs });
        });
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        const isClosed = code === 'ECONNRESET' || code === 'EPIPE';
        const idleMs = last === undefined ? 0 : performance.now() - last.atMs;
        if (!isClosed || idleMs < KEPT_MS || tries === TRIES) {
          throw new Error(`${error}, ${briefly(last?.wanted)} came before it on its connection`, {
            cause: error,
          });
        }
        this.stale++;
      }
    }
  }

  #sendOnce(wanted: FuzzRequest, onSocket: (socket: Socket) => void): Promise<Sent> {
    const { method, path, body } = wanted;
    const { hostname, port } = this.#origin;
    return new Promise((resolve, reject) => {
      const outgoing: ClientRequest = request({
        agent: this.#agent,
        hostname,
        port,
        method,
        path: encodeURI(path).replaceAll('%25', '%'),
        headers: this.#headersOf(wanted),
      });
      outgoing.setTimeout(TIMEOUT_MS, () => outgoing.destroy(new Error('no response in time')));
      outgoing.once('socket', onSocket);
      outgoing.on('error', reject);
      outgoing.on('response', (incoming: IncomingMessage) => {
        const chunks: Buffer[] = [];
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
        incoming.on('error', reject);
        incoming.on('end', () =>
          resolve({ status: incoming.statusCode ?? 0, text: Buffer.concat(chunks).toString() }),
        );
      });
      outgoing.end(body ?? undefined);
    });
  }

  #headersOf({ headers: own, body, chunked, authorization }: FuzzRequest): string[] {
    const headers = ['host', this.#origin.host, ...own.flat()];
    if (authorization !== 'none')
      headers.push('authorization', `Bearer ${authorization === 'wrong' ? 'tg-wrong' : this.#key}`);
    if (authorization === 'twice') headers.push('authorization', 'Bearer tg-other');
    if (body !== null)
      headers.push(...(chunked ? ['transfer-encoding', 'chunked'] : ['content-length', String(body.length)]));
    return headers;
  }
}

function briefly(wanted: FuzzRequest | undefined): string {
  if (wanted === undefined) return 'nothing';
  const { method, path, headers, body, chunked } = wanted;
  const names = headers.map(([name]) => name).join(' ');
  return `${method} ${path.slice(0, 100)} (${names}; ${body?.length ?? 0} bytes${chunked ? ', chunked' : ''})`;
}

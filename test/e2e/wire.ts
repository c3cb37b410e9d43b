/** HTTP as it stands on the wire: headers in any number and order, bodies of any bytes, answers unchanged. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface WireRequest {
  method?: string;
  /** As it goes into the request line: nothing is normalised. */
  path: string;
  /** Name, value, name, value …; `host` is added. */
  headers?: string[];
  body?: Buffer | string;
  /** Sends the body without its length. */
  chunked?: boolean;
}

export interface WireAnswer {
  status: number;
  /** By lower-case name; those that came several times are joined by commas. */
  headers: Record<string, string>;
  /** Name, value, name, value … as they came. */
  rawHeaders: string[];
  body: Buffer;
}

/** Sends a request to an origin on a connection of its own. Rejects when that breaks before the answer's end. */
export async function send(origin: string, wanted: WireRequest): Promise<WireAnswer> {
  const { method = 'POST', path, headers = [], body, chunked = false } = wanted;
  const { hostname, port, host } = new URL(origin);
  const length =
    body === undefined || chunked
      ? ['transfer-encoding', 'chunked']
      : ['content-length', String(Buffer.byteLength(body))];
  const outgoing = request({
    hostname,
    port,
    method,
    path,
    agent: false,
    headers: ['host', host, ...headers, ...(body === undefined ? [] : length)],
  });
  outgoing.end(body);
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
  return {
    status: incoming.statusCode!,
    headers: Object.fromEntries(Object.entries(incoming.headers).map(([name, value]) => [name, `${value}`])),
    rawHeaders: incoming.rawHeaders,
    body: Buffer.concat(await incoming.toArray()),
  };
}

/** What an upstream was sent. */
export interface SeenRequest {
  path: string;
  rawHeaders: string[];
  body: Buffer;
}

/** What it answers, always the same; a function writes the answer's body itself. */
export interface FixedAnswer {
  status: number;
  /** Name, value, name, value … */
  headers: string[];
  body: Buffer | string | ((response: ServerResponse) => void);
}

export interface Recorder {
  /** The base URL for the gateway. */
  url: string;
  seen: SeenRequest[];
  answer: FixedAnswer;
  close(): void;
}

/** An upstream that keeps what it is sent and answers what it is told. */
export async function startRecorder(answer: FixedAnswer): Promise<Recorder> {
  const server = createServer(async (incoming, response) => {
    const body = Buffer.concat(await incoming.toArray());
    recorder.seen.push({ path: incoming.url!, rawHeaders: incoming.rawHeaders, body });
    response.writeHead(recorder.answer.status, recorder.answer.headers);
    if (typeof recorder.answer.body === 'function') recorder.answer.body(response);
    else response.end(recorder.answer.body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const recorder: Recorder = {
    url: `http://127.0.0.1:${port}/v1`,
    seen: [],
    answer,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
  return recorder;
}

/** The values of a header among raw ones. */
export function valuesOf(rawHeaders: string[], name: string): string[] {
  return rawHeaders.filter((_, index) => index % 2 === 1 && rawHeaders[index - 1]!.toLowerCase() === name);
}

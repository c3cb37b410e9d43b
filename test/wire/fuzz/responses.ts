/** The wire's client against undici: both are sent the same bytes as a response, and must make the same of it. */
import { Client, type Dispatcher } from 'undici';
import { ClientCall } from '../../../src/wire/client.ts';
import { ClientConnection, type Pool } from '../../../src/wire/client-connection.ts';
import type { UpstreamHeaders } from '../../../src/wire/upstream.ts';
import { Random } from '../../support/random.ts';
import type { Verdict } from './fuzz.ts';
import { cut, mutate, responseOf } from './messages.ts';
import { FakeSocket, settled } from './socket.ts';

interface ResponseCase {
  method: 'GET' | 'POST';
  pieces: string[];
  /** The server closes its side at the end. */
  ends: boolean;
}

interface Seen {
  head: string | null;
  body: string;
  /** null: neither end nor error has come. */
  end: 'end' | 'error' | null;
  error: string;
  /** Another call could be sent on the connection. */
  kept: boolean;
}

function caseOf(seed: number): ResponseCase {
  const random = new Random(seed);
  let text = responseOf(random);
  if (random.chance(0.3)) text = mutate(random, text);
  if (random.chance(0.05)) text = text.slice(0, random.between(0, text.length));
  return { method: random.pick(['GET', 'POST']), pieces: cut(random, text), ends: random.chance(0.4) };
}

function headText(status: number, headers: UpstreamHeaders): string {
  return JSON.stringify([status, Object.entries(headers).sort(([one], [other]) => (one < other ? -1 : 1))]);
}

async function feed(socket: FakeSocket, { pieces, ends }: ResponseCase, seen: Seen): Promise<Seen> {
  await settled(3);
  for (const piece of pieces) {
    socket.arrive(piece);
    await settled(1);
  }
  if (ends) socket.arrive(null);
  await settled(4);
  seen.kept = !socket.destroyed;
  return seen;
}

async function ours(wanted: ResponseCase, seed: number): Promise<Seen> {
  const seen: Seen = { head: null, body: '', end: null, error: '', kept: false };
  const socket = new FakeSocket({ allowHalfOpen: false });
  const pool: Pool = {
    options: {
      baseUrl: '',
      connections: 1,
      connectTimeoutMs: 1000,
      headersTimeoutMs: 0,
      bodyTimeoutMs: 0,
      pausedTimeoutMs: 0,
    },
    connected: () => {},
    released: () => {},
    gone: () => {},
  };
  const connection = new ClientConnection(pool, (receive) => {
    // Half of the time in a buffer that is used again, as over TCP.
    const own = seed % 2 === 0;
    socket.on('data', (bytes: Buffer) => {
      receive(bytes, own);
      if (!own) bytes.fill('?');
    });
    return { socket: socket.asSocket, readyEvent: 'connect' };
  });
  socket.emit('connect');
  // Sometimes the handler takes one piece at a time.
  const pauses = seed % 5 === 0;
  let isPaused = false;
  const expectRunning = () => {
    if (isPaused) seen.error = 'called while it was paused';
  };
  const call = new ClientCall(
    { left: () => {} },
    {
      onHeaders(status, headers) {
        seen.head = headText(status, headers);
      },
      onData(bytes) {
        expectRunning();
        seen.body += bytes.toString('latin1');
        if (!pauses) return;
        call.pause();
        isPaused = true;
        setImmediate(() => {
          isPaused = false;
          call.resume();
        });
      },
      onEnd() {
        expectRunning();
        seen.end = 'end';
      },
      onError(failure, error) {
        seen.end = 'error';
        seen.error = `${failure}: ${error.message}`;
      },
    },
  );
  call.compose({ method: wanted.method, path: '/', headers: [], body: null }, 'a', '');
  connection.start(call);
  await feed(socket, wanted, seen);
  if (pauses) {
    await settled(200);
    seen.kept = !socket.destroyed;
  }
  const copy = { ...seen };
  connection.destroy();
  return copy;
}

async function undicis(wanted: ResponseCase): Promise<Seen> {
  const seen: Seen = { head: null, body: '', end: null, error: '', kept: false };
  const socket = new FakeSocket({ allowHalfOpen: false });
  const client = new Client('http://a', {
    connect: (_, done) => {
      setImmediate(() => done(null, socket.asSocket));
    },
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  const handler: Dispatcher.DispatchHandler = {
    onRequestStart() {},
    onResponseStart(_, status, headers) {
      if (status >= 200) seen.head = headText(status, withoutBlanks(headers));
    },
    onResponseData(_, bytes) {
      seen.body += bytes.toString('latin1');
    },
    onResponseEnd() {
      seen.end = 'end';
    },
    onResponseError(_, error) {
      seen.end = 'error';
      seen.error = error.message;
    },
  };
  client.dispatch({ method: wanted.method, path: '/', body: null }, handler);
  await feed(socket, wanted, seen);
  const copy = { ...seen };
  client.destroy().catch(() => {});
  return copy;
}

/** undici keeps blanks after a value, which are no part of it (RFC 9112, section 5). */
function withoutBlanks(headers: UpstreamHeaders): UpstreamHeaders {
  const trim = (value: string) => value.replace(/[ \t]+$/, '');
  const pairs = Object.entries(headers).map(([name, value]) => [
    name,
    Array.isArray(value) ? value.map(trim) : trim(value ?? ''),
  ]);
  return Object.fromEntries(pairs);
}

function isSame(wire: Seen, undici: Seen): boolean {
  return (
    wire.head === undici.head &&
    wire.body === undici.body &&
    wire.end === undici.end &&
    !wire.error.startsWith('called') &&
    wire.kept === undici.kept
  );
}

export async function tryResponse(seed: number): Promise<Verdict> {
  const wanted = caseOf(seed);
  const [wire, undici] = await Promise.all([ours(wanted, seed), undicis(wanted)]);
  const kind = wire.end === 'end' ? 'complete' : wire.end === 'error' ? 'error' : 'incomplete';
  if (isSame(wire, undici)) return { kind };
  // An error ends the call at once, also where it is paused; undici first hands on what it has.
  if (
    kind === 'error' &&
    undici.body.startsWith(wire.body) &&
    isSame({ ...wire, body: undici.body }, undici)
  ) {
    return { kind: 'error while paused' };
  }
  // RFC 9110, section 15.2: a client must be ready for informational responses. undici ends the call on a 100.
  if (undici.error === 'bad response' && / 100[ \r]/.test(wanted.pieces.join(''))) {
    return { kind: 'taken: 100 Continue' };
  }
  // undici takes the blank after a length for a digit, and waits for a longer body.
  if (
    /content-length:[^\r\n]*[ \t]\r\n/i.test(wanted.pieces.join('')) &&
    undici.error.includes('content-length')
  ) {
    return { kind: 'taken: blank after the length' };
  }
  // The wire closes where undici does not: behind a response that says so in an odd way, and on stray line ends.
  const text = wanted.pieces.join('');
  if (isSame({ ...wire, kept: true }, undici) && /[\r\n]$|\nconnection:[^\r\n]*close/i.test(text)) {
    return { kind: 'closed' };
  }
  return { kind: 'different', difference: JSON.stringify({ seed, ...wanted, wire, undici }, null, 1) };
}

/** The wire's server against `node:http`: both are sent the same bytes, and must read and send the same. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Exchange } from '../../../src/wire/exchange.ts';
import { nodeExchange } from '../../../src/wire/node-exchange.ts';
import { createWireServer } from '../../../src/wire/server.ts';
import { Random } from '../../support/random.ts';
import { gather } from '../gather.ts';
import type { Verdict } from './fuzz.ts';
import { cut, mutate, requestOf } from './messages.ts';
import { FakeSocket, settled } from './socket.ts';

interface RequestCase {
  messages: string[];
  /** The same bytes, cut anywhere. */
  pieces: string[];
  /** The client closes its side at the end. */
  ends: boolean;
}

interface Seen {
  /** The headers of each request that began. */
  heads: (readonly string[])[];
  /** Each request whose body came to its end. */
  requests: string[];
  errors: string[];
  sent: string;
  closed: boolean;
  /** What the wire left to Node, in the pieces in which Node got it, and what had happened by then. */
  left: { pieces: string[]; requests: number; sent: string } | null;
}

function caseOf(seed: number): RequestCase {
  const random = new Random(seed);
  const messages = Array.from({ length: random.pick([1, 1, 1, 2, 3]) }, () => requestOf(random));
  if (random.chance(0.3)) {
    const index = random.between(0, messages.length - 1);
    messages[index] = mutate(random, messages[index]!);
  }
  if (random.chance(0.05)) messages.push(requestOf(random).slice(0, random.between(1, 200)));
  return { messages, pieces: cut(random, messages.join('')), ends: random.chance(0.2) };
}

/** Sends pieces to a server that gives back what it reads, waiting for some turns of the loop after each. */
async function observe(
  kind: 'wire' | 'node',
  pieces: Iterable<string>,
  ends: boolean,
  turns: number,
): Promise<Seen> {
  const seen: Seen = { heads: [], requests: [], errors: [], sent: '', closed: false, left: null };
  const handle = (exchange: Exchange) => {
    seen.heads.push(exchange.rawHeaders);
    const reader = gather(20_000, (body) => {
      if (body === 'gone') return;
      const text = typeof body === 'string' ? body : body.toString('latin1');
      const { method, url, rawHeaders, contentLength } = exchange;
      seen.requests.push(JSON.stringify([method, url, rawHeaders, contentLength, text]));
      exchange.respond(200, ['x-length', String(text.length)], Buffer.from(text, 'latin1'));
    });
    exchange.readBody(reader);
  };
  const listener = (request: IncomingMessage, response: ServerResponse) =>
    handle(nodeExchange(request, response));
  const http = createServer(listener);
  http.on('checkExpectation', listener);
  http.keepAliveTimeout = 75_000;
  http.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    seen.errors.push(error.code ?? '');
    const { _httpMessage: begun } = socket as { _httpMessage?: ServerResponse | null };
    if (socket.writable && !begun?.headersSent) socket.write('HTTP/1.1 400 Bad Request\r\n\r\n');
    socket.destroy();
  });
  if (kind === 'wire') {
    createWireServer({ http, targets: { under: '/v1/', except: '/v1/tollgate/' }, handler: { handle } });
  }
  const socket = new FakeSocket({ allowHalfOpen: true });
  socket.onUnshift = (text) => {
    seen.left = { pieces: [text], requests: seen.requests.length, sent: withoutDate(socket.sent) };
  };
  http.emit('connection', socket);
  for (const piece of pieces) {
    seen.left?.pieces.push(piece);
    socket.arrive(piece);
    await settled(turns);
  }
  if (ends) socket.arrive(null);
  await settled(4);
  seen.sent = withoutDate(socket.sent);
  seen.closed = socket.destroyed || socket.writableEnded;
  socket.destroy();
  await settled(1);
  return seen;
}

function withoutDate(text: string): string {
  return text.replace(/^date: .*$/gim, 'Date: then');
}

function isSame(one: Seen, other: Seen): boolean {
  return (
    one.sent === other.sent &&
    one.closed === other.closed &&
    one.requests.length === other.requests.length &&
    one.requests.every((request, index) => request === other.requests[index])
  );
}

/** RFC 9112, section 3.2: a request with two hosts is refused. Node takes the first. */
function hasTwoHosts(wire: Seen, node: Seen): boolean {
  return (
    wire.errors[0] === 'HPE_INVALID_HOST' &&
    wire.requests.every((request, index) => request === node.requests[index]) &&
    (node.heads[wire.heads.length] ?? []).filter((name, at) => at % 2 === 0 && /^host$/i.test(name)).length >
      1
  );
}

/**
 * What comes together is read together, and Node then does otherwise: it throws good requests away with a bad one behind
 * them. So the wire is held to what it does byte by byte, and to what Node does with exactly what was left to it.
 */
async function isAsExpected(wire: Seen, slowWire: Seen, ends: boolean): Promise<boolean> {
  if (wire.left === null) return isSame(wire, slowWire);
  const node = await observe('node', wire.left.pieces, ends, 1);
  const own = slowWire.requests.slice(0, wire.left.requests);
  return isSame(wire, {
    ...node,
    requests: [...own, ...node.requests],
    sent: wire.left.sent + node.sent,
  });
}

export async function tryRequests(seed: number): Promise<Verdict> {
  const { messages, pieces, ends } = caseOf(seed);
  const wire = await observe('wire', pieces, ends, 1);
  const kind = wire.left ? 'left to Node' : wire.errors.length > 0 ? 'refused' : 'served';
  const node = await observe('node', messages, ends, 3);
  if (isSame(wire, node)) return { kind };
  const bytes = messages.join('');
  const slowWire = await observe('wire', bytes, ends, 2);
  const slowNode = await observe('node', bytes, ends, 2);
  const twoHosts = hasTwoHosts(slowWire, slowNode);
  const slowly = twoHosts || isSame(slowWire, slowNode);
  if (slowly && (await isAsExpected(wire, slowWire, ends))) {
    return { kind: twoHosts ? 'refused: two hosts' : kind };
  }
  // Node's parser is newer: it refuses an empty coding at once, the wire leaves it to Node at the end of the head.
  if (slowNode.errors[0] === 'HPE_INVALID_TRANSFER_ENCODING' && !slowWire.closed) {
    const whole = `${bytes}\r\n\r\n`;
    const [wholeWire, wholeNode] = [
      await observe('wire', whole, ends, 2),
      await observe('node', whole, ends, 2),
    ];
    if (isSame(wholeWire, wholeNode)) return { kind: 'left to Node, later' };
  }
  const seen = slowly ? { wire, slowWire, node } : { slowWire, slowNode };
  return { kind: 'different', difference: JSON.stringify({ seed, pieces, ends, ...seen }, null, 1) };
}

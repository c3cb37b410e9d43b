/**
 * The bench's upstream, in a process of its own: canned OpenAI answers from a raw socket. Leaner than `node:http`, so
 * that on two cores the gateway is what saturates. Not a model of OpenAI in anything but its bytes.
 *
 * Streams, and responses on WebSockets, are paced: every {@link CHUNK_GAP_MS} each open stream gets one more chunk, as its own write. Written at once,
 * chunks would merge in the sockets' buffers, most in front of the slowest gateway, and flatter it. A held stream sends
 * its first chunk and stays open; the message {@link RELEASE} lets all of them go on.
 */
import { createServer as createHttpServer } from 'node:http';
import { createServer, type Socket } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import { FRAMES, JSON_RESPONSE, STREAM_CHUNKS, STREAM_HEAD, streamWrite } from './answers.ts';
import { HELD_STREAM_USER, RELEASE } from './cases.ts';
import { nowUs, readyWithPort } from './child.ts';

const CHUNK_GAP_MS = 2;
/** Two thousand connections may come at once. */
const BACKLOG = 4_096;
const HEAD_END = '\r\n\r\n';
const LENGTH_REQUIRED = 'HTTP/1.1 411 Length Required\r\nconnection: close\r\ncontent-length: 0\r\n\r\n';

interface Stream {
  socket: Socket;
  includeUsage: boolean;
  written: number;
}

const streams = new Set<Stream>();
const held = new Set<Stream>();

function writeNextChunk(stream: Stream): void {
  stream.socket.write(streamWrite(stream.written, stream.includeUsage, nowUs()), 'latin1');
  stream.written += 1;
  if (stream.written === STREAM_CHUNKS) streams.delete(stream);
}

function answer(socket: Socket, body: string): void {
  if (!/"stream":\s*true/.test(body)) {
    socket.write(JSON_RESPONSE, 'latin1');
    return;
  }
  socket.write(STREAM_HEAD, 'latin1');
  const stream = { socket, includeUsage: /"include_usage":\s*true/.test(body), written: 0 };
  (body.includes(`"${HELD_STREAM_USER}"`) ? held : streams).add(stream);
  writeNextChunk(stream);
}

/** Cuts one complete request off the front of `received`. Null: more bytes are needed; `length` -1: none was declared. */
function readRequest(received: Buffer): { body: string; length: number } | null {
  const headEnd = received.indexOf(HEAD_END);
  if (headEnd < 0) return null;
  const head = received.toString('latin1', 0, headEnd);
  const declared = /\r\ncontent-length: *(\d+)/i.exec(head);
  if (!declared) return { body: '', length: -1 };
  const bodyStart = headEnd + HEAD_END.length;
  const length = bodyStart + Number(declared[1]);
  return received.length < length ? null : { body: received.toString('latin1', bodyStart, length), length };
}

/** Frames still to be sent on each WebSocket that has a response under way. */
const responding = new Map<WebSocket, number>();
const webSockets = createHttpServer((_, response) => response.writeHead(411).end());
new WebSocketServer({ server: webSockets, perMessageDeflate: false }).on('connection', (webSocket) => {
  webSocket.on('message', () => responding.set(webSocket, 0));
  webSocket.on('close', () => responding.delete(webSocket));
  webSocket.on('error', () => {});
});

function sendNextFrame(webSocket: WebSocket, sent: number): void {
  webSocket.send(FRAMES[sent]!);
  if (sent + 1 < FRAMES.length) responding.set(webSocket, sent + 1);
  else responding.delete(webSocket);
}

/** A connection that becomes a WebSocket says so in its first bytes. */
function isHandshake(data: Buffer): boolean {
  return data.toString('latin1', 0, 4) === 'GET ';
}

function serve(socket: Socket): void {
  let parts: Buffer[] = [];
  socket.setNoDelay(true);
  socket.on('error', () => socket.destroy());
  socket.on('close', () => {
    for (const open of [streams, held]) {
      for (const stream of open) if (stream.socket === socket) open.delete(stream);
    }
  });
  socket.on('data', (data: Buffer) => {
    if (isHandshake(data)) {
      socket.removeAllListeners('data');
      webSockets.emit('connection', socket);
      socket.emit('data', data);
      return;
    }
    parts.push(data);
    let received = parts.length === 1 ? data : Buffer.concat(parts);
    for (let request = readRequest(received); request; request = readRequest(received)) {
      if (request.length < 0) {
        socket.end(LENGTH_REQUIRED);
        return;
      }
      received = received.subarray(request.length);
      answer(socket, request.body);
    }
    parts = received.length > 0 ? [received] : [];
  });
}

setInterval(() => {
  for (const stream of streams) writeNextChunk(stream);
  for (const [webSocket, sent] of responding) sendNextFrame(webSocket, sent);
}, CHUNK_GAP_MS);

process.on('message', (message) => {
  if (message !== RELEASE) return;
  for (const stream of held) streams.add(stream);
  held.clear();
});

const server = createServer(serve);
server.listen({ port: 0, host: '127.0.0.1', backlog: BACKLOG }, () => readyWithPort(server));

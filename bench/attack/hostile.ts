/**
 * The eleventh team of the neighbours, in a process of its own: hostile in every way that costs it nothing, or honest. Both
 * ways it runs at the lowest priority, for no client computes on the gateway's machine; its rates do not depend on that.
 */
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { constants, setPriority } from 'node:os';
import {
  DEAF_STREAMS_MAX,
  HOSTILE_RATES,
  HOSTILE_TOTAL,
  type HostileAct,
  type HostileCommand,
  type HostileReport,
  SMALL_CALL,
  UPLOADS_MAX,
} from './neighbours-plan.ts';

setPriority(constants.priority.PRIORITY_LOW);

const BODY_BYTES = 19_000_000;
const UPLOAD_BYTES = 1_000_000;
const TICK_MS = 5;

const call = (content: string) => Buffer.from(`${SMALL_CALL.slice(0, -1)},"metadata":${content}}`);
/** Made once: the hostile team's own cost must not slow its attack. */
const HUGE = Buffer.from(SMALL_CALL.replace('Say hello.', 'x'.repeat(BODY_BYTES)));
const VALUES = call(`[${'0,'.repeat(BODY_BYTES / 2)}0]`);
const NAMES = call(`{${Array.from({ length: 1_500_000 }, (_, n) => `"n${n}":0`).join(',')}}`);
/** With a limit that its stream keeps. */
const STREAM = Buffer.from(
  SMALL_CALL.replace('"max_completion_tokens":100', '"stream":true,"max_completion_tokens":1000'),
);
const MADE_UP = () =>
  Buffer.from(JSON.stringify({ input: 'x', model: `model-${randomBytes(6).toString('hex')}` }));

const report: HostileReport = {};
const sockets = new Set<Socket>();
const kept: Record<'deafStream' | 'unfinishedUpload', Set<Socket>> = {
  deafStream: new Set(),
  unfinishedUpload: new Set(),
};
let turns = 0;
let isOver = false;

function count(act: string, status: string): void {
  const statuses = report[act] ?? {};
  report[act] = statuses;
  statuses[status] = (statuses[status] ?? 0) + 1;
}

interface Sent {
  method?: string;
  path: string;
  key: string;
  body: Buffer;
  /** Default: the body's. */
  length?: number;
  isDeaf?: boolean;
}

/** Sends a request on a connection of its own, counts its status, and closes the connection after the response. */
function send(
  port: number,
  act: string,
  { method = 'POST', path, key, body, length = body.length, isDeaf }: Sent,
): Socket {
  const socket = connect(port, '127.0.0.1');
  sockets.add(socket);
  let status = '';
  socket.on('error', () => {});
  socket.on('close', () => {
    sockets.delete(socket);
    count(act, status !== '' ? status : isOver ? 'open' : 'closed');
  });
  socket.write(
    `${method} ${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${key}\r\nconnection: close\r\n` +
      `content-type: application/json\r\ncontent-length: ${length}\r\n\r\n`,
  );
  socket.write(body);
  if (isDeaf) socket.pause();
  else {
    socket.on('data', (bytes: Buffer) => {
      if (status === '') status = bytes.toString('latin1', 9, 12);
    });
  }
  return socket;
}

function keep(kind: keyof typeof kept, most: number, open: () => Socket): void {
  const open_ = kept[kind];
  if (open_.size >= most) return;
  const socket = open();
  open_.add(socket);
  socket.on('close', () => open_.delete(socket));
}

const NOTHING = Buffer.alloc(0);
const CHAT = '/v1/chat/completions';

function act(kind: HostileAct, { port, key }: HostileCommand): void {
  const turn = turns++;
  switch (kind) {
    case 'hugeBody':
      send(port, kind, { path: CHAT, key, body: HUGE });
      return;
    case 'manyValues':
      send(port, kind, { path: CHAT, key, body: turn % 2 === 0 ? VALUES : NAMES });
      return;
    case 'unfinishedUpload':
      keep(kind, UPLOADS_MAX, () =>
        send(port, kind, { path: CHAT, key, body: HUGE.subarray(0, UPLOAD_BYTES), length: BODY_BYTES }),
      );
      return;
    case 'deafStream':
      keep(kind, DEAF_STREAMS_MAX, () => send(port, kind, { path: CHAT, key, body: STREAM, isDeaf: true }));
      return;
    case 'wrongKey': {
      const lengths = [49, 43, 20];
      const text = randomBytes(64)
        .toString('base64url')
        .slice(0, lengths[turn % 3]);
      send(port, kind, { path: CHAT, key: `tg-${text}`, body: Buffer.from(SMALL_CALL) });
      return;
    }
    case 'freeCall':
      if (turn % 2 === 0) send(port, kind, { method: 'GET', path: '/v1/models', key, body: NOTHING });
      else send(port, kind, { path: '/v1/moderations', key, body: MADE_UP() });
  }
}

/** Calls so often a second, and makes up for what it was late for; returns how to end that. */
function often(rate: number, call: () => void): () => void {
  const startedMs = performance.now();
  let made = 0;
  const timer = setInterval(() => {
    for (const due = ((performance.now() - startedMs) * rate) / 1000; made + 1 <= due; made++) call();
  }, TICK_MS);
  return () => clearInterval(timer);
}

function run(command: HostileCommand): void {
  const { port, key, seconds, honest } = command;
  const stops: (() => void)[] = [];
  if (honest) {
    const body = Buffer.from(SMALL_CALL);
    stops.push(often(HOSTILE_TOTAL, () => send(port, 'honest', { path: CHAT, key, body })));
  } else {
    for (const [kind, rate] of Object.entries(HOSTILE_RATES))
      stops.push(often(rate, () => act(kind as HostileAct, command)));
  }
  setTimeout(() => {
    isOver = true;
    for (const stop of stops) stop();
    for (const socket of sockets) socket.destroy();
    // The sockets' last events.
    setTimeout(() => process.send?.(report), 500);
  }, seconds * 1000);
}

process.on('message', (command: HostileCommand) => run(command));
process.on('disconnect', () => process.exit(0));
process.send?.('ready');

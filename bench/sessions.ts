/**
 * The load of WebSockets, for the generator's process: sessions of `/v1/responses`, each with its next message as soon as the last
 * frame of the response before has come; and what open sessions cost in memory while nothing passes on them.
 */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import type { Target } from './connection.ts';
import { type CpuUse, cpuBetween, gatewayPids, readCpu, readRssBytes } from './tree.ts';

interface SessionsBase {
  target: Target;
  /** Sent for each response. */
  message: string;
  sessions: number;
  rootPid: number;
}

/** Ends after so many responses, or seconds, whichever comes first. */
export interface FramesCommand extends SessionsBase {
  kind: 'frames';
  responses: number;
  seconds: number;
}

export interface FramesResult extends CpuUse {
  frames: number;
}

export interface SessionsCommand extends SessionsBase {
  kind: 'sessions';
}

/** Bytes of the gateway's resident memory for each session. */
export interface SessionsResult {
  /** Its client has sent nothing yet. */
  openBytes: number;
  /** It has had a response: the gateway may have a connection to the upstream for it. */
  usedBytes: number;
}

const LAST_FRAME = Buffer.from('{"type":"response.completed"');
const ERROR_FRAME = Buffer.from('{"type":"error"');
/** A handshake and what it makes are over, and garbage of them may go. */
const SETTLE_MS = 5_000;
const FRAMES_SETTLE_MS = 400;
const AT_ONCE = 50;

/** One session. Its frames are counted; a response ends with its last frame, and the session with an error. */
class Client {
  readonly #socket: WebSocket;
  readonly #message: string;
  frames = 0;
  #ended: (() => void) | null = null;
  #failed: ((error: Error) => void) | null = null;

  private constructor(socket: WebSocket, message: string) {
    this.#socket = socket;
    this.#message = message;
    socket.on('message', (data) => {
      if (!Buffer.isBuffer(data)) return;
      this.frames += 1;
      if (data.subarray(0, LAST_FRAME.length).equals(LAST_FRAME)) this.#ended?.();
      else if (data.subarray(0, ERROR_FRAME.length).equals(ERROR_FRAME))
        this.#failed?.(new Error(`a response failed: ${data.toString()}`));
    });
    socket.on('close', (code) => this.#failed?.(new Error(`a session ended with ${code}`)));
    socket.on('error', (error) => this.#failed?.(error));
  }

  static async open({ target, message }: SessionsBase): Promise<Client> {
    const url = `ws://127.0.0.1:${target.port}/v1/responses`;
    const socket = new WebSocket(url, { headers: target.headers, perMessageDeflate: false });
    await once(socket, 'open');
    return new Client(socket, message);
  }

  /** Resolves with the response's last frame. Rejects when it fails. */
  respond(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#ended = resolve;
      this.#failed = reject;
      this.#socket.send(this.#message);
    });
  }

  close(): Promise<unknown> {
    this.#failed = null;
    const closed = once(this.#socket, 'close');
    this.#socket.close();
    return closed;
  }
}

async function openAll(command: SessionsBase): Promise<Client[]> {
  const clients: Client[] = [];
  while (clients.length < command.sessions) {
    const count = Math.min(AT_ONCE, command.sessions - clients.length);
    clients.push(...(await Promise.all(Array.from({ length: count }, () => Client.open(command)))));
  }
  return clients;
}

/** Counts frames and the CPU time of the gateway meanwhile, and for a moment after them. */
export async function frames(command: FramesCommand): Promise<FramesResult> {
  const clients = await openAll(command);
  // With its first message a session gets its connection to the upstream; through the bare pipe it has one already.
  await Promise.all(clients.map((client) => client.respond()));
  for (const client of clients) client.frames = 0;
  await sleep(FRAMES_SETTLE_MS);
  const before = readCpu(command.rootPid);
  const endMs = performance.now() + command.seconds * 1_000;
  let left = command.responses;
  const loop = async (client: Client) => {
    while (left-- > 0 && performance.now() < endMs) await client.respond();
  };
  await Promise.all(clients.map(loop));
  await sleep(FRAMES_SETTLE_MS);
  const used = cpuBetween(before, readCpu(command.rootPid));
  const count = clients.reduce((sum, client) => sum + client.frames, 0);
  await Promise.all(clients.map((client) => client.close()));
  return { frames: count, ...used };
}

/** Reads the gateway's memory before, while sessions are open, and when each of them has had a response. */
export async function sessions(command: SessionsCommand): Promise<SessionsResult> {
  const rss = async () => {
    await sleep(SETTLE_MS);
    return readRssBytes(gatewayPids(command.rootPid));
  };
  const before = await rss();
  const clients = await openAll(command);
  const open = await rss();
  for (let at = 0; at < clients.length; at += AT_ONCE)
    await Promise.all(clients.slice(at, at + AT_ONCE).map((client) => client.respond()));
  const used = await rss();
  await Promise.all(clients.map((client) => client.close()));
  const each = (bytes: number) => (bytes - before) / command.sessions;
  return { openBytes: each(open), usedBytes: each(used) };
}

/** One keep-alive connection of the load generator: writes a prepared request, tells when its answer is complete. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { ResponseReader } from './response.ts';

export interface Target {
  port: number;
  /** Headers that this gateway wants, beside those of every call. */
  headers: Record<string, string>;
}

/** A failed call makes a measurement worthless, so it ends the bench. */
export type Failed = (reason: string) => void;

export interface Call {
  request: Buffer;
  /** Called once per arrival of body bytes, with whatever arrived (it may still hold the head). */
  onBody?: (data: Buffer) => void;
  onEnd: () => void;
}

export class Connection {
  readonly #socket: Socket;
  readonly #reader = new ResponseReader();
  readonly #failed: Failed;
  #call: Call | null = null;
  #usable = true;

  private constructor(socket: Socket, failed: Failed) {
    this.#socket = socket;
    this.#failed = failed;
    socket.setNoDelay(true);
    socket.on('data', (data: Buffer) => this.#receive(data));
    socket.on('error', (error) => this.#fail(error.message));
    socket.on('close', () => this.#closed());
  }

  static async open(port: number, failed: Failed): Promise<Connection> {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    return new Connection(socket, failed);
  }

  /** Starts a call; the one before has to have ended. */
  start(call: Call): void {
    this.#call = call;
    this.#reader.reset();
    this.#socket.write(call.request);
  }

  close(): void {
    this.#usable = false;
    this.#socket.destroy();
  }

  /** False once it is closed: servers close what is idle for seconds, which is no failure. */
  get usable(): boolean {
    return this.#usable;
  }

  #closed(): void {
    if (this.#call) this.#fail('the connection was closed before the answer ended');
    this.#usable = false;
  }

  #fail(reason: string): void {
    if (this.#usable) this.#failed(reason);
    this.close();
  }

  #receive(data: Buffer): void {
    try {
      this.#read(data);
    } catch (error) {
      this.#fail((error as Error).message);
    }
  }

  #read(data: Buffer): void {
    const call = this.#call;
    if (!call) throw new Error('bytes without a request');
    const complete = this.#reader.push(data);
    if (this.#reader.started) call.onBody?.(data);
    if (!complete) return;
    const { status, excerpt } = this.#reader;
    if (status !== 200) throw new Error(`status ${status}: ${excerpt}`);
    this.#call = null;
    call.onEnd();
  }
}

/** Returns the bytes of a chat completion's request, with the headers that an SDK sends. */
export function requestOf({ target, body }: { target: Target; body: string }): Buffer {
  const headers = {
    host: `127.0.0.1:${target.port}`,
    authorization: 'Bearer sk-bench',
    accept: 'application/json',
    'user-agent': 'OpenAI/JS 7.57.0',
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    ...target.headers,
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  return Buffer.from(`POST /v1/chat/completions HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${body}`);
}

/** A server that runs: its process, and the recorder before it, which writes down what it really said. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import type { ServerKind } from './kind.ts';
import { Recorder } from './recorder.ts';

/** Of a start, with the import of PyTorch on a busy machine. */
const READY_WITHIN_MS = 400_000;
const OUTPUT_MOST = 20_000;

export class RunningServer {
  readonly kind: ServerKind;
  readonly recorder: Recorder;
  readonly #home: string;
  readonly #model: string;
  readonly #port: number;
  #process: ChildProcess | null = null;
  #output = '';

  private constructor(kind: ServerKind, home: string, model: string, port: number) {
    this.kind = kind;
    this.#home = home;
    this.#model = model;
    this.#port = port;
    this.recorder = new Recorder(port);
  }

  /** Starts one, and resolves when its model can be called. */
  static async start(kind: ServerKind, home: string, model: string): Promise<RunningServer> {
    const server = new RunningServer(kind, home, model, await freePort());
    await server.start();
    return server;
  }

  async start(): Promise<void> {
    const { program, args, env } = this.kind.command(this.#home, this.#model, this.#port);
    const child = spawn(program, args, {
      env: { PATH: process.env.PATH, HOME: process.env.HOME, PYTHONUNBUFFERED: '1', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#process = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (text) => {
        this.#output = (this.#output + text).slice(-OUTPUT_MOST);
      });
    }
    const url = `http://127.0.0.1:${this.#port}`;
    await this.#ready(`${url}${this.kind.readyPath}`, child);
    await this.recorder.open();
  }

  /** Ends the process as the kernel does, and takes no connections any more. */
  async kill(): Promise<void> {
    const child = this.#process;
    if (child === null) return;
    this.#process = null;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
    await this.recorder.close();
  }

  async #ready(url: string, child: ChildProcess): Promise<void> {
    const deadlineMs = performance.now() + READY_WITHIN_MS;
    while (child.exitCode === null && child.signalCode === null && performance.now() < deadlineMs) {
      const response = await fetch(url).catch(() => null);
      await response?.text();
      if (response?.ok) return;
      await setTimeout(200);
    }
    // SIGILL, for one: the package was built for another processor.
    const ended = child.signalCode ?? child.exitCode;
    const why = ended === null ? 'is not ready in time' : `ended with ${ended}`;
    child.kill('SIGKILL');
    throw new Error(`${this.kind.name} does not start, it ${why}:\n${this.#output}`);
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

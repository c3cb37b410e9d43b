/**
 * The bench's processes: starting them, knowing when they are ready, and ending every one of them by its pid, also on
 * Ctrl-C and on errors. Invariant: whatever was started here is gone when the bench is.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';

/** Longer than a gateway needs to drain calls of the bench, shorter than a person's patience. */
const STOP_TIMEOUT_MS = 15_000;
const READY_TIMEOUT_MS = 60_000;
const READY_POLL_MS = 20;

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

interface StartOptions {
  /** A program other than Node, which then gets the arguments. */
  command?: string;
  /** Node's own flags, then the script, then the script's arguments. */
  nodeArguments: string[];
  /** Receives everything that the process prints. */
  logFile: string;
  env?: Record<string, string>;
  /** Opens a channel for messages to and from one of the bench's own scripts. */
  messages?: boolean;
}

/** Starts Node on a script (or another program), with a bare environment: the caller's proxies and keys must not reach what is measured. */
export function start(options: StartOptions): ChildProcess {
  const log = openSync(options.logFile, 'a');
  const child = spawn(options.command ?? process.execPath, options.nodeArguments, {
    stdio: ['ignore', log, log, ...(options.messages ? (['ipc'] as const) : [])],
    env: { PATH: process.env.PATH, HOME: process.env.HOME, NODE_ENV: 'production', ...options.env },
  });
  closeSync(log);
  return keep(child);
}

/** Takes a process that was started elsewhere under the same care: it is gone when the bench is. */
export function keep(child: ChildProcess): ChildProcess {
  running.add(child);
  child.once('exit', () => running.delete(child));
  return child;
}

/** Ends a process: SIGTERM, then SIGKILL when that takes longer than 15 s. Returns when it is gone. */
export async function stop(child: ChildProcess): Promise<void> {
  if (!running.has(child)) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
  await gone;
  clearTimeout(timer);
}

/** Ends everything, the last started first: gateways before the upstream that they talk to. */
export async function stopAll(): Promise<void> {
  for (const child of [...running].reverse()) await stop(child);
}

/** What a process said last. */
export function endOfLog(logFile: string): string {
  return readFileSync(logFile, 'utf8').slice(-2_000);
}

/** `outcome`, unless the process ends first: then it throws, with the end of what the process printed. */
async function whileAlive<T>(child: ChildProcess, logFile: string, outcome: Promise<T>): Promise<T> {
  const listening = new AbortController();
  const ended = once(child, 'exit', { signal: listening.signal }).then(([code, signal]) => {
    throw new Error(`${child.spawnargs.join(' ')} ended with ${signal ?? code}:\n${endOfLog(logFile)}`);
  });
  try {
    return (await Promise.race([outcome, ended])) as T;
  } finally {
    listening.abort();
  }
}

interface OwnScript {
  /** File beside this one. */
  script: string;
  scriptArguments?: string[];
  nodeFlags?: string[];
  logFile: string;
}

/** Starts one of the bench's own scripts and returns its first message. */
export async function startOwn(own: OwnScript): Promise<{ child: ChildProcess; message: unknown }> {
  const path = fileURLToPath(new URL(own.script, import.meta.url));
  const nodeArguments = [...(own.nodeFlags ?? []), path, ...(own.scriptArguments ?? [])];
  const child = start({ nodeArguments, logFile: own.logFile, messages: true });
  const [message] = await whileAlive(child, own.logFile, once(child, 'message'));
  return { child, message };
}

/** Starts a server among the bench's own scripts, and returns it with the port that it chose. */
export async function startOwnServer(own: OwnScript): Promise<{ child: ChildProcess; port: number }> {
  const { child, message } = await startOwn(own);
  return { child, port: (message as { port: number }).port };
}

/** The next message of a script. Throws when the script ends instead. */
export async function nextMessage(child: ChildProcess, logFile: string): Promise<unknown> {
  const [message] = await whileAlive(child, logFile, once(child, 'message'));
  return message;
}

/** Returns when `url` responds with a 2xx. Throws when the process ends first, and after a minute. */
export async function waitUntilReady(child: ChildProcess, url: string, logFile: string): Promise<void> {
  const deadlineMs = performance.now() + READY_TIMEOUT_MS;
  const poll = async () => {
    while (performance.now() < deadlineMs) {
      const answer = await fetch(url).catch(() => null);
      await answer?.body?.cancel();
      if (answer?.ok) return;
      await new Promise((resolve) => setTimeout(resolve, READY_POLL_MS));
    }
    throw new Error(`${url} was not ready within ${READY_TIMEOUT_MS} ms:\n${endOfLog(logFile)}`);
  };
  await whileAlive(child, logFile, poll());
}

/**
 * A port that nothing listens on. Not one of those that the kernel gives to outgoing connections (from 32768 on, on Linux):
 * a server that is killed and started again would find its port taken by a client's connection.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(10_000, 32_000);
    const server = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!isFree) continue;
    server.close();
    return port;
  }
}

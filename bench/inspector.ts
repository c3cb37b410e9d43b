/**
 * A client of Node's inspector in another process (Chrome DevTools Protocol over a WebSocket on loopback), and what it
 * sees of single calls.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type FilesOfACall, filesOfACall, filesRun, type ScriptCoverage } from './coverage.ts';

interface Reply {
  id?: number;
  result?: unknown;
  error?: { message: string };
}

/** Let every Node process that is started with this environment open an inspector on a free port. */
export const INSPECTED = { NODE_OPTIONS: '--inspect=127.0.0.1:0' };

/** Returns where the inspectors listen of all processes that wrote to this log. */
export function inspectorUrls(log: string): string[] {
  return [...log.matchAll(/^Debugger listening on (ws:\/\/\S+)$/gm)].map(([, url]) => url!);
}

export class Inspector {
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #lastId = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener('message', ({ data }) => this.#receive(JSON.parse(String(data)) as Reply));
    socket.addEventListener('close', () => this.#end());
  }

  /** Throws when nothing listens there. */
  static async connect(url: string): Promise<Inspector> {
    const socket = new WebSocket(url);
    await new Promise((resolve, reject) => {
      socket.addEventListener('open', resolve);
      socket.addEventListener('error', () => reject(new Error(`no inspector at ${url}`)));
    });
    return new Inspector(socket);
  }

  /** Returns a method's result. Throws what the inspector says of it. */
  send(method: string, params: object = {}): Promise<unknown> {
    const id = ++this.#lastId;
    const waiting = Promise.withResolvers<unknown>();
    this.#waiting.set(id, waiting);
    this.#socket.send(JSON.stringify({ id, method, params }));
    return waiting.promise;
  }

  close(): void {
    this.#socket.close();
  }

  #receive({ id, result, error }: Reply): void {
    const waiting = this.#waiting.get(id ?? 0);
    if (!waiting) return;
    this.#waiting.delete(id ?? 0);
    if (error) waiting.reject(new Error(error.message));
    else waiting.resolve(result);
  }

  #end(): void {
    for (const waiting of this.#waiting.values()) waiting.reject(new Error('the inspected process ended'));
    this.#waiting.clear();
  }
}

/** Connects to all processes that wrote to this log. Throws when there is none. */
export async function openInspectors(log: string): Promise<Inspector[]> {
  // A process that made way for another, with other flags, left its address in the log.
  const connecting = await Promise.allSettled(inspectorUrls(log).map((url) => Inspector.connect(url)));
  const inspectors = connecting.filter((one) => one.status === 'fulfilled').map(({ value }) => value);
  if (inspectors.length === 0) throw new Error('no process of the gateway has an inspector');
  return inspectors;
}

/** From now on V8 counts how often each function runs. */
export async function startCoverage(inspectors: readonly Inspector[]): Promise<void> {
  for (const one of inspectors) {
    await one.send('Profiler.enable');
    await one.send('Profiler.startPreciseCoverage', { callCount: true, detailed: false });
  }
}

/** What a call still does after its last byte: its line in the journal, its numbers. */
const AFTERWORK_MS = 5;
/** Between two calls, so that batches of the one before end. */
const PAUSE_MS = 30;

interface Watched {
  calls: number;
  call: () => Promise<void>;
  isSource: (path: string) => boolean;
}

/** Makes calls one by one, and returns the files in which functions ran from before each to shortly after it. */
export async function watchCalls(
  inspectors: readonly Inspector[],
  { calls, call, isSource }: Watched,
): Promise<FilesOfACall> {
  const seen: Set<string>[] = [];
  for (let made = 0; made < calls; made++) {
    await sleep(PAUSE_MS);
    await take(inspectors);
    await call();
    await sleep(AFTERWORK_MS);
    seen.push(filesRun(await take(inspectors), isSource));
  }
  return filesOfACall(seen);
}

/** Takes the counts and sets them back. */
async function take(inspectors: readonly Inspector[]): Promise<ScriptCoverage[]> {
  const taken = await Promise.all(inspectors.map((one) => one.send('Profiler.takePreciseCoverage')));
  return taken.flatMap((result) => (result as { result: ScriptCoverage[] }).result);
}

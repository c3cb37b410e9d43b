/** A client of Node's inspector in another process (Chrome DevTools Protocol over a WebSocket on loopback). */

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

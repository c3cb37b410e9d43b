/** A WebSocket of the API, with the events that came on it. */
import { once } from 'node:events';
import { vi } from 'vitest';
import { WebSocket } from 'ws';

export type SocketEvent = Record<string, unknown> & { type: string };

export interface TestSocket {
  readonly events: SocketEvent[];
  /** Code of its end; null: it is open. */
  readonly closedWith: number | null;
  send(event: object | string): void;
  /** Resolves with the next event of a type that nobody waited for yet. Rejects when it does not come. */
  next(type: string): Promise<SocketEvent>;
  /** Resolves when it has ended. */
  closed(): Promise<void>;
  close(): void;
}

const PATIENCE = { timeout: 30_000, interval: 5 };

/** `url`: of the API, as `http:` or `https:`. Rejects where the handshake is refused, with the status. */
export async function openSocket(url: string, headers: Record<string, string> = {}): Promise<TestSocket> {
  const socket = new WebSocket(url.replace(/^http/, 'ws'), {
    headers: { authorization: 'Bearer sk-test', ...headers },
    rejectUnauthorized: false,
  });
  const events: SocketEvent[] = [];
  let seen = 0;
  let closedWith: number | null = null;
  socket.on('message', (data) => events.push(JSON.parse(String(data))));
  socket.on('close', (code) => {
    closedWith = code;
  });
  await once(socket, 'open');
  socket.on('error', () => {});
  return {
    events,
    get closedWith() {
      return closedWith;
    },
    send: (event) => socket.send(typeof event === 'string' ? event : JSON.stringify(event)),
    next: async (type) => {
      const at = () => events.findIndex((event, index) => index >= seen && event.type === type);
      await vi.waitFor(() => {
        if (at() === -1) throw new Error(`no ${type} among ${events.map((event) => event.type).join(' ')}`);
      }, PATIENCE);
      seen = at() + 1;
      return events[seen - 1] ?? { type };
    },
    closed: () =>
      vi.waitFor(() => {
        if (closedWith === null) throw new Error('the socket is open');
      }, PATIENCE),
    close: () => socket.close(),
  };
}

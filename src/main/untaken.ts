/** Connections that node:cluster hands to a worker which ends before it takes them. */
import type { Worker } from 'node:cluster';
import type { EventEmitter } from 'node:events';

/** What node:cluster writes to a worker with a connection, and what it reads when the worker has taken or refused it. */
interface ClusterMessage {
  readonly act?: string;
  readonly seq?: number;
  readonly ack?: number;
}

interface Handle {
  close(): void;
}

/**
 * Closes the connections that a worker was given and had not taken when it ended. node:cluster keeps them open and forgets
 * them, so that their clients would wait for ever (Node 24.21, `lib/internal/cluster/round_robin_handle.js`); a client
 * whose connection is closed before anything came asks again.
 */
export function closeUntaken({ process: child }: Worker): void {
  const untaken = new Map<number, Handle>();
  const send = child.send as (message: ClusterMessage, ...rest: unknown[]) => boolean;
  child.send = (message: ClusterMessage, ...rest: unknown[]) => {
    if (message.act === 'newconn' && message.seq !== undefined) untaken.set(message.seq, rest[0] as Handle);
    return send.call(child, message, ...rest);
  };
  // Not in the documentation, but how node:cluster itself reads: a change of it is seen by test/e2e/crash-workers.test.ts.
  const messages: EventEmitter = child;
  messages.on('internalMessage', ({ ack }: ClusterMessage) => {
    if (ack !== undefined) untaken.delete(ack);
  });
  // 'disconnect' does not come then. What the worker had refused before is read in this turn of the loop.
  child.once('exit', () =>
    setImmediate(() => {
      for (const handle of untaken.values()) handle.close();
    }),
  );
}

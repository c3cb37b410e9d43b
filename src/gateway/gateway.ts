/**
 * The gateway: the request path under `/v1`. Owns: calls from their first byte to their last, and the orderly stop. Does
 * not own: money (ledger), prices and bounds (domain), the wire (openai). Invariant: the promise of every call is kept
 * until its event is recorded, whatever becomes of its client.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { apiError } from '../domain/errors.ts';
import { Call } from './call.ts';
import type { GatewayDeps } from './deps.ts';
import { handle } from './pipeline.ts';
import { refuse, shuttingDown } from './respond.ts';

export type { GatewayDeps } from './deps.ts';

export interface Gateway {
  /** Takes one request under `/v1`, writing the answer straight to Node's response. */
  handle(incoming: IncomingMessage, response: ServerResponse): void;
  readonly inFlight: number;
  /**
   * Refuses new calls and waits for those in flight, until their last byte has left. Those that take longer than the
   * timeout, or than the signal allows, are ended: their clients are told, and they stay charged at their hold. Answers
   * how many that were.
   */
  drain(timeoutMs: number, hurry: AbortSignal): Promise<number>;
}

/** Calls that were ended still settle and tell their clients, which takes no longer unless a client does not read. */
const LAST_WORDS_MS = 1000;

export function createGateway(deps: GatewayDeps): Gateway {
  const calls = new Set<Call>();
  let draining = false;
  let onIdle: (() => void) | null = null;

  async function run(incoming: IncomingMessage, response: ServerResponse) {
    const call = new Call(incoming, response);
    calls.add(call);
    try {
      if (draining) {
        response.setHeader('connection', 'close');
        refuse(deps, call, shuttingDown());
      } else await handle(deps, call);
    } catch (error) {
      deps.log.logger.error({ err: error }, 'a call failed on an error of ours');
      if (call.hold && deps.ledger.isOpen(call.hold)) deps.ledger.endUnknown(call.hold, 'internal_error');
      refuse(deps, call, apiError('internal_error', 'Tollgate failed on this call; nothing more is known.'));
      if (!response.writableEnded) response.destroy();
    } finally {
      // Not before its last byte has left: who closes the connection earlier cuts the answer.
      if (response.destroyed || response.writableFinished) over(call);
      else response.once('close', () => over(call));
    }
  }

  function over(call: Call) {
    calls.delete(call);
    if (calls.size === 0) onIdle?.();
  }

  function idle(): Promise<void> {
    if (calls.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      onIdle = resolve;
    });
  }

  return {
    handle: (incoming, response) => void run(incoming, response),
    get inFlight() {
      return calls.size;
    },
    async drain(timeoutMs, hurry) {
      draining = true;
      await within(timeoutMs, idle(), hurry);
      const late = [...calls];
      for (const call of late) call.cut();
      await within(LAST_WORDS_MS, idle());
      return late.length;
    },
  };
}

/** Waits for the work, but no longer than the time or the signal allows. */
async function within(timeoutMs: number, work: Promise<void>, hurry?: AbortSignal): Promise<void> {
  const over = new AbortController();
  const signal = hurry ? AbortSignal.any([over.signal, hurry]) : over.signal;
  await Promise.race([work, delay(timeoutMs, undefined, { signal }).catch(() => {})]);
  over.abort();
}

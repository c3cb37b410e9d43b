/**
 * The gateway: the request path under `/v1`. Owns: calls from their first byte to their last, and the orderly stop. Does
 * not own: money (ledger), prices and bounds (domain), the API (openai), connections (wire). Invariant: the promise of
 * every call is kept until its event is recorded, whatever becomes of its client.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { apiError } from '../domain/errors.ts';
import { uuidV7 } from '../ledger/events.ts';
import type { Exchange } from '../wire/exchange.ts';
import { Call, writeError } from './call.ts';
import { corsHeaders, isPreflight, respondToPreflight } from './cors.ts';
import type { GatewayDeps } from './deps.ts';
import { shuttingDown } from './ending-error.ts';
import { Lines } from './lines/lines.ts';
import { handle } from './pipeline.ts';

export type { GatewayDeps } from './deps.ts';

export interface Gateway {
  /** Takes one request under `/v1`. */
  handle(exchange: Exchange): void;
  /** Sessions on WebSockets. */
  readonly lines: Pick<Lines, 'takes' | 'connect' | 'open'>;
  readonly inFlight: number;
  /**
   * Refuses new calls and waits for those in flight, until their last byte has left. Those that take longer than the
   * timeout, or than the signal allows, are ended: their clients get an error, and they stay charged at their hold.
   * Returns how many that were.
   */
  drain(timeoutMs: number, hurry: AbortSignal): Promise<number>;
}

/** Calls that were ended still settle and answer their clients, which takes no longer unless a client does not read. */
const LAST_RESPONSES_MS = 1000;

export function createGateway(deps: GatewayDeps): Gateway {
  /** Each at its `place`; no Set, for the reason that open holds are in no Map (ledger/backlog.ts). */
  const calls: Call[] = [];
  let draining = false;
  let onIdle: (() => void) | null = null;

  const over = (call: Call): void => {
    const last = calls.pop();
    if (last !== call && last !== undefined) {
      calls[call.place] = last;
      last.place = call.place;
    }
    if (calls.length === 0) onIdle?.();
  };

  const failed = (call: Call, error: unknown): void => {
    deps.log.logger.error({ err: error }, 'a call failed on an error of ours');
    const message = 'Tollgate failed on this call; nothing more is known.';
    try {
      writeError(call, apiError('internal_error', message), uuidV7(deps.clock.nowMs()));
      if (!call.exchange.ended) call.exchange.destroy();
    } catch {
      call.exchange.destroy();
    }
  };

  const run = async (own: GatewayDeps, call: Call, served: (() => void) | null): Promise<void> => {
    try {
      await handle(own, call);
    } catch (error) {
      failed(call, error);
    } finally {
      call.served();
      served?.();
    }
  };

  /** @param own what the call is wired with */
  const begin = (own: GatewayDeps, exchange: Exchange, served: (() => void) | null): void => {
    const call = new Call(exchange, over);
    call.place = calls.push(call) - 1;
    if (deps.corsOrigins !== null) {
      call.cors = corsHeaders(deps.corsOrigins, exchange);
      if (isPreflight(exchange)) {
        respondToPreflight(exchange, call.cors);
        call.served();
        return;
      }
    }
    if (draining) {
      exchange.closeAfter();
      writeError(call, shuttingDown(), uuidV7(deps.clock.nowMs()));
      call.served();
      served?.();
      return;
    }
    void run(own, call, served);
  };

  const lines = new Lines(deps, {
    deps,
    run: begin,
    count(error, { principal }) {
      deps.metrics.recordError(error.code, null, false);
      deps.counts.add(principal.teamId, error.code);
    },
  });

  return {
    handle: (exchange) => begin(deps, exchange, null),
    lines,
    get inFlight() {
      return calls.length;
    },
    async drain(timeoutMs, hurry) {
      draining = true;
      deps.patience.isOver = true;
      lines.drain();
      const idle = new Promise<void>((resolve) => {
        onIdle = resolve;
        if (calls.length === 0) resolve();
      });
      await within(timeoutMs, idle, hurry);
      const late = [...calls];
      for (const call of late) call.cut();
      await within(LAST_RESPONSES_MS, idle);
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

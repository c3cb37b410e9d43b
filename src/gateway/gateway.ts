/**
 * The gateway: the request path under `/v1`. Owns: calls from their first byte to their last, and the orderly stop. Does
 * not own: money (ledger), prices and bounds (domain), the wire (openai). Invariant: the promise of every call is kept
 * until its event is recorded, whatever becomes of its client.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { fault } from '../domain/errors.ts';
import { Call } from './call.ts';
import type { GatewayDeps } from './deps.ts';
import { handle } from './pipeline.ts';
import { refuse } from './respond.ts';

export type { GatewayDeps } from './deps.ts';

export interface Gateway {
  /** Takes one request under `/v1`, writing the answer straight to Node's response. */
  handle(incoming: IncomingMessage, response: ServerResponse): void;
  readonly inFlight: number;
  /** Refuses new calls and waits for those in flight; answers how many were left when the time was over. */
  drain(timeoutMs: number): Promise<number>;
}

export function createGateway(deps: GatewayDeps): Gateway {
  let inFlight = 0;
  let draining = false;
  let onIdle: (() => void) | null = null;

  async function run(incoming: IncomingMessage, response: ServerResponse) {
    const call = new Call(incoming, response);
    inFlight++;
    try {
      if (draining) {
        response.setHeader('connection', 'close');
        refuse(
          deps,
          call,
          fault('shutting_down', 'This gateway is stopping; try again.', { retryAfterMs: 1000 }),
        );
      } else await handle(deps, call);
    } catch (error) {
      deps.log.logger.error({ err: error }, 'a call failed on a fault of ours');
      if (call.hold && deps.ledger.isOpen(call.hold)) deps.ledger.endUnknown(call.hold, 'internal_error');
      refuse(deps, call, fault('internal_error', 'Tollgate failed on this call; nothing more is known.'));
      if (!response.writableEnded) response.destroy();
    } finally {
      inFlight--;
      if (inFlight === 0) onIdle?.();
    }
  }

  return {
    handle: (incoming, response) => void run(incoming, response),
    get inFlight() {
      return inFlight;
    },
    async drain(timeoutMs) {
      draining = true;
      if (inFlight > 0) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, timeoutMs);
          onIdle = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
      return inFlight;
    },
  };
}

/** What a session on a WebSocket is to those who keep it: one kind of it for each protocol. */
import type { Account } from '../../domain/budget.ts';
import type { ApiError } from '../../domain/errors.ts';
import type { Exchange } from '../../wire/exchange.ts';
import type { GatewayDeps } from '../deps.ts';
import type { ClientLine, LineEnd, LineHandler } from './client-line.ts';

/** One session. When its client is gone, what is under way goes on without it, as with any call. */
export interface Session extends LineHandler {
  /** A response is under way: its idle time does not run, and a gateway that stops waits for it. */
  readonly isBusy: boolean;
  /** Nothing more may begin: the session ends now, or with what is under way. @param end how the client's line is closed */
  finish(end: LineEnd): void;
  /** Looks at deadlines towards the upstream, about once a second. @param nowMs on the monotonic clock */
  sweep(nowMs: number): void;
}

/** What a session gets from the gateway. */
export interface SessionHost {
  readonly deps: GatewayDeps;
  /**
   * Takes a call to its end, as any other: it is counted, waited for when the gateway stops, and ended then if it is late.
   * @param served called once, when the call is in the ledger or was refused
   */
  run(deps: GatewayDeps, exchange: Exchange, served: () => void): void;
  /** Counts an error of a message that became no call. */
  count(error: ApiError, account: Account): void;
}

/** Opens the session of a client's line. */
export type OpenSession = (line: ClientLine, host: SessionHost) => Session;

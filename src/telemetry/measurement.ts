/** What is measured: one call's numbers as the gateway hands them over, and the state read at each scrape. */
import { JOB_KINDS } from '../domain/job.ts';
import type { PicoUsd } from '../domain/money.ts';
import type { OutcomeName } from '../domain/outcome.ts';
import type { Usage } from '../domain/usage.ts';

/**
 * The stages of a call, in order. `upload` is the wait for the client's body, which `parse` reads: a slow client's time
 * is not the gateway's. `connect` is the wait for a connection to the upstream, of which each team has a share.
 */
export const STAGES = [
  'route',
  'authenticate',
  'upload',
  'parse',
  'estimate',
  'reserve',
  'connect',
  'forward',
  'settle',
  'record',
] as const;
export type Stage = (typeof STAGES)[number];

/**
 * Microseconds by stage; a stage that the call did not reach is missing. `first_byte` is no stage, but the part of `forward` until
 * the response's first byte.
 */
export type StageDurationsUs = { [S in Stage | 'first_byte']?: number };

/** The errors of the upstream: no response, one that broke off, or an error status. */
export const UPSTREAM_ERRORS = [
  'unreachable',
  'timeout',
  'interrupted',
  'rate_limited',
  'rejected',
  'failed',
] as const;
export type UpstreamError = (typeof UPSTREAM_ERRORS)[number];

/** What the ledger asks of Postgres while it works. */
export const LEDGER_WORK = ['lease', 'flush', 'heartbeat'] as const;
export type LedgerWork = (typeof LEDGER_WORK)[number];

/** What one forwarded call adds to the metrics. */
export interface CallMeasurement {
  /** Name of the operation, of the table of operations. */
  operation: string;
  outcome: OutcomeName;
  /** The team's name: it becomes a label, within a cap. */
  team: string;
  /** The model of the rate card that priced the call, never the client's own text; null: a call without a price. */
  model: string | null;
  /** Null where the upstream reported none. */
  usage: Usage | null;
  costPicoUsd: PicoUsd;
  /** Cost above the call's hold; 0n as a rule. */
  overrunPicoUsd: PicoUsd;
  /** The response ended at the output limit that was written into the request. */
  isOutputCut: boolean;
  stageUs: StageDurationsUs;
  /** Its money was not in a lease here: it waited for Postgres, or for other calls to end. */
  waited: boolean;
  /** From sending the call upstream to its first and its last byte, in microseconds; null: none came. */
  firstByteUs: number | null;
  upstreamUs: number | null;
  stream: boolean;
  /** Null: no error of the upstream, or Tollgate ended the call. */
  upstreamError: UpstreamError | null;
  /** An SDK sent it again, after an earlier try had failed. */
  isRetry: boolean;
}

/** One ended call, as a line. The key itself has no place in it, only its id. */
export interface CallEntry {
  eventId: string;
  /** Names of the operation: Tollgate's, and OpenTelemetry's. */
  operation: { readonly name: string; readonly otel: string };
  outcome: OutcomeName;
  team: string;
  keyId: string;
  requestModel: string | null;
  responseModel: string | null;
  usage: Usage | null;
  costPicoUsd: PicoUsd;
  holdPicoUsd: PicoUsd;
  /** The status of the response. */
  status: number;
  upstreamRequestId: string | null;
  stageUs: StageDurationsUs;
  /** When it ended, in milliseconds since the epoch: its line is written later. */
  endedMs: number;
}

/** What a span says of a forwarded call beside its line. */
export interface TracedCall {
  pricedModel: string | null;
  firstByteUs: number | null;
  upstreamUs: number | null;
  upstreamError: UpstreamError | null;
  stream: boolean;
  /** The caller's header, as it came. */
  traceparent: string | undefined;
}

/** A request that was not forwarded. */
export interface StoppedCall {
  /** Names of the operation, as of {@link CallEntry}; null: none of the known ones. */
  operation: { readonly name: string; readonly otel: string } | null;
  code: string;
  status: number;
  team: string | null;
  stageUs: StageDurationsUs;
  traceparent: string | undefined;
}

/** Where calls are noted for OpenTelemetry (traces.ts). */
export interface CallTraces {
  add(entry: CallEntry, traced: TracedCall): void;
  addStopped(stopped: StoppedCall): void;
  /** Sends what waits, for a few seconds at most. Never rejects. */
  close(): Promise<void>;
}

/** How an attempt to send a warning ended: a failed one is tried again. */
export type DeliveryOutcome = 'delivered' | 'failed' | 'given_up';

/** Of which job a webhook of an upstream speaks; `other`: of none, or its signature is not the upstream's. */
export const UPSTREAM_WEBHOOK_KINDS = [...JOB_KINDS, 'other'] as const;
export type UpstreamWebhookKind = (typeof UPSTREAM_WEBHOOK_KINDS)[number];

/** `due`: its job is looked at now; `no_job`: none goes on; `refused`: it is not signed, or too old; `failed`: Postgres did not respond. */
export const UPSTREAM_WEBHOOK_OUTCOMES = ['due', 'no_job', 'refused', 'failed'] as const;
export type UpstreamWebhookOutcome = (typeof UPSTREAM_WEBHOOK_OUTCOMES)[number];

/** The state that is read when Prometheus asks, from memory only. Money in pico-USD. */
export interface Gauges {
  /** What this instance's leases say. */
  teams: Iterable<{ team: string; heldPicoUsd: PicoUsd; leasedPicoUsd: PicoUsd }>;
  inFlightCalls: number;
  /** WebSockets of clients. */
  openSessions: number;
  waitingCalls: number;
  /** Circuits that let one call through at a time: of teams, and of the upstream. */
  openBreakers: { readonly team: number; readonly upstream: number };
  /** Connections to the upstream that calls use, and may use; calls that wait for one. */
  upstreamConnectionsUsed: number;
  upstreamConnectionsMax: number;
  upstreamWaitingCalls: number;
  journalPendingBytes: number;
  flushBacklogEvents: number;
  flushLagSeconds: number;
  journalSyncLagSeconds: number;
  postgresUp: boolean;
  /** Operations of models by whether the upstream keeps their output limit; null: OpenAI, which does. */
  upstreamLimits: Readonly<Record<'kept' | 'ignored' | 'unknown', number>> | null;
  /** Several upstreams by their names, as many as are configured; none: there is one. */
  upstreams: readonly UpstreamGauge[];
  /** What Postgres said of the whole installation; null: it has not, lately. */
  installation: InstallationGauges | null;
}

export interface UpstreamGauge {
  upstream: string;
  isUp: boolean;
  firstByteMs: number | null;
  calls: Readonly<Record<OutcomeName, number>>;
  movedCalls: number;
  costPicoUsd: PicoUsd;
}

export interface InstallationGauges {
  /** At most as many as teams have labels. */
  budgets: readonly BudgetGauge[];
  /** At most as many, too. */
  overLimits: readonly { team: string; excess: PicoUsd }[];
  unresolved: PicoUsd;
  unpartitionedEvents: number;
  archiveWaitingMonths: number;
  quarantinedEvents: number;
  tagValuesUsedRatio: number;
  /** Jobs that have not ended: how many by state, what they hold, and how old the oldest is. */
  jobs: { asked: number; running: number; held: PicoUsd; oldestSeconds: number };
  /** The most of one day's bill that is unexplained and not posted. */
  unexplained: { final: PicoUsd; moving: PicoUsd };
  roundTripSeconds: number;
  /** By the session's state: a closed list. */
  connections: ReadonlyMap<string, number>;
}

export interface BudgetGauge {
  team: string;
  amount: PicoUsd;
  remaining: PicoUsd;
  exhaustedInSeconds: number | null;
  endsAtMs: number | null;
  grantExpiresAtMs: number | null;
}

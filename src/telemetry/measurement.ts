/** What is measured: one call's numbers as the gateway hands them over, and the state read at each scrape. */
import type { PicoUsd } from '../domain/money.ts';
import type { OperationName } from '../domain/operation.ts';
import type { Usage } from '../domain/usage.ts';

export const STAGES = [
  'classify',
  'authenticate',
  'estimate',
  'reserve',
  'forward',
  'meter',
  'settle',
  'record',
] as const;
export type Stage = (typeof STAGES)[number];

/** Microseconds by stage; a stage that the call did not reach is missing. */
export type StageDurationsUs = { [S in Stage]?: number };

/** What one forwarded call adds to the metrics. */
export interface CallMeasurement {
  operation: OperationName;
  outcome: 'settled' | 'voided' | 'unknown';
  /** The team's name: it becomes a label, within a cap. */
  team: string;
  /** The model of the rate card that priced the call, never the client's own text; null: a call without a price. */
  model: string | null;
  /** Null where the upstream reported none. */
  usage: Usage | null;
  costPicoUsd: PicoUsd;
  /** Cost above the call's hold; 0n as a rule. */
  overrunPicoUsd: PicoUsd;
  stageUs: StageDurationsUs;
  /** From sending the call upstream to its first and its last byte, in microseconds; null: none came. */
  firstByteUs: number | null;
  upstreamUs: number | null;
}

/** The state that is read when Prometheus asks, from memory only. Money in pico-USD. */
export interface Gauges {
  teams: Iterable<{
    team: string;
    heldPicoUsd: PicoUsd;
    leasedPicoUsd: PicoUsd;
    /** Null: nothing bounds the team's spend. */
    remainingPicoUsd: PicoUsd | null;
  }>;
  inFlightCalls: number;
  waitingCalls: number;
  journalPendingBytes: number;
  flushBacklogEvents: number;
}

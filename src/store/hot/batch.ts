/** What instances send to the ledger: the parts of a flush. */

import type { Allocation } from '../../domain/budget.ts';
import type { CountedCall, CounterSpec } from '../../domain/counter.ts';
import type { Fenced, Seen } from '../../domain/history.ts';
import type { CounterId, TeamId } from '../../domain/ids.ts';
import type { Claim } from '../../domain/quantities.ts';

/**
 * Stands for the instance of what none holds, and whose leases pay for nothing. Not null: of a statement with a condition that is
 * null Citus runs no part, so that the counters would not move either.
 */
export const NO_INSTANCE = '00000000-0000-0000-0000-000000000000';

/** One event on its way into the ledger. */
export interface FlushEvent extends CountedCall {
  id: string;
  /** What it used; at worst, where that is not known. */
  claim: Claim;
  allocations: Allocation[];
  /** The row of `usage_events` as JSON, by column name, in UTF-8: written once, for the journal and for Postgres. */
  json: Buffer;
  /** Made from a hold whose process died; a job of that hold goes on, and ends in an event of its own. */
  isGuess?: true;
}

const OPENING = Buffer.from('[');
const COMMA = Buffer.from(',');
const CLOSING = Buffer.from(']');

/**
 * The rows of events as one JSON array, in bytes that Postgres gets as they are: as texts that are put together they would lie in the
 * heap three times while the statement is under way, and the collector would copy them.
 */
export function rowsOf(events: readonly FlushEvent[]): Buffer {
  const pieces = events.flatMap(({ json }, index) => [index === 0 ? OPENING : COMMA, json]);
  return Buffer.concat([...pieces, CLOSING]);
}

/** What an instance tells of one of its leases: its sum of returned money and what its calls hold just now. */
export interface LeaseReport {
  teamId: TeamId;
  counterId: CounterId;
  returned: bigint;
  held: bigint;
}

/** A hold that Postgres is to keep on its own, with what it took from which counters. */
export interface DurableHold {
  id: string;
  teamId: TeamId;
  allocations: Allocation[];
}

export interface FlushBatch {
  instanceId: string;
  events: FlushEvent[];
  reports: LeaseReport[];
  holds?: readonly DurableHold[];
  /** What the instance has seen of the store; null: nothing yet. */
  seen?: Seen | null;
  /** The number of the last event, where there is one: an instance numbers its events from 1. */
  flushed?: number;
}

/** What an instance brings back of what the store has forgotten. Its leases pay nothing of it: they end. */
export interface PutBackBatch {
  instanceId: string;
  /** In which it is put back; null: the instance is dead, and its journal is read. */
  epoch: string | null;
  /** Of a dead instance, what it was fenced at. */
  fenced?: Fenced;
  events: FlushEvent[];
  /** With the last batch: the holds of calls in flight, and the number of the last event. */
  last: { holds: readonly DurableHold[]; flushed: number } | null;
}

/** Events of an instance, by their numbers, that are in no journal. */
export interface EventGap {
  instanceId: string;
  first: number;
  last: number;
}

/** A counter that a batch may move. */
export type CounterRow = Omit<CounterSpec, 'sourceId' | 'amount' | 'rollingMs'>;

/** By event id and counter id, what holds that ended had kept. */
export type EndedHolds = Map<string, ReadonlyMap<string, bigint>>;

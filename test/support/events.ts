/** Usage events as the ledger writes them, for tests that have no call to make them from. */

import type { Allocation } from '../../src/domain/budget.ts';
import { asId } from '../../src/domain/ids.ts';
import { formatUsd } from '../../src/domain/quantities.ts';
import { type CallFacts, eventJson, factsJson, type Outcome } from '../../src/ledger/events.ts';
import { eventFromJson } from '../../src/ledger/read-journal.ts';
import type { FlushEvent } from '../../src/store/hot/flush.ts';

export function factsOf(teamId: string, keyId: string, changes: Partial<CallFacts> = {}): CallFacts {
  return {
    teamId: asId(teamId),
    keyId: asId(keyId),
    operation: 'chat.completions',
    model: 'gpt-4o',
    stream: false,
    endUser: null,
    departments: null,
    priceId: 'price-1',
    outputLimit: null,
    ...changes,
  };
}

export function settledOutcome(cost: bigint, changes: Partial<Outcome> = {}): Outcome {
  return {
    outcome: 'settled',
    provenance: 'reported',
    reason: null,
    upstreamStatus: 200,
    upstreamRequestId: 'req-1',
    responseModel: 'gpt-4o-2024-08-06',
    serviceTier: 'default',
    usage: {
      input_tokens: 10,
      cached_input_tokens: 1,
      cache_write_tokens: 2,
      output_tokens: 3,
      reasoning_tokens: 1,
    },
    cost,
    priceId: 'price-1',
    ...changes,
  };
}

export interface EventOptions {
  id: string;
  instanceId: string;
  teamId: string;
  keyId: string;
  cost: bigint;
  held: bigint;
  allocations: Allocation[];
  /** What else was known when it was held. */
  facts?: Partial<CallFacts>;
  /** What differs from a call that was settled. */
  outcome?: Partial<Outcome>;
  /** Microseconds by stage. */
  stageUs?: Record<string, number>;
}

/** The event of a call, settled unless told otherwise. */
export function eventOf(options: EventOptions): FlushEvent {
  const { id, instanceId, teamId, keyId, cost, held, allocations, outcome = {} } = options;
  const facts = factsJson(id, instanceId, factsOf(teamId, keyId, options.facts), held);
  const stageUs = options.stageUs ?? { estimate: 12, forward: 3400 };
  return eventFromJson(
    eventJson(facts, settledOutcome(cost, outcome), allocationsText(allocations), stageUs),
  );
}

/** Allocations as they stand in the row of an event. */
export function allocationsText(allocations: readonly Allocation[]): string {
  const parts = allocations.map(({ counterId, held, settled }) => ({
    counter: counterId,
    held: formatUsd(held),
    settled: formatUsd(settled),
  }));
  return JSON.stringify(parts);
}

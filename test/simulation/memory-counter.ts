/** A counter of the store in memory, what it has left, and what it lent. */

import { type CounterSpec, windowAnchorId } from '../../src/domain/counter.ts';
import type { CounterState } from '../../src/domain/quantities.ts';
import { bucketMs, oldestBucketMs } from '../../src/domain/window.ts';

export interface MemoryCounter extends CounterState {
  spec: CounterSpec;
  contendedUntilMs: number;
}

export interface MemoryLease {
  counterId: string;
  instanceId: string;
  granted: bigint;
  returned: bigint;
  settled: bigint;
  held: bigint;
}

export const NO_LEASE = { granted: 0n, returned: 0n, settled: 0n, held: 0n };

/** What a counter has; of a bucket, what the others of its window leave it. */
export function stateOf(
  counters: ReadonlyMap<string, MemoryCounter>,
  spec: CounterSpec,
  nowMs: number,
): CounterState & { freesInMs?: number } {
  const { amount, settled, held, leased } = counters.get(spec.id)!;
  if (spec.rollingMs === null) return { amount, settled, held, leased };
  const length = bucketMs(spec.rollingMs);
  const anchor = counters.get(windowAnchorId(spec))!;
  const oldestMs = oldestBucketMs(spec.rollingMs, spec.startsAtMs);
  const others = [...counters.values()].filter(
    (each) =>
      each.spec.sourceId === spec.sourceId &&
      each.spec.subjectId === spec.subjectId &&
      each.spec.id !== spec.id &&
      each.spec.endsAtMs! > oldestMs,
  );
  const taken = (each: MemoryCounter) => each.settled + each.held + each.leased;
  const sum = others.reduce((total, each) => total + taken(each), 0n);
  const ends = others.filter((each) => taken(each) > 0n).map((each) => each.spec.endsAtMs!);
  const freesAtMs = (ends.length > 0 ? Math.min(...ends) : nowMs) + spec.rollingMs + length;
  const isNow = nowMs > spec.startsAtMs - length && nowMs < spec.endsAtMs! + length;
  return {
    amount: isNow ? anchor.amount - sum : 0n,
    settled,
    held,
    leased,
    freesInMs: Math.max(1, Math.ceil(freesAtMs - nowMs)),
  };
}

/** Gives a map these entries and no others. */
export function refill<Key, Value>(map: Map<Key, Value>, entries: Iterable<[Key, Value]>): void {
  map.clear();
  for (const [key, value] of entries) map.set(key, value);
}

/**
 * Lending: the state of counters, and what Postgres grants of them. Pure.
 */

const max = (a: bigint, b: bigint) => (a > b ? a : b);
const min = (a: bigint, b: bigint) => (a < b ? a : b);

/** The state of a counter, as far as granting needs it. */
export interface CounterState {
  amount: bigint;
  settled: bigint;
  held: bigint;
  leased: bigint;
}

/** What can still be lent or held. Negative when the amount was lowered below what is out. */
export function unlent(state: CounterState): bigint {
  return state.amount - state.settled - state.held - state.leased;
}

/** What one pool of a lease request asks for: at least `min` over its counters in order, at best `want`. */
export interface LeaseNeed {
  counterIds: string[];
  min: bigint;
  want: bigint;
}

/**
 * Grants a whole call over all its pools, all or none: each pool lends up to `want` in order, unless any pool lacks its
 * `min`. Pools without a `min` are prefetches: they neither stop nor depend on the others.
 * Returns the grant by counter id (empty when nothing could be granted) and the counters of which there was too little,
 * where it would do if everyone gave back what is lent to him.
 */
export function grantAllOrNone(
  needs: readonly LeaseNeed[],
  states: ReadonlyMap<string, CounterState>,
): { met: boolean; grants: Map<string, bigint>; lacking: string[] } {
  const left = new Map<string, bigint>();
  for (const [id, state] of states) left.set(id, max(0n, unlent(state)));
  const available = (need: LeaseNeed) => need.counterIds.reduce((sum, id) => sum + (left.get(id) ?? 0n), 0n);
  const unmet = needs.filter((need) => available(need) < need.min);
  const met = unmet.length === 0;
  const grants = new Map<string, bigint>();
  for (const need of needs) {
    if (!met && need.min > 0n) continue;
    let rest = max(need.want, need.min);
    for (const id of need.counterIds) {
      const free = left.get(id) ?? 0n;
      const part = min(free, rest);
      if (part <= 0n) continue;
      left.set(id, free - part);
      grants.set(id, (grants.get(id) ?? 0n) + part);
      rest -= part;
    }
  }
  const lendable = (id: string) => {
    const state = states.get(id);
    return state === undefined ? 0n : max(0n, unlent({ ...state, leased: 0n }));
  };
  const lacking = unmet.filter(
    (need) => need.counterIds.reduce((sum, id) => sum + lendable(id), 0n) >= need.min,
  );
  return { met, grants, lacking: lacking.flatMap((need) => need.counterIds) };
}

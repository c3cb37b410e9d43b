/** What a call that was not served is told after Postgres's word. */
import { retryAfterMs } from '../domain/admission.ts';
import { type Claim, claimed } from '../domain/claim.ts';
import type { Denial } from './ask.ts';
import type { Lease } from './lease.ts';
import { ceilingOf, comesBack, type LeasedPool, roomOf } from './pool.ts';

export interface Hearing {
  /** The call's pools as they are now. */
  pools: readonly LeasedPool[];
  smallest: Claim;
  /** It was asked for after its wait was over. */
  overdue: boolean;
  /** The leases that Postgres's word was about, under the rules as they are. */
  fresh: ReadonlySet<Lease>;
  waiting: number;
  jitter: number;
}

/** Refuses for good what cannot fit any more, and for now who has waited long enough; null: the call waits on. */
export function judge({ pools, smallest, overdue, fresh, waiting, jitter }: Hearing): Denial | null {
  // A window or grant that began, or a rule that changed, while the question was under way was not answered.
  if (!pools.every((pool) => pool.leases.every((lease) => fresh.has(lease)))) return null;
  const full = pools.find((pool) => pool.leases.some((lease) => lease.isAbsent));
  if (full) return { kind: 'too_many_users', counter: full.leases[0]!.spec };
  const budgets = pools.filter((pool) => !pool.isFlow);
  const poorest = shortest(budgets, smallest, ceilingOf);
  if (poorest) return { kind: 'insufficient', counter: counterOf(poorest), ceiling: ceilingOf(poorest) };
  const flows = pools.filter((pool) => pool.isFlow);
  const refused = flowDenial(flows, smallest, jitter);
  if (refused && flows.every((pool) => roomOf(pool) + comesBack(pool) >= claimed(pool.meter, smallest))) {
    return overdue ? { ...refused, retryAfterMs: retryAfterMs(waiting, jitter) } : null;
  }
  if (refused || !overdue) return refused;
  const short = shortest(budgets, smallest, roomOf);
  // What this instance gave back is in nobody's way, once Postgres hears of it: in a moment.
  if (short === null && budgets.some((pool) => pool.leases.some((lease) => lease.unreported > 0n)))
    return null;
  const tightest = short ?? shortest(budgets, smallest, () => 0n);
  const counter = tightest && counterOf(tightest);
  return { kind: 'held', counter, retryAfterMs: retryAfterMs(waiting, jitter) };
}

/**
 * A call for which a limit on flow has no room is refused at once: what it needs comes back by itself, not by others. But
 * for what was lent to this very instance for a bucket that is over: that is back in a moment.
 */
function flowDenial(pools: readonly LeasedPool[], smallest: Claim, jitter: number) {
  const full = shortest(pools, smallest, roomOf);
  if (full === null) return null;
  const lease = full.leases[0]!;
  return {
    kind: 'flow' as const,
    counter: lease.spec,
    remaining: roomOf(full),
    retryAfterMs: Math.round((lease.freesInMs ?? 1000) + jitter * 500),
  };
}

/** How long a full limit on flow is refused without asking Postgres again. */
const FULL_MS = 200;

/** Remembers that the limits on flow among these had no room. */
export function markFull(pools: readonly LeasedPool[], nowMs: number): void {
  for (const pool of pools) if (pool.isFlow) pool.leases[0]!.fullUntilMs = nowMs + FULL_MS;
}

/** What a call is told for which a limit on flow had no room a moment ago; null: Postgres must be asked. */
export function knownFull(
  pools: readonly LeasedPool[],
  smallest: Claim,
  nowMs: number,
  jitter: number,
): Denial | null {
  const full = pools.filter((pool) => pool.isFlow && nowMs < pool.leases[0]!.fullUntilMs);
  return flowDenial(full, smallest, jitter);
}

/** The pool that lacks most of what the call needs, as a part of it; null: none lacks anything. */
function shortest(
  pools: readonly LeasedPool[],
  claim: Claim,
  measure: (pool: LeasedPool) => bigint,
): LeasedPool | null {
  let worst: { pool: LeasedPool; has: bigint; needs: bigint } | null = null;
  for (const pool of pools) {
    const needs = claimed(pool.meter, claim);
    const has = measure(pool);
    // has / needs < worst.has / worst.needs, without a division; needs is above 0 where something lacks.
    if (has < needs && (worst === null || has * worst.needs < worst.has * needs))
      worst = { pool, has, needs };
  }
  return worst?.pool ?? null;
}

function counterOf(pool: LeasedPool) {
  return pool.leases.at(-1)?.spec ?? null;
}

/** What a call that was not served is told after Postgres's word. */
import { retryAfterMs } from '../domain/admission.ts';
import type { Denial } from './ask.ts';
import type { Lease } from './lease.ts';
import { ceilingOf, type LeasedPool, leastOf, roomOf } from './pool.ts';

export interface Hearing {
  /** The call's pools as they are now. */
  pools: LeasedPool[];
  smallest: bigint;
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
  const poorest = leastOf(pools, ceilingOf);
  if (poorest && smallest > poorest.amount) {
    return { kind: 'insufficient', counter: counterOf(poorest.pool), ceiling: poorest.amount };
  }
  if (!overdue) return null;
  const tightest = leastOf(pools, roomOf);
  const counter = tightest && counterOf(tightest.pool);
  return { kind: 'held', counter, retryAfterMs: retryAfterMs(waiting, jitter) };
}

function counterOf(pool: LeasedPool) {
  return pool.leases.at(-1)?.spec ?? null;
}

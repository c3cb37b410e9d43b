/** Pools of leases in some state, for tests of what is decided by it. */

import { LeasedPool } from '../../src/admission/leases.ts';
import { asId } from '../../src/domain/ids.ts';
import { Demand, Lease } from '../../src/domain/lease.ts';
import type { Claim } from '../../src/domain/quantities.ts';
import { counterSpec } from '../support/catalog.ts';

export interface KnownCounter {
  amount: bigint;
  /** Lent to other instances. */
  away?: bigint;
  /** Lent to this instance. */
  here?: bigint;
  settled?: bigint;
}

/** A lease after a reply of Postgres. */
export function leaseWith(id: string, known: KnownCounter, demand = new Demand(0)): Lease {
  const { amount, away = 0n, here = 0n, settled = 0n } = known;
  const lease = new Lease(counterSpec('team', { sourceId: asId(id), amount }), demand, 0);
  const sums = { granted: here, returned: 0n, settled: 0n };
  lease.learn({ id: lease.spec.id, amount, settled, held: 0n, leased: away + here, lease: sums }, 0);
  return lease;
}

export function poolOf(id: string, leases: Lease[], changes: Partial<PoolChanges> = {}): LeasedPool {
  const pool = { id, rule: id, meter: 'cost_usd' as const, isRateLimit: false, maxHold: null, ...changes };
  const demand = leases[0]?.demand ?? new Demand(0);
  return new LeasedPool({ ...pool, counters: leases.map((lease) => lease.spec) }, demand, leases, null);
}

interface PoolChanges {
  isRateLimit: boolean;
  maxHold: bigint | null;
}

export function poolWith(id: string, known: KnownCounter, changes: Partial<PoolChanges> = {}): LeasedPool {
  return poolOf(id, [leaseWith(id, known)], changes);
}

export const costing = (cost: bigint): Claim => ({ cost, input_tokens: 0, output_tokens: 0 });

/**
 * The lease book: all leases of this instance, in memory. Owns: taking a call's money out of every pool it touches in
 * one synchronous step, and putting back what it did not need. Does not own: asking Postgres (desk), telling it
 * (flusher). Invariant: what is held here was lent here; nothing is ever taken below zero.
 */
import { type Account, poolsAt, settleInOrder, takeInOrder } from '../domain/budget.ts';
import { Lease } from './lease.ts';

/** The leases of one pool, in the order in which they pay. */
export interface LeasedPool {
  id: string;
  leases: Lease[];
}

/** One pool's part in a hold. */
export interface HeldPool {
  leases: Lease[];
  held: bigint[];
}

export interface PoolRoom {
  pool: LeasedPool;
  room: bigint;
  amount: bigint;
}

const IDLE_MS = 10_000;
const FORGET_MS = 3_600_000;

export class LeaseBook {
  readonly #leases = new Map<string, Lease>();
  readonly #pools = new WeakMap<Account, { pools: LeasedPool[]; validUntilMs: number }>();
  #lastTickMs = 0;
  /** How many instances share the counters. */
  instances = 1;

  poolsOf(account: Account, nowMs: number): LeasedPool[] {
    const known = this.#pools.get(account);
    if (known && nowMs < known.validUntilMs) return known.pools;
    const { pools, validUntilMs } = poolsAt(account, nowMs);
    const leased = pools.map((pool) => ({
      id: pool.id,
      leases: pool.counters.map((spec) => {
        const lease = this.#leases.get(spec.id) ?? new Lease(spec);
        this.#leases.set(spec.id, lease);
        return lease;
      }),
    }));
    this.#pools.set(account, { pools: leased, validUntilMs });
    return leased;
  }

  /** The pool that has least left; null where there is none. A pool without counters has nothing left. */
  tightest(pools: LeasedPool[]): PoolRoom | null {
    let tightest: PoolRoom | null = null;
    for (const pool of pools) {
      let room = 0n;
      let amount = 0n;
      for (const lease of pool.leases) {
        room += lease.room;
        amount += lease.state?.amount ?? lease.spec.amount;
      }
      if (tightest === null || room < tightest.room) tightest = { pool, room, amount };
    }
    return tightest;
  }

  /** Takes the amount out of every pool, or out of none. */
  take(pools: LeasedPool[], amount: bigint, nowMs: number): HeldPool[] | null {
    const held: HeldPool[] = [];
    for (const { leases } of pools) {
      // The usual pool has one counter, and the check must cost nothing.
      const only = leases.length === 1 ? leases[0]! : null;
      const parts = only
        ? only.free >= amount
          ? [amount]
          : null
        : takeInOrder(
            leases.map((lease) => lease.free),
            amount,
          );
      if (parts === null) return null;
      held.push({ leases, held: parts });
    }
    for (const pool of held) {
      for (let i = 0; i < pool.leases.length; i++) {
        if (pool.held[i]! > 0n) pool.leases[i]!.take(pool.held[i]!, nowMs);
      }
    }
    return held;
  }

  /** Ends a hold at its cost; answers what each pool's counters are charged, in the order of `held`. */
  settle(held: HeldPool[], cost: bigint): bigint[][] {
    return held.map((pool) => {
      const settled = settleInOrder(pool.held, cost);
      for (let i = 0; i < pool.leases.length; i++) {
        const part = pool.held[i]!;
        const spent = settled[i]!;
        if (part > 0n || spent > 0n) pool.leases[i]!.release(part, spent < part ? spent : part);
      }
      return settled;
    });
  }

  /**
   * Updates rates, and gives back what is idle or more than half above the aim.
   * @param mayForget nothing waits to be flushed, so leases long done can be dropped without losing their sums
   */
  tick(nowMs: number, mayForget: boolean): void {
    const elapsedMs = nowMs - this.#lastTickMs;
    this.#lastTickMs = nowMs;
    for (const [id, lease] of this.#leases) {
      lease.tick(elapsedMs);
      if (lease.free > 0n) {
        const aim = lease.aim(this.instances);
        const idle = nowMs - lease.lastUsedMs > IDLE_MS;
        const most = aim + aim / 2n;
        if (idle) lease.giveBack(lease.free);
        else if (lease.free > most) lease.giveBack(lease.free - aim);
      } else if (mayForget && lease.done && nowMs - lease.lastUsedMs > FORGET_MS) {
        this.#leases.delete(id);
      }
    }
  }

  /** Gives back all that is free of these teams. */
  recall(teamIds: ReadonlySet<string>): void {
    for (const lease of this.#leases.values()) {
      if (teamIds.has(lease.spec.teamId)) lease.giveBack(lease.free);
    }
  }

  leases(): IterableIterator<Lease> {
    return this.#leases.values();
  }
}

/**
 * The lease book: all leases of this instance, in memory. Owns: taking a call's money out of every pool it touches in
 * one synchronous step, and putting back what it did not need. Does not own: asking Postgres (desk), telling it
 * (flusher). Invariants: what is held here was lent here; nothing is ever taken below zero; a counter has one lease.
 */
import { type Account, type CounterSpec, poolsAt, settleInOrder, takeInOrder } from '../domain/budget.ts';
import { Lease } from './lease.ts';
import { excessOf, type HeldPool, type LeasedPool } from './pool.ts';

const IDLE_MS = 10_000;
const FORGET_MS = 3_600_000;

export class LeaseBook {
  readonly #monotonicMs: () => number;
  readonly #leases = new Map<string, Lease>();
  #pools = new WeakMap<Account, { pools: LeasedPool[]; validUntilMs: number }>();
  /** The pool in which a lease was last seen. */
  readonly #poolOf = new WeakMap<Lease, LeasedPool>();
  #lastTickMs: number;
  /** How many instances share the counters. */
  instances = 1;

  /** Idle time and rates are measured on the monotonic clock: one that was set would forge them. */
  constructor(monotonicMs: () => number) {
    this.#monotonicMs = monotonicMs;
    this.#lastTickMs = monotonicMs();
  }

  /** The account's pools for a call admitted at this moment (milliseconds since the epoch, Postgres's clock). */
  poolsOf(account: Account, atMs: number): LeasedPool[] {
    const known = this.#pools.get(account);
    if (known && atMs < known.validUntilMs) return known.pools;
    const { pools, validUntilMs } = poolsAt(account, atMs);
    const leased = pools.map(({ id, counters }) => ({
      id,
      leases: counters.map((spec) => this.#lease(spec)),
    }));
    for (const pool of leased) for (const lease of pool.leases) this.#poolOf.set(lease, pool);
    this.#pools.set(account, { pools: leased, validUntilMs });
    return leased;
  }

  #lease(spec: CounterSpec): Lease {
    const lease = this.#leases.get(spec.id) ?? new Lease(spec, this.#monotonicMs());
    this.#leases.set(spec.id, lease);
    return lease;
  }

  /** Takes the amount out of every pool, or out of none. */
  take(pools: LeasedPool[], amount: bigint): HeldPool[] | null {
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
    const nowMs = this.#monotonicMs();
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
        if (part > 0n) pool.leases[i]!.release(part, spent < part ? spent : part);
      }
      return settled;
    });
  }

  /**
   * Updates rates, and gives back what is idle or more than half above the aim.
   * @param mayForget nothing waits to be flushed, so leases long done can be dropped without losing their sums
   */
  tick(mayForget: boolean): void {
    const nowMs = this.#monotonicMs();
    const elapsedMs = nowMs - this.#lastTickMs;
    this.#lastTickMs = nowMs;
    let forgot = false;
    for (const [id, lease] of this.#leases) {
      lease.tick(elapsedMs);
      if (lease.free > 0n) {
        const idle = nowMs - lease.lastUsedMs > IDLE_MS;
        lease.giveBack(idle ? lease.free : excessOf(this.#poolOf.get(lease)!, lease, this.instances));
      } else if (mayForget && lease.done && nowMs - lease.lastUsedMs > FORGET_MS) {
        this.#leases.delete(id);
        forgot = true;
      }
    }
    // A pool that still named a forgotten lease would spend it beside the one that is made in its place.
    if (forgot) this.#pools = new WeakMap();
  }

  /** The rules of these teams changed: gives back all that is free or comes free before Postgres was asked again. */
  recall(teamIds: ReadonlySet<string>): void {
    for (const lease of this.#leases.values()) {
      if (teamIds.has(lease.spec.teamId)) lease.recall();
    }
  }

  leases(): IterableIterator<Lease> {
    return this.#leases.values();
  }
}

/**
 * The lease book: all leases of this instance, in memory. Owns: taking a call's claim out of every pool it touches in
 * one synchronous step, and putting back what it did not need. Does not own: asking Postgres (desk), telling it
 * (flusher). Invariants: what is held here was lent here; nothing is ever taken below zero; a counter has one lease.
 */
import {
  type Account,
  type CallKind,
  kindKey,
  type Pool,
  poolsAt,
  settleInOrder,
  takeInOrder,
} from '../domain/budget.ts';
import { type Claim, claimed, used } from '../domain/claim.ts';
import type { CounterSpec } from '../domain/counter.ts';
import type { Clock } from './clock.ts';
import { Demand } from './demand.ts';
import { Lease, SCARCE_MS } from './lease.ts';
import { excessOf, type HeldPool, isPromotable, isScarce, type LeasedPool, usableOf } from './pool.ts';

const IDLE_MS = 10_000;
const FORGET_MS = 3_600_000;
/** A bucket of a rolling window is over soon, and so are its lease and the calls that it paid for. */
const FORGET_BUCKET_MS = 60_000;
/** Pools that an account's calls were sorted into; end users make many kinds of calls. */
const KINDS_MAX = 1_000;

export interface LeasedPools {
  pools: LeasedPool[];
  funded: boolean;
  validUntilMs: number;
}

export class LeaseBook {
  readonly #clock: Pick<Clock, 'nowMs' | 'monotonicMs'>;
  readonly #leases = new Map<string, Lease>();
  readonly #demands = new Map<string, Demand>();
  #pools = new WeakMap<Account, Map<string, LeasedPools>>();
  /** The newest two buckets of each rolling window. */
  readonly #lastBuckets = new WeakMap<Demand, { lease: Lease; before: Lease | null }>();
  /** The pool in which a lease was last seen. */
  readonly #poolOf = new WeakMap<Lease, LeasedPool>();
  #lastTickMs: number;
  /** How many instances share the counters. */
  instances = 1;

  /** Idle time and rates are measured on the monotonic clock: one that was set would forge them. */
  constructor(clock: Pick<Clock, 'nowMs' | 'monotonicMs'>) {
    this.#clock = clock;
    this.#lastTickMs = clock.monotonicMs();
  }

  /** The pools of a call admitted at this moment (milliseconds since the epoch, Postgres's clock). */
  poolsOf(account: Account, kind: CallKind, atMs: number): LeasedPools {
    const key = account.limits.length === 0 ? '' : kindKey(account, kind);
    let kinds = this.#pools.get(account);
    const known = kinds?.get(key);
    if (known && atMs < known.validUntilMs) return known;
    if (!kinds || kinds.size >= KINDS_MAX) {
      kinds = new Map();
      this.#pools.set(account, kinds);
    }
    const { pools, funded, validUntilMs } = poolsAt(account, kind, atMs);
    const leased = { pools: pools.map((pool) => this.#pool(pool)), funded, validUntilMs };
    kinds.set(key, leased);
    return leased;
  }

  #pool({ id, rule, meter, isFlow, maxHold, counters }: Pool): LeasedPool {
    let demand = this.#demands.get(rule);
    if (!demand) {
      demand = new Demand(this.#clock.monotonicMs());
      this.#demands.set(rule, demand);
    }
    const leases = counters.map((spec) => this.#lease(spec, demand));
    const before = isFlow ? this.#before(demand, leases[0]!) : null;
    const pool = { id, meter, isFlow, maxHold, demand, leases, before };
    for (const lease of leases) this.#poolOf.set(lease, pool);
    return pool;
  }

  #before(demand: Demand, lease: Lease): Lease | null {
    let last = this.#lastBuckets.get(demand);
    if (last?.lease !== lease) last = { lease, before: last?.lease ?? null };
    this.#lastBuckets.set(demand, last);
    return last.before;
  }

  #lease(spec: CounterSpec, demand: Demand): Lease {
    const id = `${spec.teamId}/${spec.id}`;
    const lease = this.#leases.get(id) ?? new Lease(spec, demand, this.#clock.monotonicMs());
    this.#leases.set(id, lease);
    // The rule may have changed since, and its demand may have been forgotten meanwhile.
    lease.spec = spec;
    lease.demand = demand;
    return lease;
  }

  /** Takes the claim out of every pool, or out of none. */
  take(pools: readonly LeasedPool[], claim: Claim): HeldPool[] | null {
    const held: HeldPool[] = [];
    for (const pool of pools) {
      const { meter, leases } = pool;
      const amount = claimed(meter, claim);
      // The usual pool has one counter, and the check must cost nothing.
      const only = leases.length === 1 ? leases[0]! : null;
      const enough = (only ? only.available : usableOf(pool)) >= amount;
      const parts = !enough
        ? null
        : only
          ? [amount]
          : takeInOrder(
              leases.map((lease) => lease.available),
              amount,
            );
      if (parts === null) return null;
      held.push({ meter, leases, held: parts });
    }
    const nowMs = this.#clock.monotonicMs();
    for (const pool of held) {
      for (let i = 0; i < pool.leases.length; i++) {
        if (pool.held[i]! > 0n) pool.leases[i]!.take(pool.held[i]!, nowMs);
      }
    }
    return held;
  }

  /**
   * Ends a hold at what was used (null: nothing happened); answers what each pool's counters are charged, in the order
   * of `held`. What Postgres keeps on its own by now (`promoted`) has left the leases before.
   */
  settle(held: readonly HeldPool[], spent: Claim | null, promoted = false): bigint[][] {
    const nowMs = this.#clock.monotonicMs();
    return held.map((pool) => {
      const settled = settleInOrder(pool.held, spent === null ? 0n : used(pool.meter, spent));
      if (promoted && isPromotable(pool)) return settled;
      for (let i = 0; i < pool.leases.length; i++) {
        const part = pool.held[i]!;
        const paid = settled[i]!;
        if (part > 0n) pool.leases[i]!.release(part, paid < part ? paid : part, nowMs);
      }
      return settled;
    });
  }

  /** Postgres has written a hold down on its own: what it took leaves the leases. */
  promote(held: readonly HeldPool[]): void {
    for (const pool of held) {
      if (!isPromotable(pool)) continue;
      for (let i = 0; i < pool.leases.length; i++) {
        if (pool.held[i]! > 0n) pool.leases[i]!.promote(pool.held[i]!);
      }
    }
  }

  /**
   * Updates rates, and gives back what is idle, over, scarce, or more than half above the aim.
   * @param flushedMs until when Postgres knows what calls cost: of leases long done that paid for nothing since, it has
   * the sums, so they can be dropped
   */
  tick(flushedMs: number): void {
    const nowMs = this.#clock.monotonicMs();
    const elapsedMs = nowMs - this.#lastTickMs;
    this.#lastTickMs = nowMs;
    for (const [rule, demand] of this.#demands) {
      demand.tick(elapsedMs);
      if (nowMs - demand.lastUsedMs > FORGET_MS) this.#demands.delete(rule);
    }
    let forgot = false;
    for (const [id, lease] of this.#leases) {
      if (lease.free > 0n) lease.giveBack(this.#unneeded(lease, nowMs));
      else if (lease.done && lease.lastEndedMs < flushedMs && nowMs - lease.lastUsedMs > forgetMs(lease)) {
        this.#leases.delete(id);
        // Its pool names the bucket before, and that one's pool the one before that: a chain without an end.
        this.#poolOf.delete(lease);
        forgot = true;
      }
    }
    // A pool that still named a forgotten lease would spend it beside the one that is made in its place.
    if (forgot) this.#pools = new WeakMap();
  }

  #unneeded(lease: Lease, nowMs: number): bigint {
    const { rollingMs, endsAtMs } = lease.spec;
    const pool = this.#poolOf.get(lease)!;
    if (rollingMs !== null && endsAtMs! <= this.#clock.nowMs()) return lease.free;
    if (nowMs - lease.lastUsedMs > IDLE_MS || isScarce(pool, nowMs)) return lease.free;
    return excessOf(pool, lease, this.instances, nowMs);
  }

  /** The rules of these teams changed: gives back all that is free or comes free before Postgres was asked again. */
  recall(teamIds: ReadonlySet<string> | 'all'): void {
    for (const lease of this.#leases.values()) {
      if (teamIds === 'all' || teamIds.has(lease.spec.teamId)) lease.recall();
    }
  }

  /** Others want more of these counters than there is: what is free here goes back. */
  heardOfScarcity(counterIds: readonly string[]): void {
    const nowMs = this.#clock.monotonicMs();
    for (const id of counterIds) {
      const lease = this.#leases.get(id);
      if (lease) lease.scarceUntilMs = nowMs + SCARCE_MS;
    }
  }

  /** Postgres may have taken our slots for a dead instance's: none is given out before it was asked again. */
  suspendSlots(): void {
    for (const lease of this.#leases.values()) if (lease.spec.meter === 'concurrency') lease.suspend();
  }

  leases(): IterableIterator<Lease> {
    return this.#leases.values();
  }
}

function forgetMs({ spec }: Lease): number {
  return spec.rollingMs === null ? FORGET_MS : FORGET_BUCKET_MS;
}

/**
 * The leases: all of this instance, in memory, by the pools that pay together. Owns: taking a call's claim out of every pool
 * it touches in one synchronous step, and putting back what it did not need. Does not own: requests to Postgres (queue) and
 * reports to it (flusher). Invariants: what is held here was lent here; nothing is taken below zero; a counter has one lease.
 */

import { type Account, type CallKind, kindKey, type Pool, poolsAt, settleInOrder } from '../domain/budget.ts';
import type { CounterSpec } from '../domain/counter.ts';
import type { TeamId } from '../domain/ids.ts';
import { CONTENDED_MS, Demand, IDLE_MS, Lease, type LeaseKind, leaseKindOf } from '../domain/lease.ts';
import type { Meter } from '../domain/limit.ts';
import type { PicoUsd } from '../domain/money.ts';
import { type Claim, claimed, NOTHING_USED, used } from '../domain/quantities.ts';
import {
  type Admission,
  admit,
  excessOf,
  isContended,
  type PoolView,
  type ReservationRequest,
} from './decide.ts';

const FORGET_MS = 3_600_000;
/** A bucket of a rolling window is over soon, and so are its lease and the calls that it paid for. */
const FORGET_BUCKET_MS = 60_000;
/** Kinds of calls that are remembered for an account; end users make many. */
const KINDS_MAX = 1_000;

/** The leases of one pool, which together must cover a call, in the order in which they pay. */
export class LeasedPool implements PoolView {
  readonly id: string;
  /** Names the pool and its leases: grants that began or ended make another pool of the same id. */
  readonly key: string;
  readonly meter: Meter;
  readonly isRateLimit: boolean;
  readonly kind: LeaseKind;
  readonly maxHold: bigint | null;
  readonly demand: Demand;
  readonly leases: readonly Lease[];
  readonly before: Lease | null;
  /** What it holds comes back by time, not by a call's end; all else that a call holds must outlive its instance. */
  readonly isPersistable: boolean;

  constructor(pool: Pool, demand: Demand, leases: readonly Lease[], before: Lease | null) {
    this.id = pool.id;
    this.key = leases.length === 1 ? pool.id : `${pool.id}/${leases.map(({ spec }) => spec.id).join()}`;
    this.meter = pool.meter;
    this.isRateLimit = pool.isRateLimit;
    this.maxHold = pool.maxHold;
    this.demand = demand;
    this.leases = leases;
    this.before = before;
    const spec = leases[0]?.spec;
    this.kind = leaseKindOf(pool.isRateLimit, spec);
    this.isPersistable = spec !== undefined && spec.rollingMs === null && spec.meter !== 'concurrency';
  }

  /**
   * What this instance may spend at once. Counters pay in order, so what lies beyond one that has money elsewhere must
   * not be touched: that money has to be fetched first.
   */
  get usable(): bigint {
    let usable = 0n;
    for (const lease of this.leases) {
      usable += lease.available;
      if (lease.room > lease.free) break;
    }
    return usable;
  }

  get room(): bigint {
    let room = 0n;
    for (const lease of this.leases) room += lease.room;
    return room;
  }

  get amount(): bigint {
    let amount = 0n;
    for (const lease of this.leases) amount += lease.state?.amount ?? lease.spec.amount;
    return amount;
  }

  get ceiling(): bigint {
    let ceiling = 0n;
    for (const lease of this.leases) ceiling += lease.state ? lease.ceiling : lease.spec.amount;
    return ceiling;
  }

  /** What may still be spent, overruns counted. */
  get left(): bigint {
    let left = 0n;
    for (const lease of this.leases) left += lease.state ? lease.left : lease.spec.amount;
    return left;
  }

  get remaining(): bigint {
    let remaining = 0n;
    for (const lease of this.leases) remaining += lease.remaining;
    return remaining;
  }
}

/** The pools of one kind of call, until its windows change. */
export interface KindPools {
  readonly pools: readonly LeasedPool[];
  /** Those that a call without a cost touches: it takes its request and its slot. */
  readonly poolsOfFreeCalls: readonly LeasedPool[];
  /** Something bounds what the call may cost, or its team needs no bound. */
  readonly funded: boolean;
  /** The moment for which they were made: the clock may have been ahead of Postgres's before the first heartbeat. */
  readonly validFromMs: number;
  readonly validUntilMs: number;
}

export interface LeaseTableClock {
  /** Postgres's clock, in milliseconds since the epoch. */
  nowMs(): number;
  /** Idle time and rates are measured on it: a clock that was set would forge them. */
  monotonicMs(): number;
}

/** One call's claim, taken out of the leases. It ends by `settle` of the lease table, then `release`. */
export class Reservation {
  readonly kind = 'reservation';
  readonly teamId: TeamId;
  readonly claim: Claim;
  /** The output limit to write into the request; null: none. */
  readonly outputLimit: number | null;
  readonly pools: readonly LeasedPool[];
  /** What it holds of each lease of each pool, in their order. */
  readonly amounts: readonly bigint[];
  /** The moment of admission: the call belongs to the windows of that moment. */
  readonly atMs: number;
  readonly #queue: { released(): void } | null;

  /** @param queue the queue that its end may serve; null: none, for no pool holds anything of it */
  constructor(
    teamId: TeamId,
    { claim, outputLimit, amounts }: Admission,
    pools: readonly LeasedPool[],
    atMs: number,
    queue: { released(): void } | null,
  ) {
    this.teamId = teamId;
    this.claim = claim;
    this.outputLimit = outputLimit;
    this.amounts = amounts;
    this.pools = pools;
    this.atMs = atMs;
    this.#queue = queue;
  }

  /** The call has ended and its money is back: the next in its team's queue may be served. */
  release(): void {
    this.#queue?.released();
  }
}

export class LeaseTable {
  readonly #clock: LeaseTableClock;
  readonly #leases = new Map<string, Lease>();
  readonly #demands = new Map<string, Demand>();
  #pools = new WeakMap<Account, Map<string, KindPools>>();
  /** The newest two buckets of each rolling window. */
  readonly #lastBuckets = new WeakMap<Demand, { lease: Lease; before: Lease | null }>();
  /** The pool in which a lease was last seen. */
  readonly #poolOf = new WeakMap<Lease, LeasedPool>();
  #lastTickMs: number;
  /** How many instances share the counters. */
  instances = 1;

  constructor(clock: LeaseTableClock) {
    this.#clock = clock;
    this.#lastTickMs = clock.monotonicMs();
  }

  /** The pools of a call admitted at this moment (milliseconds since the epoch, Postgres's clock). */
  poolsOf(account: Account, kind: CallKind, atMs: number): KindPools {
    const key = account.limits.length === 0 ? '' : kindKey(account, kind);
    const known = this.#pools.get(account)?.get(key);
    if (known !== undefined && atMs < known.validUntilMs && atMs >= known.validFromMs) return known;
    return this.#makePools(account, kind, key, atMs);
  }

  #makePools(account: Account, kind: CallKind, key: string, atMs: number): KindPools {
    let kinds = this.#pools.get(account);
    if (!kinds || kinds.size >= KINDS_MAX) {
      kinds = new Map();
      this.#pools.set(account, kinds);
    }
    const rules = poolsAt(account, kind, atMs);
    const pools = rules.pools.map((pool) => this.#pool(pool));
    const poolsOfFreeCalls = pools.filter(({ meter }) => claimed(meter, NOTHING_USED) > 0n);
    const made = { ...rules, pools, poolsOfFreeCalls, validFromMs: atMs };
    kinds.set(key, made);
    return made;
  }

  /** Returns the pools that were made for calls of this kind, perhaps of a window that has ended; null: none were. */
  #knownPoolsOf(account: Account, kind: CallKind): readonly LeasedPool[] | null {
    const key = account.limits.length === 0 ? '' : kindKey(account, kind);
    return this.#pools.get(account)?.get(key)?.pools ?? null;
  }

  /**
   * What the tightest of the call's budgets may still spend, held money not counted; null: nothing bounds it. Looks only
   * at what is known of the account: the call may have been admitted under rules that have changed since, and must not
   * put them back on leases which calls under the new rules share.
   */
  remaining(account: Account, kind: CallKind, { pools: held }: Reservation): PicoUsd | null {
    const pools = this.#knownPoolsOf(account, kind) ?? held;
    let least: PicoUsd | null = null;
    for (const { meter, left } of pools) {
      if (meter === 'cost_usd' && (least === null || left < least)) least = left;
    }
    return least !== null && least < 0n ? 0n : least;
  }

  #pool(pool: Pool): LeasedPool {
    let demand = this.#demands.get(pool.rule);
    if (!demand) {
      demand = new Demand(this.#clock.monotonicMs());
      this.#demands.set(pool.rule, demand);
    }
    const leases: Lease[] = [];
    for (const spec of pool.counters) leases.push(this.#lease(spec, demand));
    const bucket = pool.isRateLimit ? leases[0] : undefined;
    const leased = new LeasedPool(pool, demand, leases, bucket ? this.#before(demand, bucket) : null);
    for (const lease of leases) this.#poolOf.set(lease, leased);
    return leased;
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
    // A changed amount of a department shows here first. The demand may have been forgotten meanwhile.
    if (lease.spec.amount !== spec.amount) lease.revoke();
    lease.spec = spec;
    lease.demand = demand;
    return lease;
  }

  /** While Postgres is silent: a team that fails open goes on where nothing strict binds its call; else null. */
  reserveUnbound(request: ReservationRequest): Reservation | null {
    const { account, kind } = request;
    if (!account.failOpen) return null;
    const atMs = this.#clock.nowMs();
    const { pools, funded } = this.poolsOf(account, kind, atMs);
    if (!funded || pools.length > 0) return null;
    const admission = admit(request, pools, { crowd: 0, peak: null, last: false });
    if (admission.kind === 'wait') return null;
    return new Reservation(account.principal.teamId, admission, pools, atMs, null);
  }

  /** Takes an admission's amounts, in the step in which it was decided, at this moment of the monotonic clock. */
  take(pools: readonly LeasedPool[], { amounts }: Admission, nowMs: number): void {
    let at = 0;
    for (const { leases } of pools) {
      for (const lease of leases) {
        const amount = amounts[at++] ?? 0n;
        if (amount > 0n) lease.take(amount, nowMs);
      }
    }
  }

  /**
   * Ends a reservation at what was used (null: nothing happened). Returns what each lease's counter is charged, in the
   * order of its amounts. What Postgres persists (`isPersisted`) has left the leases before.
   */
  settle({ pools, amounts }: Reservation, spent: Claim | null, isPersisted: boolean): bigint[] {
    const nowMs = this.#clock.monotonicMs();
    const settled: bigint[] = [];
    let at = 0;
    for (const pool of pools) {
      const { leases } = pool;
      const cost = spent === null ? 0n : used(pool.meter, spent);
      // The usual pool has one lease, which is charged whatever the call cost.
      if (leases.length === 1) settled.push(cost);
      else settled.push(...settleInOrder(amounts.slice(at, at + leases.length), cost));
      for (const lease of leases) {
        const held = amounts[at] ?? 0n;
        const paid = settled[at++] ?? 0n;
        if (paid > held) lease.overran(paid - held);
        if (held > 0n && !(isPersisted && pool.isPersistable)) {
          lease.release(held, paid < held ? paid : held, nowMs);
        }
      }
    }
    return settled;
  }

  /** Postgres has persisted a hold: what it took leaves the leases. */
  persist({ pools, amounts }: Reservation): void {
    let at = 0;
    for (const { leases, isPersistable } of pools) {
      for (const lease of leases) {
        const held = amounts[at++] ?? 0n;
        if (isPersistable && held > 0n) lease.persist(held);
      }
    }
  }

  /**
   * Updates rates, and gives back what is idle, over, contended, or more than half above the aim.
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
      else if (
        lease.isDone &&
        lease.lastEndedMs < flushedMs &&
        nowMs - lease.lastUsedMs > (lease.spec.rollingMs === null ? FORGET_MS : FORGET_BUCKET_MS)
      ) {
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
    if (rollingMs !== null && endsAtMs !== null && endsAtMs <= this.#clock.nowMs()) return lease.free;
    const pool = this.#poolOf.get(lease);
    const idleMs = nowMs - lease.lastUsedMs;
    if (pool === undefined || idleMs > IDLE_MS[pool.kind] || isContended(pool, nowMs)) return lease.free;
    return excessOf(pool, lease, this.instances, nowMs);
  }

  /** The rules of these teams changed: gives back all of their own that is free, or comes free before Postgres was asked. */
  revoke(teamIds: ReadonlySet<string> | 'all'): void {
    for (const lease of this.#leases.values()) {
      if (teamIds === 'all' || teamIds.has(lease.spec.teamId)) lease.revoke();
    }
  }

  /** What calls of these teams cost beyond their holds, by lease. */
  overruns(teamIds: ReadonlySet<string>): [Lease, bigint][] {
    const all = [...this.#leases.values()];
    const over = all.filter(({ overrun, spec }) => overrun > 0n && teamIds.has(spec.teamId));
    return over.map((lease) => [lease, lease.overrun]);
  }

  /** Others want more of these counters than there is: what is free here goes back. */
  contend(counterIds: readonly string[]): void {
    const nowMs = this.#clock.monotonicMs();
    for (const id of counterIds) {
      const lease = this.#leases.get(id);
      if (lease) lease.contendedUntilMs = nowMs + CONTENDED_MS;
    }
  }

  /** All leases end: no call that they pay for may begin any more. */
  end(): void {
    for (const lease of this.#leases.values()) lease.hasEnded = true;
  }

  /** All leases have ended, and what calls in flight hold of them is kept another way. */
  reset(): void {
    this.#leases.clear();
    this.#pools = new WeakMap();
  }

  /** Postgres may have given our slots to others: none is given out before it was asked again. */
  suspendSlots(): void {
    for (const lease of this.#leases.values()) if (lease.spec.meter === 'concurrency') lease.suspend();
  }

  /** Nothing is out, and nothing is left to report. */
  get areDone(): boolean {
    for (const lease of this.#leases.values()) if (!lease.isDone) return false;
    return true;
  }

  all(): IterableIterator<Lease> {
    return this.#leases.values();
  }
}

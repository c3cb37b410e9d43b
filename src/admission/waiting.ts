/**
 * Waiting: one call in a team's queue, and what Postgres is asked to lend meanwhile, and how often. How much an instance
 * keeps beside that is the aim of a lease (decide.ts); how many calls may wait is shared among the teams (domain/shares.ts).
 */
import type { TeamId } from '../domain/ids.ts';
import type { Lease, LeaseSnapshot } from '../domain/lease.ts';
import { type Claim, claimed } from '../domain/quantities.ts';
import type { QueueCapacity } from '../domain/shares.ts';
import type { LeasePool, LeaseReply } from '../store/hot/leases.ts';
import { aimOf, type Denial, leastClaim, type PoolView, type ReservationRequest } from './decide.ts';
import type { LeasedPool, LeaseTable, Reservation } from './leases.ts';

/** Delays, so that a simulation can run the queue on a clock of its own. */
export interface Timers {
  /** Calls back once after the delay. Returns how to cancel it. */
  after(delayMs: number, callback: () => void): () => void;
}

/** Nothing can be admitted just now, for a reason that is not a limit's. */
export interface Unavailable {
  readonly kind: 'unavailable';
}

/** The rules of the call's team changed while it waited: it must ask again, with its account as it is now. */
export interface Changed {
  readonly kind: 'changed';
}

export const UNAVAILABLE: Unavailable = { kind: 'unavailable' };
export const CHANGED: Changed = { kind: 'changed' };

export type QueueOutcome = Reservation | Denial | Unavailable | Changed;

export interface QueueOptions {
  table: LeaseTable;
  capacity: QueueCapacity;
  lending: Lending;
  clock: { nowMs(): number; monotonicMs(): number };
  timers: Timers;
  /** In [0, 1). */
  jitter(): number;
  queueTimeoutMs: number;
  /** Nothing may be admitted just now, not even on money that is here. */
  isBlocked(): boolean;
  requestLease(teamId: TeamId, pools: LeasePool[]): Promise<LeaseReply>;
  /** Another instance adopted this one: everything that waits must end. */
  onFenced(): void;
  onStoreError(error: unknown): void;
  /** An error of ours, after which the queue goes on. */
  onUnexpectedError(error: unknown): void;
}

export interface AdmissionOptions extends Omit<QueueOptions, 'table' | 'capacity' | 'lending'> {
  /** Waiting calls and bytes of their bodies, of the whole instance. */
  maxWaiting: number;
  maxWaitingBytes: number;
}

/** A call in the queue. Its outcome comes once, and is kept until `onOutcome` is set. */
export class QueuedCall {
  readonly kind = 'queued';
  readonly request: ReservationRequest;
  readonly smallest: Claim;
  /** When it came, on the monotonic clock. */
  readonly sinceMs: number;
  /** Its wait is over: the next reply of Postgres decides. */
  isOverdue = false;
  isWaiting = true;
  cancelTimer = () => {};
  readonly #leave: (call: QueuedCall) => void;
  #outcome: QueueOutcome | null = null;
  #onOutcome: ((outcome: QueueOutcome) => void) | null = null;

  constructor(request: ReservationRequest, sinceMs: number, leave: (call: QueuedCall) => void) {
    this.request = request;
    this.smallest = leastClaim(request);
    this.sinceMs = sinceMs;
    this.#leave = leave;
  }

  set onOutcome(callback: (outcome: QueueOutcome) => void) {
    this.#onOutcome = callback;
    if (this.#outcome !== null) this.end(this.#outcome);
  }

  /** Hands the outcome over, or keeps it until there is a callback. */
  end(outcome: QueueOutcome): void {
    this.#outcome = this.#onOutcome === null ? outcome : null;
    this.#onOutcome?.(outcome);
  }

  /** The caller does not wait any longer. Returns an outcome that was not handed over; null: there was none. */
  leave(): QueueOutcome | null {
    this.#leave(this);
    const outcome = this.#outcome;
    this.#outcome = null;
    return outcome;
  }
}

/** Whether Postgres lends to this instance, as its calls see it. */
export class Lending {
  /** The last request for a lease failed; it is made again. */
  isFailing = false;
  /** Calls that were admitted; the queue counts them. */
  admitted = 0;
  #admittedBefore: number | null = null;

  /** A call was refused for no limit. While the last request for a lease succeeded, that has another reason. */
  refused(): void {
    this.#admittedBefore = this.admitted;
  }

  /** Calls are refused because no lease can be had, and since the last that was none was admitted. */
  get isDown(): boolean {
    return this.isFailing && this.#admittedBefore === this.admitted;
  }
}

const SPACING_MS = 5;
const CONTENDED_SPACING_MS = 20;
const CONTENDED_SPACING_MAX_MS = 250;
const FAILED_SPACING_MS = 250;

/** How often a queue asks Postgres: less and less while the same request gets the same reply. Monotonic clock. */
export class LeaseRequestBackoff {
  #spacingMs = SPACING_MS;
  #repliedMs = Number.NEGATIVE_INFINITY;
  #nextMs = Number.NEGATIVE_INFINITY;
  #isFailing = false;

  /** Milliseconds until the next request may be sent. */
  delayMs(nowMs: number): number {
    return Math.max(0, this.#nextMs - nowMs);
  }

  /** Postgres replied. `isContended`: every call that still waits was asked for in vain. */
  replied(nowMs: number, isContended: boolean): void {
    this.#isFailing = false;
    this.#spacingMs = isContended
      ? Math.min(CONTENDED_SPACING_MAX_MS, Math.max(CONTENDED_SPACING_MS, this.#spacingMs * 2))
      : SPACING_MS;
    this.#repliedMs = nowMs;
    this.#nextMs = nowMs + this.#spacingMs;
  }

  failed(nowMs: number): void {
    this.#isFailing = true;
    this.#nextMs = nowMs + FAILED_SPACING_MS;
  }

  /** There is something new to ask for, which nothing is known against. */
  hurry(): void {
    if (!this.#isFailing) this.#nextMs = Math.min(this.#nextMs, this.#repliedMs + SPACING_MS);
  }

  /** A call's last chance: the next request goes out at once. */
  now(): void {
    this.#nextMs = Number.NEGATIVE_INFINITY;
  }
}

/** As far as is known, some pool cannot give this much to any instance before what is held came back. */
export function isBlocked(pools: readonly PoolView[], claim: Claim): boolean {
  return pools.some((pool) => pool.room < claimed(pool.meter, claim));
}

/** One waiting call: the pools it touches, the least it is served by, and what it would hold now. */
export interface WaitingClaim {
  pools: readonly LeasedPool[];
  smallest: Claim;
  claim: Claim;
}

export interface LeaseNeeds<Call extends WaitingClaim> {
  pools: LeasedPool[];
  /** The same pools as Postgres is asked for them. */
  request: LeasePool[];
  /** The calls whose money is asked for; of the others' pools only the state is. */
  asked: Set<Call>;
}

interface Need {
  pool: LeasedPool;
  min: bigint;
  /** Null: no more of it is wanted, only its state. */
  wanted: bigint | null;
}

/**
 * One request for all: every pool wants its aim plus all that waits, and the smallest waiting call must be met whole
 * or not at all, so that no instance hoards one counter while the call lacks another. Calls that lack a counter which
 * was empty at the last reply stand aside: else one key's spent limit would keep its whole team from being lent to.
 */
export function leaseNeeds<Call extends WaitingClaim>(
  waiting: readonly Call[],
  prefetch: Iterable<LeasedPool>,
  instances: number,
  nowMs: number,
): LeaseNeeds<Call> {
  const hopeful = waiting.filter((call) => !isBlocked(call.pools, call.smallest));
  const smallest = cheapest(hopeful.length > 0 ? hopeful : waiting);
  const asked = new Set(hopeful);
  if (smallest) asked.add(smallest);
  const needs = new Map<string, Need>();
  const needOf = (pool: LeasedPool) => {
    const need = needs.get(pool.key) ?? { pool, min: 0n, wanted: null };
    needs.set(pool.key, need);
    return need;
  };
  for (const pool of prefetch) needOf(pool).wanted = 0n;
  for (const call of waiting) {
    for (const pool of call.pools) {
      const need = needOf(pool);
      if (asked.has(call)) need.wanted = (need.wanted ?? 0n) + claimed(pool.meter, call.claim);
      if (call === smallest) need.min = claimed(pool.meter, call.smallest);
    }
  }
  const pools = [...needs.values()];
  return {
    pools: pools.map(({ pool }) => pool),
    request: pools.map((need) => toRequest(need, instances, nowMs)),
    asked,
  };
}

/** The waiting call of the least cost: calls that cost nothing come first, whatever else they take. */
function cheapest<Call extends WaitingClaim>(waiting: readonly Call[]): Call | null {
  let smallest: Call | null = null;
  for (const call of waiting) {
    if (smallest === null || call.smallest.cost < smallest.smallest.cost) smallest = call;
  }
  return smallest;
}

function toRequest({ pool, min, wanted }: Need, instances: number, nowMs: number): LeasePool {
  const { usable } = pool;
  const above = (amount: bigint) => (amount > usable ? amount - usable : 0n);
  return {
    counters: pool.leases.map((lease) => lease.spec),
    granted: pool.leases.map((lease) => lease.granted),
    min: above(min),
    want: wanted === null ? 0n : above(wanted + aimOf(pool, instances, nowMs)),
  };
}

/** A waiting call as it was when Postgres was asked. */
export interface AskedCall extends WaitingClaim {
  call: QueuedCall;
  isOverdue: boolean;
}

/** How a request to Postgres ended; `calls`: those whose money was asked for. */
export type Exchange =
  | { type: 'nothing' }
  | { type: 'failed' }
  | { type: 'replied'; calls: ReadonlySet<QueuedCall> };

/** Returns what is known now of each lease of these pools, by the id of its counter. */
export function knownOf(
  pools: readonly LeasedPool[],
): Map<string, { lease: Lease; snapshot: LeaseSnapshot }> {
  const known = new Map<string, { lease: Lease; snapshot: LeaseSnapshot }>();
  for (const { leases } of pools) {
    for (const lease of leases) known.set(lease.spec.id, { lease, snapshot: lease.snapshot });
  }
  return known;
}

/** Remembers that the rate limits among these had no room. */
export function markFull(pools: readonly LeasedPool[], untilMs: number): void {
  for (const { isRateLimit, leases } of pools) {
    const [bucket] = leases;
    if (isRateLimit && bucket) bucket.fullUntilMs = untilMs;
  }
}

/** Returns whether an error says that this instance was adopted, rather than that the store is away. */
export function isFenced(error: unknown): boolean {
  return error instanceof Error && error.name === 'InstanceFenced';
}

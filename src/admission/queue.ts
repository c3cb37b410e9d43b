/**
 * Admission, and each team's queue: its waiting calls, and the one request for a lease under way for them. Owns: the order
 * (oldest first, the first that fits), when Postgres is asked, when a wait ends. Invariants: a waiting call holds nothing and
 * gets one outcome; `insufficient` needs a fresh reply of Postgres; while calls wait, a request is under way or due; an
 * unexpected error in here ends the wait of all and leaves the queue working.
 */
import type { TeamId } from '../domain/ids.ts';
import type { Lease } from '../domain/lease.ts';
import { QueueCapacity, RecentCalls } from '../domain/shares.ts';
import type { LeaseReply } from '../store/hot/leases.ts';
import {
  type Admission,
  admit,
  claimNow,
  type Denial,
  decide,
  decideDenial,
  FULL_MS,
  heldDenial,
  isLow,
  type ReservationRequest,
  type TeamLoad,
} from './decide.ts';
import { type LeasedPool, LeaseTable, Reservation } from './leases.ts';
import {
  type AdmissionOptions,
  type AskedCall,
  CHANGED,
  type Changed,
  type Exchange,
  isBlocked,
  isFenced,
  knownOf,
  LeaseRequestBackoff,
  Lending,
  leaseNeeds,
  markFull,
  QueuedCall,
  type QueueOptions,
  type QueueOutcome,
  UNAVAILABLE,
  type Unavailable,
} from './waiting.ts';

/** How long a call waits for a Postgres that does not reply. */
const STORE_PATIENCE_MS = 2000;
/** When to ask again, with no call waiting, after a reply was lost: Postgres may have lent what is not known here. */
const LOST_REPLY_RETRY_MS = 2000;

class TeamQueue {
  readonly #teamId: TeamId;
  readonly #options: QueueOptions;
  readonly #backoff = new LeaseRequestBackoff();
  #waiting: QueuedCall[] = [];
  /** Pools to ask for beside those of the waiting calls: they ran low, or their last reply was lost. */
  #wanted = new Map<string, LeasedPool>();
  #inFlight = 0;
  readonly #recent = new RecentCalls();
  #isAsking = false;
  #cancelTimer: (() => void) | null = null;
  #dueMs = 0;

  constructor(teamId: TeamId, options: QueueOptions) {
    this.#teamId = teamId;
    this.#options = options;
  }

  /** Nothing is under way: the queue may be forgotten. */
  get isIdle(): boolean {
    if (this.#waiting.length + this.#inFlight + this.#wanted.size > 0 || this.#isAsking) return false;
    return !this.#recent.isKnown(this.#options.clock.monotonicMs());
  }

  /**
   * Takes a call's money at once if it is here, queues the call if it may come, or denies it. A call that is admitted here
   * overtakes none that this money would have served: all that wait were tried when it came.
   */
  reserve(request: ReservationRequest): Reservation | Denial | QueuedCall {
    const { table, clock, jitter } = this.#options;
    const atMs = clock.nowMs();
    const nowMs = clock.monotonicMs();
    const { pools, poolsOfFreeCalls, funded } = table.poolsOf(request.account, request.kind, atMs);
    const own = request.isFree ? poolsOfFreeCalls : pools;
    const state = { load: this.#load(false), waiting: this.#waiting.length, nowMs, jitter };
    const decision = decide(request, own, funded, state);
    const taken = decision.kind === 'admit' ? this.#take(decision, own, atMs, nowMs) : null;
    if (this.#wanted.size > 0) this.#askSoon();
    if (decision.kind === 'denial') return decision;
    return taken ?? this.#wait(request);
  }

  /** The number of calls in flight falls by one, and their money may serve the next. */
  released(): void {
    this.#inFlight--;
    this.#recent.ended(this.#options.clock.monotonicMs());
    try {
      this.#serve();
      if (this.#wanted.size > 0) this.#askSoon();
    } catch (error) {
      // The call that ended has no part in it.
      this.#unexpected(error);
    }
  }

  reset(): void {
    this.#wanted = new Map();
  }

  endAll(outcome: Unavailable | Changed): void {
    for (const call of [...this.#waiting]) this.#end(call, outcome);
  }

  #wait(request: ReservationRequest): QueuedCall | Denial {
    const { capacity, clock, timers, queueTimeoutMs, jitter } = this.#options;
    const call = new QueuedCall(request, clock.monotonicMs(), (left) => this.#remove(left));
    if (!capacity.enter(this.#teamId, request.bytes)) return heldDenial(null, 0, jitter());
    const leftMs = Math.max(0, queueTimeoutMs - request.waitedMs);
    call.cancelTimer = timers.after(leftMs, () => this.#lastChance(call));
    this.#waiting.push(call);
    if (!isBlocked(this.#poolsOf(request), call.smallest)) this.#backoff.hurry();
    this.#askSoon();
    return call;
  }

  #poolsOf({ account, kind, isFree }: ReservationRequest): readonly LeasedPool[] {
    const { pools, poolsOfFreeCalls } = this.#options.table.poolsOf(
      account,
      kind,
      this.#options.clock.nowMs(),
    );
    return isFree ? poolsOfFreeCalls : pools;
  }

  #take(admission: Admission, pools: readonly LeasedPool[], atMs: number, nowMs: number): Reservation {
    const { table, lending } = this.#options;
    table.take(pools, admission, nowMs);
    lending.admitted++;
    this.#inFlight++;
    for (const pool of pools) if (isLow(pool, table.instances, nowMs)) this.#wanted.set(pool.key, pool);
    return new Reservation(this.#teamId, admission, pools, atMs, this);
  }

  #remove(call: QueuedCall): void {
    if (!call.isWaiting) return;
    call.isWaiting = false;
    call.cancelTimer();
    this.#options.capacity.leave(this.#teamId, call.request.bytes);
    this.#waiting.splice(this.#waiting.indexOf(call), 1);
  }

  #end(call: QueuedCall, outcome: QueueOutcome): void {
    this.#remove(call);
    if (outcome === UNAVAILABLE) this.#options.lending.refused();
    try {
      call.end(outcome);
    } catch (error) {
      // The callback is the caller's: it must not keep the next call from its outcome.
      this.#report(error);
    }
  }

  #serve(): void {
    if (this.#waiting.length === 0) return;
    if (this.#options.isBlocked()) {
      this.endAll(UNAVAILABLE);
      return;
    }
    for (const call of [...this.#waiting]) {
      // A callback of the one before may have ended it.
      if (!call.isWaiting) continue;
      try {
        const atMs = this.#options.clock.nowMs();
        const pools = this.#poolsOf(call.request);
        const admission = admit(call.request, pools, this.#load(call.isOverdue));
        if (admission.kind !== 'admit') continue;
        this.#end(call, this.#take(admission, pools, atMs, this.#options.clock.monotonicMs()));
      } catch (error) {
        this.#failed(call, error);
      }
    }
  }

  #load(isOverdue: boolean): TeamLoad {
    const crowd = this.#inFlight + this.#waiting.length;
    const peak = this.#recent.peak(crowd, this.#options.table.instances, this.#options.clock.monotonicMs());
    return { crowd, peak, last: isOverdue || this.#inFlight === 0 };
  }

  /** The wait is over: one last reply of Postgres, then a denial, and that soon even when no reply comes. */
  #lastChance(call: QueuedCall): void {
    call.isOverdue = true;
    call.cancelTimer = this.#options.timers.after(STORE_PATIENCE_MS, () => this.#end(call, UNAVAILABLE));
    this.#backoff.now();
    this.#askSoon();
  }

  #askSoon(): void {
    if (this.#isAsking) return;
    this.#askIn(this.#backoff.delayMs(this.#options.clock.monotonicMs()));
  }

  #askIn(delayMs: number): void {
    const dueMs = this.#options.clock.monotonicMs() + delayMs;
    if (delayMs > 0 && this.#cancelTimer !== null && this.#dueMs <= dueMs) return;
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    this.#dueMs = dueMs;
    if (delayMs === 0) void this.#ask();
    else this.#cancelTimer = this.#options.timers.after(delayMs, () => void this.#ask());
  }

  /** Sends one request for all that wait or ran low, and serves, denies or goes on by its reply. Never rejects. */
  async #ask(): Promise<void> {
    if (this.#isAsking) return;
    this.#cancelTimer = null;
    this.#isAsking = true;
    let exchange: Exchange = { type: 'nothing' };
    try {
      exchange = await this.#exchange();
    } catch (error) {
      this.#unexpected(error);
    } finally {
      this.#isAsking = false;
    }
    try {
      this.#goOn(exchange);
    } catch (error) {
      this.#unexpected(error);
    }
  }

  async #exchange(): Promise<Exchange> {
    const { table, clock, requestLease } = this.#options;
    const asked = this.#askedCalls();
    const needs = leaseNeeds(asked, this.#wanted.values(), table.instances, clock.monotonicMs());
    this.#wanted.clear();
    if (needs.pools.length === 0) return { type: 'nothing' };
    const known = knownOf(needs.pools);
    const wanted = this.#wanted;
    let reply: LeaseReply;
    try {
      reply = await requestLease(this.#teamId, needs.request);
    } catch (error) {
      return this.#storeFailed(error, wanted === this.#wanted ? needs.pools : []);
    }
    this.#options.lending.isFailing = false;
    for (const counter of reply.counters) {
      const { lease, snapshot } = known.get(counter.id) ?? {};
      lease?.learn(counter, clock.monotonicMs(), snapshot);
    }
    this.#serve();
    const fresh = new Set<Lease>();
    for (const { lease } of known.values()) if (!lease.isRevoked) fresh.add(lease);
    for (const each of asked) this.#denyOrKeep(each, fresh);
    return { type: 'replied', calls: new Set([...needs.asked].map(({ call }) => call)) };
  }

  #askedCalls(): AskedCall[] {
    const asked: AskedCall[] = [];
    for (const call of [...this.#waiting]) {
      try {
        const pools = this.#poolsOf(call.request);
        const claim = claimNow(call.request, pools, this.#load(call.isOverdue));
        asked.push({ call, pools, claim, smallest: call.smallest, isOverdue: call.isOverdue });
      } catch (error) {
        this.#failed(call, error);
      }
    }
    return asked;
  }

  #denyOrKeep({ call, isOverdue, smallest }: AskedCall, fresh: ReadonlySet<Lease>): void {
    if (!call.isWaiting) return;
    const { clock, jitter } = this.#options;
    try {
      const pools = this.#poolsOf(call.request);
      const waiting = this.#waiting.length;
      const decision = decideDenial({ pools, smallest, isOverdue, fresh, waiting, jitter: jitter() });
      if (decision.kind === 'wait') return;
      if (decision.reason === 'rate_limit') markFull(pools, clock.monotonicMs() + FULL_MS);
      this.#end(call, decision);
    } catch (error) {
      this.#failed(call, error);
    }
  }

  #storeFailed(error: unknown, pools: readonly LeasedPool[]): Exchange {
    const { clock, lending, onFenced, onStoreError } = this.#options;
    lending.isFailing = true;
    if (isFenced(error)) {
      onFenced();
      return { type: 'nothing' };
    }
    onStoreError(error);
    for (const pool of pools) this.#wanted.set(pool.key, pool);
    const nowMs = clock.monotonicMs();
    this.#backoff.failed(nowMs);
    for (const call of [...this.#waiting]) {
      if (nowMs - call.sinceMs >= STORE_PATIENCE_MS) this.#end(call, UNAVAILABLE);
    }
    return { type: 'failed' };
  }

  /** After a request: asks on while calls wait, slowly once all of them were asked for in vain. */
  #goOn(exchange: Exchange): void {
    if (exchange.type === 'replied') {
      const { calls } = exchange;
      const inVain = this.#waiting.every(
        (call) => calls.has(call) || isBlocked(this.#poolsOf(call.request), call.smallest),
      );
      this.#backoff.replied(this.#options.clock.monotonicMs(), inVain && this.#waiting.length > 0);
    }
    if (this.#waiting.length > 0) this.#askSoon();
    else if (exchange.type === 'failed') this.#askIn(LOST_REPLY_RETRY_MS);
    else if (this.#wanted.size > 0) this.#askSoon();
  }

  #failed(call: QueuedCall, error: unknown): void {
    this.#report(error);
    this.#end(call, UNAVAILABLE);
  }

  #unexpected(error: unknown): void {
    this.#report(error);
    this.#wanted.clear();
    this.#backoff.failed(this.#options.clock.monotonicMs());
    this.endAll(UNAVAILABLE);
  }

  #report(error: unknown): void {
    try {
      this.#options.onUnexpectedError(error);
    } catch {
      // There is nothing left to report it to, and the queue must go on.
    }
  }
}

/**
 * From a call's request to its reservation: the leases, the queue of each team, and how much may wait in all. Invariant: a
 * call that leaves its queue leaves no money behind.
 */
export class AdmissionController {
  readonly leases: LeaseTable;
  readonly lending = new Lending();
  readonly #options: QueueOptions;
  readonly #queues = new Map<string, TeamQueue>();

  constructor(options: AdmissionOptions) {
    this.leases = new LeaseTable(options.clock);
    const capacity = new QueueCapacity(options.maxWaiting, options.maxWaitingBytes);
    this.#options = { ...options, table: this.leases, capacity, lending: this.lending };
  }

  get waiting(): number {
    return this.#options.capacity.calls;
  }

  /** Takes a call's money: at once when a lease covers it, else the call is queued, unless there is no room. */
  reserve(request: ReservationRequest): Reservation | Denial | QueuedCall {
    const { teamId } = request.account.principal;
    let queue = this.#queues.get(teamId);
    if (queue === undefined) {
      queue = new TeamQueue(teamId, this.#options);
      this.#queues.set(teamId, queue);
    }
    return queue.reserve(request);
  }

  cancel(reservation: Reservation): void {
    this.leases.settle(reservation, null, false);
    reservation.release();
  }

  endAll(): void {
    for (const queue of this.#queues.values()) queue.endAll(UNAVAILABLE);
  }

  reset(): void {
    this.leases.reset();
    for (const queue of this.#queues.values()) queue.reset();
  }

  /**
   * The rules of these teams changed: what is idle goes back. Waiting calls of all accounts to be read again must ask again.
   */
  revoke(changed: ReadonlySet<string> | 'all', reread: ReadonlySet<string> | 'all'): void {
    this.leases.revoke(changed);
    for (const [teamId, queue] of this.#queues) {
      if (reread === 'all' || reread.has(teamId)) queue.endAll(CHANGED);
    }
  }

  /** Updates rates, gives back what is not needed, and drops the queues of teams of which nothing is under way. */
  tick(flushedMs: number): void {
    for (const [teamId, queue] of this.#queues) if (queue.isIdle) this.#queues.delete(teamId);
    this.leases.tick(flushedMs);
  }
}

/**
 * A team's desk: who waits for money, and the one lease request under way for them. Owns: the queue (oldest first,
 * whoever fits), when Postgres is asked, and when a call is refused. Invariants: a waiting call holds nothing and is
 * answered once; `insufficient` is said only on Postgres's fresh word; while calls wait, Postgres is or will be asked.
 */
import { type Claim, claimed } from '../domain/claim.ts';
import type { LeaseReply } from '../store/hot/leases.ts';
import type { Ask, Denial, Taken } from './ask.ts';
import type { DeskOptions } from './desk-options.ts';
import { judge, knownFull, markFull } from './judge.ts';
import type { Lease } from './lease.ts';
import { isBlocked, leaseNeeds, sizeOf, type Waiting } from './needs.ts';
import { Pace } from './pace.ts';
import { isLow, type LeasedPool } from './pool.ts';
import { isFenced } from './store.ts';

interface Waiter {
  ask: Ask;
  sinceMs: number;
  overdue: boolean;
  cancelTimer: () => void;
  done(result: Taken | Denial): void;
}

interface Asked extends Waiting {
  waiter: Waiter;
  overdue: boolean;
}

/** How long a call waits for a Postgres that does not answer. */
const STORE_PATIENCE_MS = 2000;
/** When to ask again, with nobody waiting, for an answer that was lost: Postgres may have lent what we do not know of. */
const LOST_ANSWER_RETRY_MS = 5000;

export class Desk {
  readonly #options: DeskOptions;
  readonly #pace = new Pace();
  #waiters: Waiter[] = [];
  /** Pools to ask for beside those of the waiting calls: they ran low, or their last answer was lost. */
  #wanted = new Map<string, LeasedPool>();
  #inFlight = 0;
  #asking = false;
  #timer: (() => void) | null = null;
  #dueMs = 0;

  constructor(options: DeskOptions) {
    this.#options = options;
  }

  /** Nothing is under way: the desk may be forgotten. */
  get idle(): boolean {
    return this.#waiters.length + this.#inFlight + this.#wanted.size === 0 && !this.#asking;
  }

  /**
   * Takes the money now if it is here; null: the call must wait. It overtakes nobody whom this money would have served:
   * all who wait were tried when it came.
   */
  takeNow(ask: Ask): Taken | null {
    const taken = this.#take(ask, false);
    if (this.#wanted.size > 0) this.#askSoon();
    return taken;
  }

  /** Queues the call; `done` is called once. Answers how to leave the queue. */
  wait(ask: Ask, done: (result: Taken | Denial) => void): () => void {
    const { timers, queueTimeoutMs, monotonicMs } = this.#options;
    const waiter: Waiter = { ask, sinceMs: monotonicMs(), overdue: false, done, cancelTimer: () => {} };
    const waitMs = queueTimeoutMs - (ask.waitedMs ?? 0);
    waiter.cancelTimer = timers.after(waitMs, () => this.#lastChance(waiter));
    this.#waiters.push(waiter);
    if (!isBlocked(this.#poolsOf(ask), ask.smallest)) this.#pace.hurry();
    this.#askSoon();
    return () => this.#leave(waiter);
  }

  /** A call of the team ended and its money came back. */
  released(): void {
    this.#inFlight--;
    this.#serve();
    if (this.#wanted.size > 0) this.#askSoon();
  }

  /** Everyone who waits is told the same: nothing can be admitted any more, or the rules changed. */
  refuse(denial: Denial): void {
    for (const waiter of [...this.#waiters]) this.#answer(waiter, denial);
  }

  /** A limit on flow that Postgres said to be full a moment ago; null: it must be asked. */
  knownFull(ask: Ask): Denial | null {
    const { monotonicMs, jitter } = this.#options;
    return knownFull(this.#poolsOf(ask), ask.smallest, monotonicMs(), jitter());
  }

  #poolsOf(ask: Ask): readonly LeasedPool[] {
    const { pools } = this.#options.book.poolsOf(ask.account, ask.kind, this.#options.nowMs());
    return ask.isFree ? pools.filter((pool) => claimed(pool.meter, ask.smallest) > 0n) : pools;
  }

  #take(ask: Ask, overdue: boolean): Taken | null {
    const { book, nowMs, monotonicMs } = this.#options;
    const atMs = nowMs();
    const pools = this.#poolsOf(ask);
    const claim = this.#size(ask, pools, overdue);
    const held = book.take(pools, claim);
    if (held === null) return null;
    this.#inFlight++;
    const { instances } = book;
    for (const pool of pools) if (isLow(pool, instances, monotonicMs())) this.#wanted.set(pool.id, pool);
    return { claim, held, atMs };
  }

  #size(ask: Ask, pools: readonly LeasedPool[], overdue: boolean): Claim {
    const crowd = this.#inFlight + this.#waiters.length;
    return sizeOf(ask, pools, { crowd, last: overdue || this.#inFlight === 0 });
  }

  #leave(waiter: Waiter): void {
    waiter.cancelTimer();
    const at = this.#waiters.indexOf(waiter);
    if (at >= 0) this.#waiters.splice(at, 1);
  }

  #answer(waiter: Waiter, result: Taken | Denial): void {
    this.#leave(waiter);
    waiter.done(result);
  }

  #serve(): void {
    if (this.#waiters.length > 0 && this.#options.blocked()) this.refuse({ kind: 'unavailable' });
    for (const waiter of [...this.#waiters]) {
      const taken = this.#take(waiter.ask, waiter.overdue);
      if (taken) this.#answer(waiter, taken);
    }
  }

  /** The wait is over: one last word from Postgres, then a refusal, and that soon even when the word does not come. */
  #lastChance(waiter: Waiter): void {
    waiter.overdue = true;
    const giveUp = () => this.#answer(waiter, { kind: 'unavailable' });
    waiter.cancelTimer = this.#options.timers.after(STORE_PATIENCE_MS, giveUp);
    this.#pace.now();
    this.#askSoon();
  }

  #askSoon(): void {
    if (this.#asking) return;
    this.#askIn(this.#pace.delayMs(this.#options.monotonicMs()));
  }

  #askIn(delayMs: number): void {
    const dueMs = this.#options.monotonicMs() + delayMs;
    if (delayMs > 0 && this.#timer && this.#dueMs <= dueMs) return;
    this.#timer?.();
    this.#timer = null;
    this.#dueMs = dueMs;
    if (delayMs === 0) void this.#askNow();
    else this.#timer = this.#options.timers.after(delayMs, () => void this.#askNow());
  }

  async #askNow(): Promise<void> {
    if (this.#asking) return;
    this.#timer = null;
    const waiting = this.#hearAll();
    const { book, monotonicMs } = this.#options;
    const needs = leaseNeeds(waiting, this.#wanted.values(), book.instances, monotonicMs());
    this.#wanted.clear();
    if (needs.pools.length === 0) return;
    const leases = new Map(needs.pools.flatMap((pool) => pool.leases).map((lease) => [lease.spec.id, lease]));
    this.#asking = true;
    const asked = new Map([...leases].map(([id, lease]) => [id, lease.asked]));
    let reply: LeaseReply;
    try {
      reply = await this.#options.requestLease(needs.request);
    } catch (error) {
      this.#asking = false;
      this.#failed(error, needs.pools);
      return;
    }
    for (const counter of reply.counters) {
      leases.get(counter.id)?.learn(counter, monotonicMs(), asked.get(counter.id));
    }
    this.#serve();
    const fresh = new Set([...leases.values()].filter((lease) => !lease.recalled));
    for (const call of waiting) this.#judge(call, fresh);
    this.#asking = false;
    this.#goOn(new Set([...needs.asked].map((call) => call.waiter)));
  }

  /** All who wait, with what they need now. */
  #hearAll(): Asked[] {
    return this.#waiters.map((waiter) => {
      const { ask, overdue } = waiter;
      const pools = this.#poolsOf(ask);
      return { waiter, overdue, pools, smallest: ask.smallest, claim: this.#size(ask, pools, overdue) };
    });
  }

  #judge({ waiter, overdue, smallest }: Asked, fresh: ReadonlySet<Lease>): void {
    if (!this.#waiters.includes(waiter)) return;
    const pools = this.#poolsOf(waiter.ask);
    const waiting = this.#waiters.length;
    const denial = judge({ pools, smallest, overdue, fresh, waiting, jitter: this.#options.jitter() });
    if (denial?.kind === 'flow') markFull(pools, this.#options.monotonicMs());
    if (denial) this.#answer(waiter, denial);
  }

  /** After an answer: asks on while somebody waits, slowly once all of them were asked for in vain. */
  #goOn(asked: ReadonlySet<Waiter>): void {
    const scarce = this.#waiters.every(
      (waiter) => asked.has(waiter) || isBlocked(this.#poolsOf(waiter.ask), waiter.ask.smallest),
    );
    this.#pace.answered(this.#options.monotonicMs(), scarce && this.#waiters.length > 0);
    if (this.#waiters.length + this.#wanted.size > 0) this.#askSoon();
  }

  #failed(error: unknown, pools: LeasedPool[]): void {
    const { monotonicMs, onFenced, onStoreError } = this.#options;
    if (isFenced(error)) {
      onFenced();
      return;
    }
    onStoreError(error);
    for (const pool of pools) this.#wanted.set(pool.id, pool);
    const nowMs = monotonicMs();
    this.#pace.failed(nowMs);
    for (const waiter of [...this.#waiters]) {
      if (nowMs - waiter.sinceMs >= STORE_PATIENCE_MS) this.#answer(waiter, { kind: 'unavailable' });
    }
    if (this.#waiters.length > 0) this.#askSoon();
    else this.#askIn(LOST_ANSWER_RETRY_MS);
  }
}

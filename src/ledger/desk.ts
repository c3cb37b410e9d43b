/**
 * A team's desk: who waits for money, and the one lease request that is under way for them. Owns: the queue (oldest
 * first, whoever fits), when Postgres is asked, and when a call is refused. Invariants: a waiting call holds nothing;
 * `insufficient` is said only on Postgres's fresh word.
 */
import { retryAfterMs } from '../domain/admission.ts';
import type { CounterSpec } from '../domain/budget.ts';
import type { LeasePool, LeaseReply } from '../store/leases.ts';
import type { Ask, Denial, Taken } from './ask.ts';
import type { LeaseBook, LeasedPool } from './book.ts';
import { leaseNeeds } from './needs.ts';
import { isFenced } from './store.ts';
import type { Timers } from './timers.ts';

interface Waiter {
  ask: Ask;
  sinceMs: number;
  overdue: boolean;
  cancelTimer: () => void;
  done(result: Taken | Denial): void;
}

export interface DeskOptions {
  book: LeaseBook;
  timers: Timers;
  nowMs(): number;
  monotonicMs(): number;
  jitter(): number;
  queueTimeoutMs: number;
  requestLease(pools: LeasePool[]): Promise<LeaseReply>;
  onFenced(): void;
  onStoreError(error: unknown): void;
}

const SPACING_MS = 5;
const SCARCE_SPACING_MS = 20;
const SCARCE_SPACING_MAX_MS = 250;
/** How long a call waits for a Postgres that does not answer. */
const STORE_PATIENCE_MS = 2000;

export class Desk {
  readonly #options: DeskOptions;
  #waiters: Waiter[] = [];
  /** Pools seen lately, so that a prefetch can be sized for them. */
  #wanted = new Map<string, LeasedPool>();
  #inFlight = 0;
  #asking = false;
  #timer: (() => void) | null = null;
  #nextAskMs = 0;
  #spacingMs = SPACING_MS;

  constructor(options: DeskOptions) {
    this.#options = options;
  }

  get waiting(): number {
    return this.#waiters.length;
  }

  get idle(): boolean {
    return this.#waiters.length === 0 && this.#inFlight === 0 && !this.#asking;
  }

  /** Takes the money now if nobody waits and it is here; null: the call must wait. */
  takeNow(ask: Ask): Taken | null {
    return this.#waiters.length > 0 ? null : this.#take(ask, false);
  }

  /** Queues the call; `done` is called once. Answers how to leave the queue. */
  wait(ask: Ask, done: (result: Taken | Denial) => void): () => void {
    const { timers, queueTimeoutMs } = this.#options;
    const waiter: Waiter = {
      ask,
      sinceMs: this.#options.monotonicMs(),
      overdue: false,
      done,
      // The wait is over: one last word from Postgres, then a refusal.
      cancelTimer: timers.after(queueTimeoutMs, () => {
        waiter.overdue = true;
        this.#nextAskMs = 0;
        this.#askSoon();
      }),
    };
    this.#waiters.push(waiter);
    this.#askSoon();
    return () => this.#leave(waiter);
  }

  /** A call of the team ended and its money came back. */
  released(): void {
    this.#inFlight--;
    if (this.#waiters.length > 0) this.#serve();
  }

  #take(ask: Ask, overdue: boolean): Taken | null {
    const { book } = this.#options;
    const nowMs = this.#options.nowMs();
    const pools = book.poolsOf(ask.account, nowMs);
    const amount = this.#size(ask, pools, overdue);
    const held = book.take(pools, amount, nowMs);
    if (held === null) return null;
    this.#inFlight++;
    if (!this.#asking && pools.some((pool) => this.#isLow(pool))) this.#prefetch(pools);
    return { amount, held, atMs: nowMs };
  }

  #size(ask: Ask, pools: LeasedPool[], overdue: boolean): bigint {
    const tightest = this.#options.book.tightest(pools);
    return ask.size({
      free: tightest?.room ?? 0n,
      amount: tightest?.amount ?? 0n,
      crowd: this.#inFlight + this.#waiters.length,
      last: overdue || this.#inFlight === 0,
    });
  }

  #isLow(pool: LeasedPool): boolean {
    const last = pool.leases.at(-1);
    if (!last) return false;
    let free = 0n;
    for (const lease of pool.leases) free += lease.free;
    return (
      2n * free < last.aim(this.#options.book.instances) &&
      pool.leases.some((lease) => lease.room > lease.free)
    );
  }

  #prefetch(pools: LeasedPool[]) {
    for (const pool of pools) this.#wanted.set(pool.id, pool);
    this.#askSoon();
  }

  #leave(waiter: Waiter): void {
    waiter.cancelTimer();
    const at = this.#waiters.indexOf(waiter);
    if (at >= 0) this.#waiters.splice(at, 1);
  }

  #answer(waiter: Waiter, result: Taken | Denial) {
    this.#leave(waiter);
    waiter.done(result);
  }

  #serve(): void {
    for (const waiter of [...this.#waiters]) {
      const taken = this.#take(waiter.ask, waiter.overdue);
      if (taken) this.#answer(waiter, taken);
    }
  }

  #askSoon(): void {
    if (this.#asking) return;
    const delayMs = Math.max(0, this.#nextAskMs - this.#options.monotonicMs());
    this.#timer?.();
    if (delayMs === 0) void this.#askNow();
    else this.#timer = this.#options.timers.after(delayMs, () => void this.#askNow());
  }

  async #askNow(): Promise<void> {
    if (this.#asking) return;
    const nowMs = this.#options.nowMs();
    const waiting = this.#waiters.map(({ ask, overdue }) => {
      const pools = this.#options.book.poolsOf(ask.account, nowMs);
      return { pools, smallest: ask.smallest, amount: this.#size(ask, pools, overdue) };
    });
    const pools = leaseNeeds(waiting, this.#wanted.values(), this.#options.book.instances);
    this.#wanted.clear();
    if (pools.length === 0) return;
    this.#timer?.();
    this.#timer = null;
    this.#asking = true;
    const asked = this.#waiters.map((waiter) => ({ waiter, overdue: waiter.overdue }));
    try {
      const reply = await this.#options.requestLease(pools);
      const leases = new Map(
        pools.flatMap((pool) => pool.leases).map((lease) => [lease.spec.id, lease] as const),
      );
      for (const counter of reply.counters) leases.get(counter.id)?.learn(counter);
      this.#serve();
      for (const { waiter, overdue } of asked) {
        if (this.#waiters.includes(waiter)) this.#judge(waiter, overdue);
      }
      this.#slowDown(this.#waiters.length > 0);
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#asking = false;
    }
    if (this.#waiters.length > 0) this.#askSoon();
  }

  /** While money is scarce the same question gets the same answer: ask less and less often. */
  #slowDown(scarce: boolean) {
    this.#spacingMs = scarce
      ? Math.min(SCARCE_SPACING_MAX_MS, Math.max(SCARCE_SPACING_MS, this.#spacingMs * 2))
      : SPACING_MS;
    this.#nextAskMs = this.#options.monotonicMs() + this.#spacingMs;
  }

  #failed(error: unknown) {
    if (isFenced(error)) this.#options.onFenced();
    else this.#options.onStoreError(error);
    this.#nextAskMs = this.#options.monotonicMs() + SCARCE_SPACING_MAX_MS;
    const since = this.#options.monotonicMs() - STORE_PATIENCE_MS;
    for (const waiter of [...this.#waiters]) {
      if (isFenced(error) || waiter.sinceMs <= since) this.#answer(waiter, { kind: 'unavailable' });
    }
  }

  /** After Postgres's word: refuse for good what cannot fit any more, and for now who has waited long enough. */
  #judge(waiter: Waiter, overdue: boolean): void {
    const pools = this.#options.book.poolsOf(waiter.ask.account, this.#options.nowMs());
    let tightest: { counter: CounterSpec | null; ceiling: bigint } | null = null;
    // A window that began while the question was under way was not answered.
    if (pools.some((pool) => pool.leases.some((lease) => lease.state === null))) return;
    for (const pool of pools) {
      const ceiling = pool.leases.reduce((sum, lease) => sum + lease.ceiling, 0n);
      const counter = pool.leases.at(-1)?.spec ?? null;
      if (tightest === null || ceiling < tightest.ceiling) tightest = { counter, ceiling };
    }
    if (tightest && waiter.ask.smallest > tightest.ceiling) {
      this.#answer(waiter, { kind: 'insufficient', ...tightest });
    } else if (overdue) {
      const delayMs = retryAfterMs(this.#waiters.length, this.#options.jitter());
      this.#answer(waiter, { kind: 'held', counter: tightest?.counter ?? null, retryAfterMs: delayMs });
    }
  }
}

/**
 * The ledger: keeps money. Owns the life of a hold (held → settled | voided | unknown) on this instance: leases in
 * memory, the journal on disk, events on their way to Postgres. Does not own: what a call costs, whom it belongs to.
 * Invariants: a call is held and journaled before it is forwarded; every hold ends in exactly one event; nothing is
 * admitted that a lease does not cover, that the journal cannot record, or after this instance was fenced.
 */

import { retryAfterMs } from '../domain/admission.ts';
import type { Account } from '../domain/budget.ts';
import type { PicoUsd } from '../domain/money.ts';
import type { Ask, Denial, Taken } from './ask.ts';
import { LeaseBook } from './book.ts';
import type { Clock } from './clock.ts';
import { Desk } from './desk.ts';
import { type CallFacts, eventJson, factsJson, type Outcome } from './event.ts';
import { Flusher } from './flusher.ts';
import { Heart } from './heart.ts';
import { allocationsOf, type Hold, holdLine, unknownOutcome } from './holds.ts';
import { momentOfUuidV7, uuidV7 } from './ids.ts';
import { formatLine, type Journal } from './journal.ts';
import type { LedgerStore } from './store.ts';
import type { Timers } from './timers.ts';
import { WaitingRoom } from './waiting-room.ts';

export interface LedgerOptions {
  instanceId: string;
  store: LedgerStore;
  journal: Journal;
  clock: Clock;
  timers: Timers;
  jitter?: () => number;
  queueTimeoutMs: number;
  /** Waiting calls and bytes of their bodies, of the whole instance. */
  maxWaiting?: number;
  maxWaitingBytes?: number;
  /** How long leases may be spent without a word from Postgres. */
  leaseTtlMs?: number;
  maxBacklog?: number;
  onFenced?: () => void;
  onStoreError?: (error: unknown) => void;
}

const TICK_MS = 100;
const HEARTBEAT_MS = 1000;
const DEGRADED_AFTER_MS = 3000;

export class Ledger {
  readonly book = new LeaseBook();
  readonly flusher: Flusher;
  readonly #options: LedgerOptions;
  readonly #desks = new Map<string, Desk>();
  readonly #open = new Map<string, Hold>();
  readonly #room: WaitingRoom;
  readonly #heart: Heart;
  #fenced = false;
  #stopTimers: (() => void)[] = [];

  constructor(options: LedgerOptions) {
    this.#options = options;
    this.#room = new WaitingRoom(options.maxWaiting ?? 10_000, options.maxWaitingBytes ?? 256 * 1024 * 1024);
    this.#heart = new Heart({
      ...options,
      onInstances: (count) => {
        this.book.instances = count;
      },
      onError: (error) => options.onStoreError?.(error),
    });
    this.flusher = new Flusher({
      store: options.store,
      instanceId: options.instanceId,
      book: this.book,
      onFenced: () => this.#fence(),
      onResult: (error) => {
        if (error !== null) options.onStoreError?.(error);
      },
    });
    this.#every(TICK_MS, () => this.#tick());
    this.#every(HEARTBEAT_MS, () => void this.beat());
  }

  /** Calls are admitted, but only on leases: Postgres has not answered for a while. */
  get degraded(): boolean {
    return this.#heart.silentMs > DEGRADED_AFTER_MS;
  }

  get journalPendingBytes(): number {
    return this.#options.journal.pendingBytes;
  }

  /** Says that this instance lives and takes over Postgres's time; done by itself every second. */
  beat(): Promise<void> {
    return this.#heart.beat();
  }

  get waiting(): number {
    return this.#room.calls;
  }

  /** Why nothing can be admitted now; null: calls can. */
  get blocked(): 'fenced' | 'journal' | 'postgres' | null {
    if (this.#fenced) return 'fenced';
    if (this.#options.journal.broken) return 'journal';
    if (this.#heart.silentMs > (this.#options.leaseTtlMs ?? 60_000)) return 'postgres';
    return this.flusher.backlog.length > (this.#options.maxBacklog ?? 200_000) ? 'postgres' : null;
  }

  /**
   * Takes a call's money. Answers at once when a lease covers it (or nothing ever will); otherwise the promise of an
   * answer, and how to leave the queue. A call that costs nothing asks with `free`.
   */
  reserve(ask: Ask): Hold | Denial | { answer: Promise<Hold | Denial>; leave: () => void } {
    if (this.blocked !== null) return { kind: 'unavailable' };
    const { account } = ask;
    const pools = this.book.poolsOf(account, this.#options.clock.nowMs());
    if (pools.length === 0 && !account.unlimited) return { kind: 'insufficient', counter: null, ceiling: 0n };
    if (pools.some((pool) => pool.leases.length === 0)) {
      return { kind: 'insufficient', counter: null, ceiling: 0n };
    }
    const desk = this.#desk(account.principal.teamId);
    const taken = desk.takeNow(ask);
    if (taken) return this.#hold(ask.account.principal.teamId, taken);
    return this.#queue(desk, ask);
  }

  /** A hold of nothing, for calls that cost nothing: they too end in exactly one event. */
  reserveFree(teamId: string): Hold | Denial {
    return this.blocked === null
      ? this.#hold(teamId, { amount: 0n, held: [], atMs: this.#options.clock.nowMs() })
      : { kind: 'unavailable' };
  }

  #queue(desk: Desk, ask: Ask) {
    const left = this.#room.enter(ask.bytes);
    if (left === null) {
      const { jitter = Math.random } = this.#options;
      return { kind: 'held', counter: null, retryAfterMs: retryAfterMs(0, jitter()) } satisfies Denial;
    }
    let leave = () => {};
    const answer = new Promise<Hold | Denial>((resolve) => {
      const leaveDesk = desk.wait(ask, (result) => {
        left();
        resolve('kind' in result ? result : this.#hold(ask.account.principal.teamId, result));
      });
      leave = () => {
        leaveDesk();
        left();
      };
    });
    return { answer, leave };
  }

  #hold(teamId: string, taken: Taken): Hold {
    // The event belongs to the windows that paid for it: its id says the moment at which they were looked up.
    const id = uuidV7(taken.atMs);
    return { id, teamId, amount: taken.amount, held: taken.held, facts: null, factsJson: '' };
  }

  /** Journals the hold; resolves when its line was written, after which the call may be forwarded. */
  begin(hold: Hold, facts: CallFacts): Promise<'written' | 'broken'> {
    const { journal, instanceId } = this.#options;
    hold.facts = facts;
    hold.factsJson = factsJson(hold.id, instanceId, facts, hold.amount);
    this.#open.set(hold.id, hold);
    journal.append('H', holdLine(hold));
    return new Promise((resolve) => {
      journal.written(() => resolve(journal.broken ? 'broken' : 'written'));
    });
  }

  /** Puts back a hold that was never journaled: nothing was forwarded, nothing is recorded. */
  cancel(hold: Hold): void {
    this.#open.delete(hold.id);
    this.book.settle(hold.held, 0n);
    if (hold.held.length > 0) this.#desk(hold.teamId).released();
  }

  /** Whether a hold was journaled and has not ended. */
  isOpen(hold: Hold): boolean {
    return this.#open.has(hold.id);
  }

  /** Ends a journaled hold whose outcome nobody will know: it stays charged until there is evidence. */
  endUnknown(hold: Hold, reason: string): void {
    this.end(hold, unknownOutcome(hold, reason));
  }

  /** Ends a journaled hold with its one event. */
  end(hold: Hold, outcome: Outcome): void {
    if (!this.#open.delete(hold.id) || !hold.facts) throw new Error(`hold ${hold.id} has ended before`);
    const allocations = allocationsOf(hold, this.book.settle(hold.held, outcome.cost));
    const { journal } = this.#options;
    const json = eventJson(hold.factsJson, outcome, allocations);
    journal.append('S', json);
    const { teamId, keyId } = hold.facts;
    const createdAtMs = momentOfUuidV7(hold.id);
    this.flusher.add({ id: hold.id, teamId, keyId, createdAtMs, cost: outcome.cost, allocations, json });
    if (hold.held.length > 0) this.#desk(hold.teamId).released();
  }

  /** What the tightest of the account's pools may still spend, held money not counted; null: nothing bounds it. */
  remaining(account: Account): PicoUsd | null {
    let least: PicoUsd | null = null;
    for (const pool of this.book.poolsOf(account, this.#options.clock.nowMs())) {
      let left = 0n;
      for (const lease of pool.leases) left += lease.state ? lease.ceiling : lease.spec.amount;
      if (least === null || left < least) least = left;
    }
    return least;
  }

  /** Limits or grants of these teams changed: what is idle goes back, so that new calls ask under the new rules. */
  recall(teamIds: ReadonlySet<string>): void {
    this.book.recall(teamIds);
  }

  /**
   * The orderly end, after the last call: everything reaches Postgres, leases are returned, the journal goes. Calls that
   * did not end in time become unknown. Rejects when Postgres is away; the journal then stays for the next start.
   */
  async stop(): Promise<void> {
    for (const stop of this.#stopTimers) stop();
    const { journal, store, instanceId } = this.#options;
    for (const hold of [...this.#open.values()]) this.endUnknown(hold, 'drain_timeout');
    try {
      await this.flusher.drain();
      await store.adopt(instanceId, [], 'stopped');
    } catch (error) {
      journal.close(false);
      throw error;
    }
    journal.close(true);
  }

  #desk(teamId: string): Desk {
    let desk = this.#desks.get(teamId);
    if (!desk) {
      const { clock, timers, store, instanceId, queueTimeoutMs, jitter = Math.random } = this.#options;
      desk = new Desk({
        book: this.book,
        timers,
        nowMs: clock.nowMs,
        monotonicMs: clock.monotonicMs,
        jitter,
        queueTimeoutMs,
        requestLease: (pools) => this.#heart.listen(() => store.requestLease({ instanceId, teamId, pools })),
        onFenced: () => this.#fence(),
        onStoreError: (error) => this.#options.onStoreError?.(error),
      });
      this.#desks.set(teamId, desk);
    }
    return desk;
  }

  #tick() {
    const { clock, journal } = this.#options;
    this.book.tick(clock.nowMs(), this.flusher.backlog.length === 0);
    if (journal.wantsCompaction && !journal.broken) journal.compact(this.#stillNeeded());
    void this.flusher.flush();
  }

  *#stillNeeded() {
    for (const event of this.flusher.backlog) yield formatLine('S', event.json);
    for (const hold of this.#open.values()) yield formatLine('H', holdLine(hold));
  }

  #fence() {
    if (this.#fenced) return;
    this.#fenced = true;
    this.#options.onFenced?.();
  }

  #every(ms: number, work: () => void) {
    let cancel = () => {};
    const again = () => {
      cancel = this.#options.timers.after(ms, () => {
        again();
        work();
      });
    };
    again();
    this.#stopTimers.push(() => cancel());
  }
}

/**
 * The ledger: keeps money. Owns the life of a hold (held → settled | voided | unknown) on this instance: leases in
 * memory, the journal on disk, events on their way to Postgres. Does not own: what a call costs, whom it belongs to.
 * Invariants: a call is held and journaled before it is forwarded; every hold ends in exactly one event; nothing is
 * admitted that a lease does not cover, that the journal cannot record, or after this instance was fenced.
 */

import type { Account, CallKind } from '../domain/budget.ts';
import type { PicoUsd } from '../domain/money.ts';
import { Admissions, type Queued } from './admissions.ts';
import type { Ask, Denial } from './ask.ts';
import { LeaseBook } from './book.ts';
import type { Clock } from './clock.ts';
import { type CallFacts, eventJson, factsJson, type Outcome } from './event.ts';
import { Flusher } from './flusher.ts';
import { Heart } from './heart.ts';
import { allocationsOf, type Hold, holdLine, unknownOutcome, usedBy } from './holds.ts';
import { momentOfUuidV7 } from './ids.ts';
import { formatLine, type Journal } from './journal.ts';
import { OpenHolds } from './open-holds.ts';
import { ceilingOf, leastOf } from './pool.ts';
import type { LedgerStore } from './store.ts';
import { every, rejection, type Timers } from './timers.ts';

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
  readonly book: LeaseBook;
  readonly flusher: Flusher;
  readonly #options: LedgerOptions;
  readonly #admissions: Admissions;
  readonly #open = new OpenHolds();
  readonly #heart: Heart;
  #fenced = false;
  #stopped = false;
  readonly #stopTimers: (() => void)[];

  constructor(options: LedgerOptions) {
    this.#options = options;
    this.book = new LeaseBook(options.clock);
    this.#heart = new Heart({
      ...options,
      onInstances: (count) => {
        this.book.instances = count;
      },
      onScarce: (counterIds) => this.book.heardOfScarcity(counterIds),
      onSilence: () => this.book.suspendSlots(),
      onFenced: () => this.#fence(),
      onError: (error) => options.onStoreError?.(error),
    });
    const { store, instanceId } = options;
    this.#admissions = new Admissions({
      jitter: Math.random,
      maxWaiting: 10_000,
      maxWaitingBytes: 256 * 1024 * 1024,
      ...options,
      book: this.book,
      blocked: () => this.blocked !== null,
      requestLease: (teamId, pools) =>
        this.#heart.listen(() => store.requestLease({ instanceId, teamId, pools })),
      onFenced: () => this.#fence(),
      onStoreError: (error) => options.onStoreError?.(error),
      cancel: (hold) => this.cancel(hold),
    });
    this.flusher = new Flusher({
      store,
      instanceId,
      monotonicMs: options.clock.monotonicMs,
      book: this.book,
      onFenced: () => this.#fence(),
      onResult: (error) => {
        if (error !== null) options.onStoreError?.(error);
      },
    });
    this.#stopTimers = [
      every(options.timers, TICK_MS, () => this.#tick()),
      every(options.timers, HEARTBEAT_MS, () => void this.beat()),
    ];
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
    return this.#admissions.waiting;
  }

  /** Why nothing can be admitted now; null: calls can. */
  get blocked(): 'fenced' | 'stopped' | 'journal' | 'backlog' | 'postgres' | null {
    if (this.#fenced) return 'fenced';
    if (this.#stopped) return 'stopped';
    if (this.#options.journal.broken) return 'journal';
    if (this.flusher.backlog.length > (this.#options.maxBacklog ?? 200_000)) return 'backlog';
    return this.#heart.silentMs > (this.#options.leaseTtlMs ?? 60_000) ? 'postgres' : null;
  }

  /**
   * Takes a call's claim. Answers at once when leases cover it (or nothing ever will); otherwise the promise of an
   * answer, and how to leave the queue.
   */
  reserve(ask: Ask): Hold | Denial | Queued {
    if (this.blocked === null) return this.#admissions.reserve(ask);
    const open = this.blocked === 'postgres' ? this.#admissions.failOpen(ask) : null;
    return open ?? { kind: 'unavailable' };
  }

  /** Journals the hold; resolves when its line was written, after which the call may be forwarded. */
  begin(hold: Hold, facts: CallFacts): Promise<'written' | 'broken'> {
    const { journal, instanceId } = this.#options;
    hold.facts = facts;
    hold.factsJson = factsJson(hold.id, instanceId, facts, hold.amount);
    this.#open.add(hold);
    journal.append('H', holdLine(hold));
    return new Promise((resolve) => {
      journal.written(() => resolve(journal.broken ? 'broken' : 'written'));
    });
  }

  /** Puts back a hold that the journal does not have: nothing was forwarded, nothing is recorded. */
  cancel(hold: Hold): void {
    if (hold.facts && !this.#options.journal.broken) throw new Error(`hold ${hold.id} is in the journal`);
    this.#finish(hold);
    this.book.settle(hold.held, null);
    hold.desk?.released();
  }

  #finish(hold: Hold): void {
    if (hold.ended) throw new Error(`hold ${hold.id} has ended before`);
    hold.ended = true;
    this.#open.remove(hold);
  }

  /** Whether a hold was journaled and has not ended. */
  isOpen(hold: Hold): boolean {
    return this.#open.has(hold);
  }

  /** Ends a journaled hold whose outcome nobody will know: it stays charged until there is evidence. */
  endUnknown(hold: Hold, reason: string): void {
    this.end(hold, unknownOutcome(hold, reason));
  }

  /** Ends a journaled hold with its one event. */
  end(hold: Hold, outcome: Outcome): void {
    if (!hold.facts) throw new Error(`hold ${hold.id} is not in the journal`);
    this.#finish(hold);
    const claim = usedBy(hold, outcome);
    const settled = this.book.settle(hold.held, claim, hold.promotion !== 'none');
    const allocations = allocationsOf(hold, settled);
    const { journal } = this.#options;
    const json = eventJson(hold.factsJson, outcome, allocations);
    journal.append('S', json);
    const { teamId, keyId, endUser, model } = hold.facts;
    const createdAtMs = momentOfUuidV7(hold.id);
    this.flusher.add({ id: hold.id, teamId, keyId, endUser, model, createdAtMs, claim, allocations, json });
    if (outcome.cost > hold.amount) this.flusher.overran(teamId);
    hold.desk?.released();
  }

  /** What the tightest of the call's budgets may still spend, held money not counted; null: nothing bounds it. */
  remaining(account: Account, kind: CallKind): PicoUsd | null {
    const { pools } = this.book.poolsOf(account, kind, this.#options.clock.nowMs());
    const budgets = pools.filter((pool) => pool.meter === 'cost_usd');
    return leastOf(budgets, ceilingOf)?.amount ?? null;
  }

  /** Limits or grants of these teams changed: what is idle goes back, so that all calls ask under the new rules. */
  recall(teamIds: ReadonlySet<string> | 'all'): void {
    this.book.recall(teamIds);
    this.#admissions.recall(teamIds);
  }

  /**
   * The orderly end, after the last call: everything reaches Postgres, leases are returned, the journal goes. Calls that
   * did not end in time become unknown. Rejects when Postgres is away or the signal ends the wait for it; the journal
   * then stays for the next start.
   */
  async stop(hurry: AbortSignal): Promise<void> {
    this.#stopped = true;
    for (const stop of this.#stopTimers) stop();
    this.#admissions.refuse();
    const { journal, store, instanceId } = this.#options;
    for (const hold of this.#open.all()) this.endUnknown(hold, 'drain_timeout');
    const stopped = this.flusher.drain().then(() => store.adopt(instanceId, [], 'stopped'));
    try {
      await Promise.race([stopped, rejection(hurry)]);
    } catch (error) {
      journal.close(false);
      throw error;
    }
    journal.close(true);
  }

  #tick() {
    const { journal } = this.#options;
    this.#admissions.forgetIdle();
    this.#heart.checkSilence();
    this.flusher.promote(this.#open.promote(this.#options.clock.nowMs()));
    this.book.tick(this.flusher.flushedMs);
    if (journal.wantsCompaction) journal.compact(this.#stillNeeded());
    void this.flusher.flush();
  }

  *#stillNeeded() {
    for (const event of this.flusher.backlog) yield formatLine('S', event.json);
    for (const hold of this.#open.all()) yield formatLine('H', holdLine(hold));
  }

  #fence() {
    if (this.#fenced) return;
    this.#fenced = true;
    this.#admissions.refuse();
    this.#options.onFenced?.();
  }
}

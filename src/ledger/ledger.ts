/**
 * The ledger: keeps money. Owns the life of a hold (held → settled | voided | unknown) on this instance: leases in
 * memory, the journal on disk, events on their way to Postgres. Does not own: what a call costs, whom it belongs to.
 * Invariants: a call is held and journaled before it is forwarded; every hold ends in exactly one event; nothing is
 * admitted that a lease does not cover, that the journal cannot record, or after this instance was fenced.
 */

import type { Account } from '../domain/budget.ts';
import type { PicoUsd } from '../domain/money.ts';
import { Admissions, type Queued } from './admissions.ts';
import type { Ask, Denial } from './ask.ts';
import { LeaseBook } from './book.ts';
import type { Clock } from './clock.ts';
import { type CallFacts, eventJson, factsJson, type Outcome } from './event.ts';
import { Flusher } from './flusher.ts';
import { Heart } from './heart.ts';
import { allocationsOf, type Hold, holdLine, newHold, unknownOutcome } from './holds.ts';
import { momentOfUuidV7 } from './ids.ts';
import { formatLine, type Journal } from './journal.ts';
import { ceilingOf, leastOf } from './pool.ts';
import type { LedgerStore } from './store.ts';
import { every, type Timers } from './timers.ts';

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
  readonly #open = new Map<string, Hold>();
  readonly #heart: Heart;
  #fenced = false;
  #stopped = false;
  readonly #stopTimers: (() => void)[];

  constructor(options: LedgerOptions) {
    this.#options = options;
    this.book = new LeaseBook(options.clock.monotonicMs);
    this.#heart = new Heart({
      ...options,
      onInstances: (count) => {
        this.book.instances = count;
      },
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
  get blocked(): 'fenced' | 'stopped' | 'journal' | 'postgres' | null {
    if (this.#fenced) return 'fenced';
    if (this.#stopped) return 'stopped';
    if (this.#options.journal.broken) return 'journal';
    if (this.#heart.silentMs > (this.#options.leaseTtlMs ?? 60_000)) return 'postgres';
    return this.flusher.backlog.length > (this.#options.maxBacklog ?? 200_000) ? 'postgres' : null;
  }

  /**
   * Takes a call's money. Answers at once when a lease covers it (or nothing ever will); otherwise the promise of an
   * answer, and how to leave the queue. A call that costs nothing asks with `free`.
   */
  reserve(ask: Ask): Hold | Denial | Queued {
    return this.blocked === null ? this.#admissions.reserve(ask) : { kind: 'unavailable' };
  }

  /** A hold of nothing, for calls that cost nothing: they too end in exactly one event. */
  reserveFree(teamId: string): Hold | Denial {
    if (this.blocked !== null) return { kind: 'unavailable' };
    return newHold(teamId, { amount: 0n, held: [], atMs: this.#options.clock.nowMs() }, null);
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

  /** Puts back a hold that the journal does not have: nothing was forwarded, nothing is recorded. */
  cancel(hold: Hold): void {
    if (hold.facts && !this.#options.journal.broken) throw new Error(`hold ${hold.id} is in the journal`);
    this.#finish(hold);
    this.book.settle(hold.held, 0n);
    hold.desk?.released();
  }

  #finish(hold: Hold): void {
    if (hold.ended) throw new Error(`hold ${hold.id} has ended before`);
    hold.ended = true;
    this.#open.delete(hold.id);
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
    if (!hold.facts) throw new Error(`hold ${hold.id} is not in the journal`);
    this.#finish(hold);
    const allocations = allocationsOf(hold, this.book.settle(hold.held, outcome.cost));
    const { journal } = this.#options;
    const json = eventJson(hold.factsJson, outcome, allocations);
    journal.append('S', json);
    const { teamId, keyId } = hold.facts;
    const createdAtMs = momentOfUuidV7(hold.id);
    this.flusher.add({ id: hold.id, teamId, keyId, createdAtMs, cost: outcome.cost, allocations, json });
    if (outcome.cost > hold.amount) this.flusher.overran(teamId);
    hold.desk?.released();
  }

  /** What the tightest of the account's pools may still spend, held money not counted; null: nothing bounds it. */
  remaining(account: Account): PicoUsd | null {
    const pools = this.book.poolsOf(account, this.#options.clock.nowMs());
    return leastOf(pools, ceilingOf)?.amount ?? null;
  }

  /** Limits or grants of these teams changed: what is idle goes back, so that new calls ask under the new rules. */
  recall(teamIds: ReadonlySet<string>): void {
    this.book.recall(teamIds);
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
    for (const hold of [...this.#open.values()]) this.endUnknown(hold, 'drain_timeout');
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
    this.book.tick(this.flusher.backlog.length === 0);
    if (journal.wantsCompaction) journal.compact(this.#stillNeeded());
    void this.flusher.flush();
  }

  *#stillNeeded() {
    for (const event of this.flusher.backlog) yield formatLine('S', event.json);
    for (const hold of this.#open.values()) yield formatLine('H', holdLine(hold));
  }

  #fence() {
    if (this.#fenced) return;
    this.#fenced = true;
    this.#admissions.refuse();
    this.#options.onFenced?.();
  }
}

/** Rejects with the signal's reason once it is aborted. */
function rejection(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason as Error);
    signal.addEventListener('abort', () => reject(signal.reason as Error));
  });
}

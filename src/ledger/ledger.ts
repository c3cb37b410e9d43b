/**
 * The ledger: keeps money. Owns the life of a hold (held → settled | voided | unknown) on this instance: the journal on
 * disk, and events on their way to Postgres. Does not own: who may spend what now (admission), what a call costs, whom it
 * belongs to. Invariants: a call is held and journaled before it is forwarded; every journaled hold ends in exactly one
 * event; nothing is admitted that a lease does not cover, that the journal cannot record, or after this instance was
 * fenced.
 */

import type { Denial, ReservationRequest } from '../admission/decide.ts';
import type { LeaseTable } from '../admission/leases.ts';
import { AdmissionController } from '../admission/queue.ts';
import { type Timers, UNAVAILABLE, type Unavailable } from '../admission/waiting.ts';
import type { Account, CallKind } from '../domain/budget.ts';
import type { Seen } from '../domain/history.ts';
import type { PicoUsd } from '../domain/money.ts';
import { OpenHolds } from './backlog.ts';
import {
  allocationsJson,
  type CallFacts,
  type Clock,
  eventJson,
  factsJson,
  Hold,
  holdLine,
  type Outcome,
  Queued,
  type StageUs,
  unknownOutcome,
  usedBy,
  withObject,
} from './events.ts';
import { Flusher } from './flusher.ts';
import { Heartbeat, type LedgerStore, rejection } from './heartbeat.ts';
import { JobHolds } from './job-holds.ts';
import { formatLine, type Journal } from './journal.ts';
import { PutBack } from './put-back.ts';

export interface LedgerOptions {
  instanceId: string;
  /** What it has seen of the store since it was registered; missing: nothing is known of that. */
  seen?: Seen;
  store: LedgerStore;
  journal: Journal;
  clock: Clock;
  timers: Timers;
  /** In [0, 1). */
  jitter?: () => number;
  queueTimeoutMs: number;
  /** Waiting calls and bytes of their bodies, of the whole instance. */
  maxWaiting?: number;
  maxWaitingBytes?: number;
  /** How long leases may be spent without a reply of Postgres. */
  leaseTtlMs?: number;
  maxBacklog?: number;
  onFenced?: () => void;
  /** The journal can be written again. */
  onJournalRecovered?: () => void;
  /** Puts back what instances have left that ended on this data folder, after the store has forgotten it. */
  putBackEnded?: () => Promise<void>;
  /** The store went back, and this instance has put back what was its own. */
  onPutBack?: (reason: string) => void;
  onStoreError?: (error: unknown) => void;
  /** An error of ours in a queue, which goes on all the same. */
  onUnexpectedError?: (error: unknown) => void;
}

/** By then rates of demand, which fall per tick, have fallen. */
const QUIET_AFTER_MS = 10_000;
/** How often a journal that failed is tried again. */
const JOURNAL_RETRY_MS = 1000;
const DEGRADED_AFTER_MS = 3000;

/** What sends the ledger's heartbeats and calls its tick. */
export interface LedgerTimers {
  /** A quiet instance got a call: the next tick comes sooner. */
  wake(): void;
  stop(): void;
}

export class Ledger {
  readonly flusher: Flusher;
  /** Holds whose calls go on upstream as jobs. */
  readonly jobs: JobHolds;
  readonly #options: LedgerOptions;
  readonly #admission: AdmissionController;
  readonly #open = new OpenHolds();
  readonly #heartbeat: Heartbeat;
  readonly #putBack: PutBack;
  #fenced = false;
  #stopped = false;
  #timers: LedgerTimers | null = null;
  #isQuiet = false;
  /** When a journal that failed is tried again; null: it works. */
  #recoverJournalMs: number | null = null;
  #lastBusyMs = Number.NEGATIVE_INFINITY;

  constructor(options: LedgerOptions) {
    this.#options = options;
    const { store, instanceId, clock, timers } = options;
    const onFenced = () => this.#fence();
    const onStoreError = (error: unknown) => {
      this.#putBack.noticed(error);
      options.onStoreError?.(error);
    };
    const seen = () => this.#putBack.seen;
    this.#admission = new AdmissionController({
      clock,
      timers,
      jitter: options.jitter ?? Math.random,
      queueTimeoutMs: options.queueTimeoutMs,
      maxWaiting: options.maxWaiting ?? 10_000,
      maxWaitingBytes: options.maxWaitingBytes ?? 256 * 1024 * 1024,
      isBlocked: () => this.blocked !== null,
      requestLease: (teamId, pools) =>
        // What were lent meanwhile would be forgotten with the leases that end.
        this.#putBack.isRunning
          ? Promise.reject(new Error('what the database had forgotten is put back first'))
          : this.#heartbeat.listen(() => store.requestLease({ instanceId, teamId, pools, seen: seen() })),
      onFenced,
      onStoreError,
      onUnexpectedError: (error) => options.onUnexpectedError?.(error),
    });
    this.#heartbeat = new Heartbeat({
      store,
      instanceId,
      clock,
      seen,
      onReply: (reply) => this.#putBack.heard(reply),
      onInstances: (count) => {
        this.leases.instances = count;
      },
      onContended: (counterIds) => this.leases.contend(counterIds),
      onSilence: () => this.leases.suspendSlots(),
      onFenced,
      onError: onStoreError,
    });
    this.flusher = new Flusher({
      store,
      instanceId,
      monotonicMs: clock.monotonicMs,
      leases: this.leases,
      seen,
      onFenced,
      onResult: (error) => {
        if (error !== null) onStoreError(error);
      },
    });
    this.#putBack = this.#createPutBack(onFenced);
    this.jobs = new JobHolds({ open: this.#open, journal: options.journal, clock, flusher: this.flusher });
  }

  #createPutBack(onFenced: () => void): PutBack {
    const { putBackEnded, onPutBack, onStoreError } = this.#options;
    return new PutBack({
      ...this.#options,
      flusher: this.flusher,
      leases: this.leases,
      open: this.#open,
      endWaits: () => this.#admission.endAll(),
      resetLeases: () => this.#admission.reset(),
      putBackEnded: async () => putBackEnded?.(),
      onPutBack: (reason) => onPutBack?.(reason),
      onFenced,
      onError: (error) => onStoreError?.(error),
    });
  }

  /** What counters lent to this instance. */
  get leases(): LeaseTable {
    return this.#admission.leases;
  }

  /** Calls are admitted, but only on leases: Postgres has not replied for a while. */
  get degraded(): boolean {
    return this.#silentMs > DEGRADED_AFTER_MS;
  }

  /** Says that this instance lives and takes over Postgres's time; to be called about once a second. */
  sendHeartbeat(): Promise<void> {
    return this.#heartbeat.send();
  }

  /** The number of calls that wait for money. */
  get waiting(): number {
    return this.#admission.waiting;
  }

  /** For a while no call has come, and nothing is left here that Postgres does not have. */
  get isQuiet(): boolean {
    return this.#isQuiet;
  }

  /** Why nothing can be admitted now; null: calls can. */
  get blocked(): 'fenced' | 'stopped' | 'journal' | 'backlog' | 'postgres' | 'put_back' | null {
    if (this.#fenced) return 'fenced';
    if (this.#stopped) return 'stopped';
    if (this.#options.journal.broken) return 'journal';
    if (!this.#putBack.isWhole) return 'put_back';
    if (this.flusher.backlog.length > (this.#options.maxBacklog ?? 200_000)) return 'backlog';
    return this.#silentMs > (this.#options.leaseTtlMs ?? 60_000) ? 'postgres' : null;
  }

  /** Milliseconds since something was sent that Postgres replied to. */
  get #silentMs(): number {
    return this.#options.clock.monotonicMs() - this.#heartbeat.contactMs;
  }

  /** Why calls are refused now, as a load balancer should see it; null: they are not, or only by limits. */
  get unready(): Ledger['blocked'] | 'leases' {
    return this.blocked ?? (this.#admission.lending.isDown ? 'leases' : null);
  }

  /** Takes a call's claim: at once when leases cover it, else the call is queued, unless it can never fit. */
  reserve(request: ReservationRequest): Hold | Denial | Unavailable | Queued {
    if (this.#isQuiet) this.#wake();
    const { blocked } = this;
    const result =
      blocked === null
        ? this.#admission.reserve(request)
        : blocked === 'postgres'
          ? (this.leases.reserveUnbound(request) ?? UNAVAILABLE)
          : UNAVAILABLE;
    if (result.kind === 'reservation') return new Hold(result);
    return result.kind === 'queued' ? new Queued(result, (hold) => this.cancel(hold)) : result;
  }

  /**
   * Journals the hold, and calls back once its line was written (true), after which the call may be forwarded, or the
   * journal is broken, or the store went back since the hold was taken (false).
   */
  begin(hold: Hold, facts: CallFacts, done: (written: boolean) => void): void {
    if (hold.reservation.pools[0]?.leases[0]?.hasEnded) {
      done(false);
      return;
    }
    const { journal, instanceId } = this.#options;
    hold.factsJson = factsJson(hold.id, instanceId, facts, hold.amount, hold.reservation.atMs);
    hold.facts = facts;
    this.#open.add(hold);
    journal.append('H', holdLine(hold));
    journal.written(done);
  }

  /** Journals at once what a call under way has left upstream, before its client knows of it. */
  keep(hold: Hold, object: string): void {
    hold.object = object;
    this.#options.journal.append('H', holdLine(hold));
    this.#options.journal.flush();
  }

  /** Puts back a hold that the journal does not have: nothing was forwarded, nothing is recorded. */
  cancel(hold: Hold): void {
    if (hold.facts && !this.#options.journal.broken) throw new Error(`hold ${hold.id} is in the journal`);
    this.#finish(hold);
    this.#admission.cancel(hold.reservation);
  }

  #finish(hold: Hold): void {
    if (hold.ended) throw new Error(`hold ${hold.id} has ended before`);
    hold.ended = true;
    this.#open.remove(hold);
  }

  /** Returns whether a hold was journaled and has not ended. */
  isOpen(hold: Hold): boolean {
    return this.#open.has(hold);
  }

  /** Ends a journaled hold whose outcome is not known: it stays charged until there is evidence. */
  endUnknown(hold: Hold, reason: string): void {
    this.end(hold, unknownOutcome(hold.amount, hold.facts?.priceId ?? null, reason));
  }

  /** Ends a journaled hold with its one event. */
  end(hold: Hold, outcome: Outcome, stageUs: StageUs = {}): void {
    this.settle(hold, outcome);
    this.record(hold, stageUs);
  }

  /**
   * Moves the money of a journaled hold: what was used is spent, the rest is free again. To be followed by `record` in the
   * same turn of the event loop: only by the event do the journal and Postgres know of it.
   */
  settle(hold: Hold, outcome: Outcome): void {
    if (hold.facts === null) throw new Error(`hold ${hold.id} is not in the journal`);
    if (hold.settled !== null) throw new Error(`hold ${hold.id} has ended before`);
    const claim = usedBy(hold.claim, outcome);
    const amounts = this.leases.settle(hold.reservation, claim, hold.persistence !== 'none');
    hold.settled = { outcome, claim, amounts };
  }

  /** Writes the one event of a settled hold; at once where it says whose an object is. @param stageUs microseconds by stage */
  record(hold: Hold, stageUs: StageUs): void {
    const { facts, id, settled, reservation } = hold;
    if (facts === null || settled === null) throw new Error(`hold ${id} is not settled`);
    this.#finish(hold);
    const { outcome, claim, amounts } = settled;
    const event = eventJson(hold.factsJson, outcome, allocationsJson(reservation, amounts), stageUs);
    const json = withObject(event, hold.object);
    this.#options.journal.append('S', json);
    if (hold.object !== null) this.#options.journal.flush();
    this.flusher.backlog.add(facts, reservation.atMs, claim, reservation, amounts, json);
    if (outcome.cost > hold.amount) this.flusher.overran(facts.teamId);
    reservation.release();
  }

  /** Ends a journaled hold after an error of ours: with the outcome that it was settled at, else unknown. */
  abandon(hold: Hold, reason: string): void {
    if (!this.isOpen(hold)) return;
    if (hold.settled === null) this.endUnknown(hold, reason);
    else this.record(hold, {});
  }

  /** What the tightest of the call's budgets may still spend, held money not counted; null: nothing bounds it. */
  remaining(account: Account, kind: CallKind, { reservation }: Hold): PicoUsd | null {
    return this.leases.remaining(account, kind, reservation);
  }

  /** Limits or grants of teams changed: what is idle goes back; waiting calls of those to be read again (`reread`) ask again. */
  revoke(changed: ReadonlySet<string> | 'all', reread: ReadonlySet<string> | 'all' = changed): void {
    this.#admission.revoke(changed, reread);
  }

  /**
   * The orderly end: everything reaches Postgres, leases are returned, the journal goes. Calls that did not end in time become
   * unknown. Rejects when Postgres is away or the signal ends the wait for it; the journal then stays for the next start.
   */
  async stop(hurry: AbortSignal): Promise<void> {
    this.#stopped = true;
    this.#timers?.stop();
    this.#admission.endAll();
    const { journal, store, instanceId } = this.#options;
    for (const hold of this.#open.own()) this.endUnknown(hold, 'drain_timeout');
    const stopped = this.#putBack.around(async () => {
      await this.flusher.drain();
      await store.adopt(instanceId, [], 'stopped', this.flusher.confirmed, this.#putBack.seen);
    });
    try {
      await Promise.race([stopped, rejection(hurry)]);
    } catch (error) {
      journal.close(false);
      throw error;
    }
    journal.close(true);
  }

  /** What this call takes must be reported as soon as on any other instance, even if it is cancelled at once. */
  #wake() {
    this.#lastBusyMs = this.#options.clock.monotonicMs();
    this.#timers?.wake();
  }

  /** Called once, by what sends heartbeats and calls `tick` from now on. */
  keptBy(timers: LedgerTimers): void {
    this.#timers = timers;
  }

  /** Looks whether there is anything to do; returns whether the next tick can wait (`isQuiet`). To be called before each. */
  growsQuiet(): boolean {
    const nowMs = this.#options.clock.monotonicMs();
    if (this.#open.size + this.waiting + this.flusher.backlog.length > 0) this.#lastBusyMs = nowMs;
    this.#isQuiet = nowMs - this.#lastBusyMs > QUIET_AFTER_MS && this.leases.areDone;
    return this.#isQuiet;
  }

  /** Gives back what is idle, brings old holds and what has ended to Postgres, and keeps the journal small and working. */
  tick(): void {
    const { journal, clock } = this.#options;
    this.#heartbeat.checkSilence();
    this.flusher.persist(this.#open.grownOld(clock.nowMs()));
    this.#admission.tick(this.flusher.flushedMs);
    // While its files are read none of them is replaced.
    if (journal.wantsCompaction && !this.#putBack.isRunning)
      journal.compact(this.#stillNeeded(), this.flusher.confirmed);
    if (journal.broken !== null) this.#recoverJournal();
    this.flusher.flushIfDue(this.waiting > 0);
  }

  /** The disk may have room again. What is open and what Postgres does not have is in memory, and is written again. */
  #recoverJournal(): void {
    const { journal, clock, onJournalRecovered } = this.#options;
    const nowMs = clock.monotonicMs();
    this.#recoverJournalMs ??= nowMs + JOURNAL_RETRY_MS;
    if (nowMs < this.#recoverJournalMs) return;
    this.#recoverJournalMs = null;
    if (journal.recover(this.#stillNeeded(), this.flusher.confirmed)) onJournalRecovered?.();
  }

  *#stillNeeded() {
    for (const json of this.flusher.backlog.rows()) yield formatLine('S', json);
    for (const hold of this.#open.all()) yield formatLine('H', holdLine(hold));
  }

  #fence() {
    if (this.#fenced) return;
    this.#fenced = true;
    this.#admission.endAll();
    this.#options.onFenced?.();
  }
}

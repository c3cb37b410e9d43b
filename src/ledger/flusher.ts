/**
 * The flusher: takes events that were journaled to Postgres, in batches, until Postgres says that it has them. Owns:
 * the backlog and the retries. Invariant: an event leaves the backlog only when its batch was committed; sending it
 * again is harmless.
 */
import { ORGANIZATION_ID } from '../domain/limit.ts';
import type { FlushEvent, LeaseReport } from '../store/hot/flush.ts';
import type { LeaseBook } from './book.ts';
import type { Hold } from './holds.ts';
import type { Lease } from './lease.ts';
import { durableHold } from './open-holds.ts';
import { isFenced, type LedgerStore } from './store.ts';

export interface FlusherOptions {
  store: LedgerStore;
  instanceId: string;
  book: LeaseBook;
  monotonicMs(): number;
  /** Told after every attempt: null for success. */
  onResult(error: unknown): void;
  onFenced(): void;
  maxBatch?: number;
}

export class Flusher {
  readonly #options: FlusherOptions;
  #backlog: FlushEvent[] = [];
  /** Holds that Postgres is to keep on its own and has not confirmed. */
  #promoting: Hold[] = [];
  #running: Promise<unknown> | null = null;
  /** How many events ever left the backlog. */
  #confirmed = 0;
  #flushedMs = Number.NEGATIVE_INFINITY;

  constructor(options: FlusherOptions) {
    this.#options = options;
  }

  add(event: FlushEvent): void {
    this.#backlog.push(event);
  }

  /**
   * A call of this team cost more than it held, and no lease paid for the excess. So what is free in them goes back, and
   * again once Postgres has that call's event: what it lent in between, it lent in ignorance.
   */
  overran(teamId: string): void {
    const recall = () => this.#options.book.recall(new Set([teamId, ORGANIZATION_ID]));
    recall();
    void this.drain().then(recall, recall);
  }

  /** Asks Postgres to keep these holds on its own. Asked before their events, so it knows them when they end. */
  promote(holds: Hold[]): void {
    this.#promoting.push(...holds);
  }

  /** Events that Postgres has not confirmed, oldest first. */
  get backlog(): readonly FlushEvent[] {
    return this.#backlog;
  }

  /** Postgres has every event that was added before this moment, on the monotonic clock. */
  get flushedMs(): number {
    return this.#flushedMs;
  }

  /**
   * Sends what there is to tell; a call while that is under way waits for it. Batches are small, because making one
   * holds up the calls of that moment, and follow each other while they are full.
   * Answers null, or the error that kept it from Postgres: the batch stays in the backlog.
   */
  flush(): Promise<unknown> {
    this.#running ??= this.#sendFull().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  /**
   * Flushes until everything that was known at the call is in Postgres; what comes meanwhile need not be, or under
   * load there would be no end. Rejects when Postgres is away.
   */
  async drain(): Promise<void> {
    const last = this.#confirmed + this.#backlog.length;
    // The batch under way may have been made before the last event or return.
    await this.#running;
    do {
      const error = await this.flush();
      if (error !== null) throw error;
    } while (this.#confirmed < last);
  }

  async #sendFull(): Promise<unknown> {
    const { maxBatch = 500 } = this.#options;
    let error: unknown;
    do error = await this.#send(maxBatch);
    while (error === null && this.#backlog.length >= maxBatch);
    return error;
  }

  async #send(maxBatch: number): Promise<unknown> {
    const { store, instanceId, monotonicMs } = this.#options;
    const sentMs = monotonicMs();
    const events = this.#backlog.slice(0, maxBatch);
    const isAll = events.length === this.#backlog.length;
    const reports = this.#reports();
    const promoting = [...this.#promoting];
    if (events.length + reports.length + promoting.length === 0) {
      this.#flushedMs = sentMs;
      return null;
    }
    try {
      const holds = promoting.map(durableHold);
      await store.flush({ instanceId, events, reports: reports.map(([, report]) => report), holds });
      this.#promoting.splice(0, promoting.length);
      for (const hold of promoting) {
        this.#options.book.promote(hold.held);
        hold.promotion = 'done';
      }
      this.#backlog.splice(0, events.length);
      this.#confirmed += events.length;
      if (isAll) this.#flushedMs = sentMs;
      for (const [lease, report] of reports) lease.reported(report);
      this.#options.onResult(null);
      return null;
    } catch (error) {
      if (isFenced(error)) this.#options.onFenced();
      this.#options.onResult(error);
      return error;
    }
  }

  #reports(): [Lease, LeaseReport][] {
    const reports: [Lease, LeaseReport][] = [];
    for (const lease of this.#options.book.leases()) {
      const report = lease.report();
      if (report) reports.push([lease, { teamId: lease.spec.teamId, counterId: lease.spec.id, ...report }]);
    }
    return reports;
  }
}

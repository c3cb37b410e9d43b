/**
 * The flusher: takes events that were journaled to Postgres, in batches, until Postgres says that it has them. Owns:
 * the backlog and the retries. Invariant: an event leaves the backlog only when its batch was committed; sending it
 * again is harmless.
 */
import type { LeaseTable } from '../admission/leases.ts';
import { isFenced } from '../admission/waiting.ts';
import type { Allocation } from '../domain/budget.ts';
import type { Seen } from '../domain/history.ts';
import type { Lease } from '../domain/lease.ts';
import { ORGANIZATION_ID } from '../domain/limit.ts';
import type { DurableHold, LeaseReport } from '../store/hot/flush.ts';
import { Backlog } from './backlog.ts';
import type { Hold } from './events.ts';
import type { LedgerStore } from './heartbeat.ts';

export interface FlusherOptions {
  store: LedgerStore;
  instanceId: string;
  leases: LeaseTable;
  monotonicMs(): number;
  /** What the instance has seen of the store. */
  seen(): Seen | null;
  /** Called after every attempt; null: it succeeded. */
  onResult(error: unknown): void;
  onFenced(): void;
  maxBatch?: number;
}

/** So many events are worth a transaction at once. */
const FLUSH_EVENTS = 50;
/** Fewer wait for more, this long since the last: at 50 calls a second a transaction at every tick costs more than the calls do. */
const FLUSH_APART_MS = 200;

export class Flusher {
  readonly #options: FlusherOptions;
  /** Events that Postgres has not confirmed. */
  readonly backlog = new Backlog();
  /** Holds that Postgres is to persist and has not confirmed. */
  #persisting: Hold[] = [];
  #running: Promise<unknown> | null = null;
  /** How many events ever left the backlog. */
  #confirmed = 0;
  #flushedMs = Number.NEGATIVE_INFINITY;
  /** When a transaction was last begun. */
  #begunMs = Number.NEGATIVE_INFINITY;
  #isPaused = false;

  constructor(options: FlusherOptions) {
    this.#options = options;
  }

  /**
   * A call of this team cost more than it held, and no lease paid for the excess. So what is free in them goes back, and
   * again once Postgres has that call's event, since it lent in between without knowing of it.
   */
  overran(teamId: string): void {
    const { leases } = this.#options;
    const teamIds = new Set([teamId, ORGANIZATION_ID]);
    const overruns = leases.overruns(teamIds);
    const revoke = () => leases.revoke(teamIds);
    revoke();
    void this.drain().then(() => {
      for (const [lease, sum] of overruns) lease.overrunFlushed(sum);
      revoke();
    }, revoke);
  }

  /** Asks Postgres to persist these holds. Asked before their events, so it knows them when they end. */
  persist(holds: readonly Hold[]): void {
    this.#persisting.push(...holds);
  }

  /** The number of the last event that Postgres has confirmed. */
  get confirmed(): number {
    return this.#confirmed;
  }

  /** Sends nothing more until `resume`; resolves once nothing is under way. */
  async pause(): Promise<void> {
    this.#isPaused = true;
    await this.#running;
  }

  /** To be called while paused, once everything that was to be persisted was put back another way. */
  resume(): void {
    this.#isPaused = false;
    this.#persisting = [];
  }

  /** To be called while paused: what was taken from the backlog, so many events, is in Postgres. */
  confirm(events: number): void {
    this.backlog.drop();
    this.#confirmed += events;
  }

  /** Postgres has every event that was added before this moment, on the monotonic clock. */
  get flushedMs(): number {
    return this.#flushedMs;
  }

  /**
   * Sends what Postgres does not have; a call while that is under way waits for it. Batches are small, because making one
   * holds up the calls of that moment, and follow each other while they are full.
   * Returns null, or the error that kept it from Postgres: the batch stays in the backlog.
   */
  flush(): Promise<unknown> {
    this.#running ??= this.#sendFull().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  /** Flushes when it is time. @param isUrgent something waits for what this may give back */
  flushIfDue(isUrgent: boolean): void {
    const isDue = this.#options.monotonicMs() - this.#begunMs >= FLUSH_APART_MS;
    if (isDue || isUrgent || this.#persisting.length > 0 || this.backlog.length >= FLUSH_EVENTS)
      void this.flush();
  }

  /**
   * Flushes until everything that was known at the call is in Postgres; what comes meanwhile need not be, or under
   * load there would be no end. Rejects when Postgres is away.
   */
  async drain(): Promise<void> {
    const last = this.#confirmed + this.backlog.length;
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
    while (error === null && this.backlog.length >= maxBatch);
    return error;
  }

  async #send(maxBatch: number): Promise<unknown> {
    const { store, instanceId, monotonicMs, seen } = this.#options;
    if (this.#isPaused) return new Error('what the database had forgotten is put back first');
    const sentMs = monotonicMs();
    const events = this.backlog.take(maxBatch);
    const isAll = events.length === this.backlog.length;
    const reports = this.#reports();
    const persisting = [...this.#persisting];
    if (events.length + reports.length + persisting.length === 0) {
      this.#flushedMs = sentMs;
      return null;
    }
    this.#begunMs = sentMs;
    try {
      await store.flush({
        instanceId,
        events,
        reports: reports.map(([, report]) => report),
        holds: persisting.map((hold) => durableHold(hold)),
        seen: seen(),
        flushed: this.#confirmed + events.length,
      });
      this.#persisting.splice(0, persisting.length);
      for (const hold of persisting) {
        this.#options.leases.persist(hold.reservation);
        hold.persistence = 'done';
      }
      this.backlog.drop();
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
    for (const lease of this.#options.leases.all()) {
      const report = lease.report();
      if (report) reports.push([lease, { teamId: lease.spec.teamId, counterId: lease.spec.id, ...report }]);
    }
    return reports;
  }
}

/** A hold as Postgres is asked to persist it: without what comes back by time, unless its leases end (`isWhole`). */
export function durableHold(hold: Hold, isWhole = false): DurableHold {
  const { pools, amounts } = hold.reservation;
  const allocations: Allocation[] = [];
  let at = 0;
  for (const { leases, isPersistable } of pools) {
    for (const lease of leases) {
      const held = amounts[at++] ?? 0n;
      if ((isPersistable || (isWhole && hold.job === null)) && held > 0n)
        allocations.push({ counterId: lease.spec.id, held, settled: held });
    }
  }
  return { id: hold.id, teamId: hold.teamId, allocations };
}

/**
 * Putting back: what this instance has seen of the store, and what it does when the store has forgotten some of it
 * (domain/history.ts): its row, its events and the holds of its calls in flight come back, and its leases end. Owns: the
 * steps and their repetition. Invariants: nothing is admitted from the moment at which the break is noticed until money
 * is lent again; every step may be done twice.
 */
import type { LeaseTable } from '../admission/leases.ts';
import { isFenced, type Timers } from '../admission/waiting.ts';
import type { CounterSpec } from '../domain/counter.ts';
import type { Seen } from '../domain/history.ts';
import type { HeartbeatReply } from '../store/hot/instances.ts';
import type { OpenHolds } from './backlog.ts';
import { durableHold, type Flusher } from './flusher.ts';
import type { LedgerStore } from './heartbeat.ts';
import type { Journal } from './journal.ts';
import { putBackEvents } from './read-journal.ts';

export interface PutBackOptions {
  store: LedgerStore;
  instanceId: string;
  /** What it has seen of the store so far. */
  seen?: Seen;
  journal: Journal;
  flusher: Flusher;
  leases: LeaseTable;
  open: OpenHolds;
  timers: Timers;
  /** Ends all waits: nothing can be admitted now. */
  endWaits(): void;
  /** All leases have ended. */
  resetLeases(): void;
  /** Puts back what instances have left that ended here; called before this instance takes part again. */
  putBackEnded(): Promise<void>;
  /** The store went back, and this instance has put back what was its own. */
  onPutBack(reason: string): void;
  onFenced(): void;
  onError(error: unknown): void;
}

const RETRY_MS = 250;
const MAX_BATCH = 500;
/** Of instances that were not heard of for so long nothing new can be known. */
const REMEMBERED_MS = 24 * 3_600_000;

export class PutBack {
  readonly #options: PutBackOptions;
  /** The store has all that was seen of it, and lends: every call looks here. Only for reading. */
  isWhole = true;
  #seen: Seen | null = null;
  #isLending = true;
  #running: Promise<void> | null = null;
  /** Instances heard of: the number of the last event of each that had arrived, and when that was. */
  readonly #known = new Map<string, { flushed: number; atMs: number }>();
  #resuming = false;

  constructor(options: PutBackOptions) {
    this.#options = options;
    this.#seen = options.seen ?? null;
  }

  /** What this instance has seen of the store; null: it has not heard of it yet. */
  get seen(): Seen | null {
    if (this.#seen === null) return null;
    if (this.#running === null) this.#seen.flushed = this.#options.flusher.confirmed;
    // A copy: a statement under way is judged by what was seen when it was sent. What is confirmed meanwhile is not in its reply.
    return { ...this.#seen };
  }

  get isRunning(): boolean {
    return this.#running !== null;
  }

  /** Takes over what a heartbeat brought. */
  heard({ seen, isLending, known, nowMs }: HeartbeatReply): void {
    if (this.#running !== null) return;
    const before = this.#seen;
    // A reply of the time before the store went back may come late.
    if (before === null || (before.epoch === seen.epoch && seen.beats > before.beats)) {
      this.#seen = { ...seen };
      this.#lends(isLending);
      if (!isLending) void this.#resume();
    }
    for (const [id, flushed] of known) {
      const most = Math.max(flushed, this.#known.get(id)?.flushed ?? 0);
      this.#known.set(id, { flushed: most, atMs: nowMs });
    }
    for (const [id, { atMs }] of this.#known) if (nowMs - atMs > REMEMBERED_MS) this.#known.delete(id);
  }

  /** Looks whether an error of the store says that it went back; then everything is put back. */
  noticed(error: unknown): void {
    const name = error instanceof Error ? error.name : '';
    if (name === 'NothingLent') this.#lends(false);
    if (name !== 'StoreWentBack' || this.#running !== null) return;
    this.#options.endWaits();
    this.isWhole = false;
    this.#running = this.#putBack(String((error as Error).message)).finally(() => {
      this.#running = null;
      this.#lends(this.#isLending);
    });
  }

  /** Does what ends in the store as it was seen. Where it turns out to have gone back, it is done again after putting back. */
  async around(work: () => Promise<void>): Promise<void> {
    for (;;) {
      await this.#running;
      try {
        await work();
        return;
      } catch (error) {
        this.noticed(error);
        if (this.#running === null) throw error;
      }
    }
  }

  #lends(isLending: boolean): void {
    this.#isLending = isLending;
    this.isWhole = isLending && this.#running === null;
  }

  async #resume(): Promise<void> {
    if (this.#resuming) return;
    this.#resuming = true;
    try {
      if (await this.#options.store.resumeLending()) this.#lends(true);
    } catch (error) {
      this.#options.onError(error);
    } finally {
      this.#resuming = false;
    }
  }

  async #putBack(reason: string): Promise<void> {
    const { flusher, timers, onPutBack, onFenced, onError } = this.#options;
    await flusher.pause();
    for (;;) {
      try {
        await this.#once();
        flusher.resume();
        this.#lends(false);
        onPutBack(reason);
        return;
      } catch (error) {
        if (isFenced(error)) {
          onFenced();
          return;
        }
        onError(error);
      }
      await new Promise<void>((resolve) => timers.after(RETRY_MS, resolve));
    }
  }

  async #once(): Promise<void> {
    const { store, instanceId, journal, flusher, leases, open, resetLeases, putBackEnded } = this.#options;
    const known = [...this.#known].map(([id, { flushed }]) => [id, flushed] as const);
    const seen = this.#seen;
    const now = await store.rejoin({ instanceId, seen, known }, countersOf(leases, open));
    this.#seen = now;
    const { epoch } = now;
    await putBackEnded();
    if (now.flushed < flusher.confirmed) {
      journal.flush();
      const range = { after: now.flushed, until: flusher.confirmed };
      await putBackEvents(store, { instanceId, epoch }, journal.files(), range);
    }
    for (;;) {
      const events = flusher.backlog.take(MAX_BATCH);
      if (events.length < MAX_BATCH) break;
      await store.putBack({ instanceId, epoch, events, last: null });
      flusher.confirm(events.length);
    }
    // What ends from here on finds its hold in a row of its own, or its event among these; what has not begun must not.
    leases.end();
    const events = flusher.backlog.take(MAX_BATCH);
    const holds = open.all();
    for (const hold of holds) hold.persistence = 'asked';
    const last = {
      holds: holds.map((hold) => durableHold(hold, true)),
      flushed: flusher.confirmed + events.length,
    };
    await store.putBack({ instanceId, epoch, events, last });
    flusher.confirm(events.length);
    for (const hold of holds) hold.persistence = 'done';
    resetLeases();
  }
}

/** The counters that lent to this instance, and those that its calls in flight hold: their leases may have ended before. */
function countersOf(leases: LeaseTable, open: OpenHolds): CounterSpec[] {
  const counters = new Map([...leases.all()].map(({ spec }) => [`${spec.teamId}/${spec.id}`, spec]));
  for (const { reservation } of open.all()) {
    for (const { spec } of reservation.pools.flatMap((pool) => pool.leases))
      counters.set(`${spec.teamId}/${spec.id}`, spec);
  }
  return [...counters.values()];
}

/** The ledger's store on Postgres: leases, flushes, adoption and heartbeats, each tried again when Postgres asks for it. */
import type { CounterSpec } from '../../domain/counter.ts';
import type { Fenced, Seen } from '../../domain/history.ts';
import type { Sql } from '../database.ts';
import { retried } from '../database.ts';
import { createCounters } from './counters.ts';
import { bucketsOf, openBuckets } from './flows.ts';
import {
  adopt,
  type EventGap,
  type FlushBatch,
  type FlushEvent,
  flush,
  type PutBackBatch,
  putBack,
} from './flush.ts';
import { breakHistory, noteGap, openHistory, type RejoinRequest, rejoin, resumeLending } from './history.ts';
import { fence, type HeartbeatReply, heartbeat, notEnded, silentMs } from './instances.ts';
import { namedJobOf, putBackJob } from './jobs.ts';
import { type LeaseReply, type LeaseRequest, MAX_SUBJECTS, requestLease } from './leases.ts';
import { forgetPlaces } from './places.ts';

/** How soon a job is looked at that was put back. */
const LOOK_AT_JOB_MS = 1000;

export class PostgresLedgerStore {
  readonly #sql: Sql;
  readonly #grantsWait: boolean;

  /** @param grantsWait nothing is lent unless a synchronous standby has it before the instance does */
  constructor(sql: Sql, grantsWait = false) {
    this.#sql = sql;
    this.#grantsWait = grantsWait;
  }

  requestLease(request: LeaseRequest): Promise<LeaseReply> {
    return this.#placed(() => requestLease(this.#sql, request, MAX_SUBJECTS, this.#grantsWait));
  }

  flush(batch: FlushBatch): Promise<Set<string>> {
    return this.#placed(() => flush(this.#sql, batch));
  }

  adopt(
    instanceId: string,
    events: FlushEvent[],
    status: 'stopped' | 'adopted',
    flushed?: number,
    seen?: Seen | null,
    fenced?: Fenced,
  ): Promise<number> {
    return this.#placed(() => adopt(this.#sql, instanceId, events, status, flushed, seen, fenced));
  }

  /** Makes the counters of these specs that the store has forgotten, before their events are put back. */
  async rejoin(request: RejoinRequest, counters: readonly CounterSpec[]): Promise<Seen> {
    const seen = await retried(() => rejoin(this.#sql, request));
    await this.#placed(() => createCounters(this.#sql, counters, MAX_SUBJECTS));
    const buckets = bucketsOf(counters);
    if (buckets.length > 0) await this.#placed(() => this.#sql.begin((tx) => openBuckets(tx, buckets)));
    return seen;
  }

  putBack(batch: PutBackBatch): Promise<number> {
    return this.#placed(() => putBack(this.#sql, batch));
  }

  /** After an error the next try finds teams that moved meanwhile. */
  async #placed<Result>(work: () => Promise<Result>): Promise<Result> {
    try {
      return await retried(work);
    } catch (error) {
      forgetPlaces(this.#sql);
      throw error;
    }
  }

  noteGap(gap: EventGap): Promise<void> {
    return noteGap(this.#sql, gap);
  }

  resumeLending(): Promise<boolean> {
    return resumeLending(this.#sql);
  }

  openHistory(): Promise<string> {
    return openHistory(this.#sql);
  }

  beginEpoch(reason: string): Promise<void> {
    return breakHistory(this.#sql, reason);
  }

  fence(instanceId: string): Promise<Fenced> {
    return retried(() => fence(this.#sql, instanceId, 'adopted'));
  }

  notEnded(instanceIds: readonly string[]): Promise<Map<string, number>> {
    return notEnded(this.#sql, instanceIds);
  }

  heartbeat(instanceId: string, seen: Seen | null = null): Promise<HeartbeatReply> {
    return heartbeat(this.#sql, instanceId, seen);
  }

  putBackJob(job: unknown): Promise<void> {
    return retried(() => putBackJob(this.#sql, namedJobOf(job), LOOK_AT_JOB_MS));
  }

  silentMs(instanceId: string): Promise<number | null> {
    return silentMs(this.#sql, instanceId);
  }
}

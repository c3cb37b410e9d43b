/** The ledger's store on Postgres: leases, flushes, adoption and heartbeats, each tried again when Postgres asks for it. */
import type { Sql } from '../database.ts';
import { retried } from '../database.ts';
import { adopt, type FlushBatch, type FlushEvent, flush } from './flush.ts';
import { type HeartbeatReply, heartbeat, silentMs } from './instances.ts';
import { type LeaseReply, type LeaseRequest, requestLease } from './leases.ts';
import { forgetPlaces } from './places.ts';

export class PostgresLedgerStore {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  requestLease(request: LeaseRequest): Promise<LeaseReply> {
    return this.#placed(() => requestLease(this.#sql, request));
  }

  flush(batch: FlushBatch): Promise<Set<string>> {
    return this.#placed(() => flush(this.#sql, batch));
  }

  adopt(instanceId: string, events: FlushEvent[], status: 'stopped' | 'adopted'): Promise<number> {
    return this.#placed(() => adopt(this.#sql, instanceId, events, status));
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

  heartbeat(instanceId: string): Promise<HeartbeatReply> {
    return heartbeat(this.#sql, instanceId);
  }

  silentMs(instanceId: string): Promise<number | null> {
    return silentMs(this.#sql, instanceId);
  }
}

/** What the ledger needs of a store. Postgres is the real one; the simulation has one in memory. */
import type { FlushBatch, FlushEvent } from '../store/hot/flush.ts';
import type { Pulse } from '../store/hot/instances.ts';
import type { LeaseReply, LeaseRequest } from '../store/hot/leases.ts';

export interface LedgerStore {
  /** Rejects with an error named `InstanceFenced` once another adopted this instance; so do `flush` and `heartbeat`. */
  requestLease(request: LeaseRequest): Promise<LeaseReply>;
  flush(batch: FlushBatch): Promise<Set<string>>;
  adopt(instanceId: string, events: FlushEvent[], status: 'stopped' | 'adopted'): Promise<number>;
  heartbeat(instanceId: string): Promise<Pulse>;
}

/** Whether an error says that this instance was adopted, rather than that the store is away. */
export function isFenced(error: unknown): boolean {
  return error instanceof Error && error.name === 'InstanceFenced';
}

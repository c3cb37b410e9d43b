/** What a team's desk is wired with. */
import type { LeasePool, LeaseReply } from '../store/hot/leases.ts';
import type { LeaseBook } from './book.ts';
import type { Timers } from './timers.ts';

export interface DeskOptions {
  book: LeaseBook;
  timers: Timers;
  nowMs(): number;
  monotonicMs(): number;
  jitter(): number;
  queueTimeoutMs: number;
  /** Nothing may be admitted just now, not even on money that is here. */
  blocked(): boolean;
  requestLease(pools: LeasePool[]): Promise<LeaseReply>;
  /** Another adopted this instance: everyone who waits is to be refused. */
  onFenced(): void;
  onStoreError(error: unknown): void;
}

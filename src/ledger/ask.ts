/** What a call asks of the ledger, and the two answers. */
import type { Account, CounterSpec } from '../domain/budget.ts';
import type { PicoUsd } from '../domain/money.ts';
import type { HeldPool } from './pool.ts';

/** What the asker may base the size of its hold on. */
export interface Room {
  /** What the tightest pool still has, lent to this instance or not; `UNBOUNDED` where no pool bounds the call. */
  free: PicoUsd;
  /** The whole amount of that pool. */
  amount: PicoUsd;
  /** The team's calls in flight or waiting. */
  crowd: number;
  /** Nothing else will come free in time: take what is left. */
  last: boolean;
}

/** More than any budget: Postgres keeps twelve digits before the point. */
export const UNBOUNDED: PicoUsd = 10n ** 24n;

export interface Ask {
  account: Account;
  /** The least money with which the call is of use. */
  smallest: PicoUsd;
  /** The money to hold, given the room; never below `smallest`. Called anew at each try. */
  size(room: Room): PicoUsd;
  /** Memory that the call keeps while it waits. */
  bytes: number;
}

export type Denial =
  | { kind: 'insufficient'; counter: CounterSpec | null; ceiling: PicoUsd }
  | { kind: 'held'; counter: CounterSpec | null; retryAfterMs: number }
  | { kind: 'unavailable' };

/** Money that was taken, and the moment of it: the call belongs to the windows of that moment. */
export interface Taken {
  amount: PicoUsd;
  held: HeldPool[];
  atMs: number;
}

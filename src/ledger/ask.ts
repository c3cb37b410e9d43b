/** What a call asks of the ledger, and the two answers. */
import type { Account, CounterSpec } from '../domain/budget.ts';
import type { PicoUsd } from '../domain/money.ts';
import type { HeldPool } from './book.ts';

/** What the asker may base the size of its hold on. */
export interface Room {
  /** What the tightest pool still has, lent to this instance or not. */
  free: PicoUsd;
  /** The whole amount of that pool. */
  amount: PicoUsd;
  /** The team's calls in flight or waiting. */
  crowd: number;
  /** Nothing else will come free in time: take what is left. */
  last: boolean;
}

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

/** `atMs`: the moment whose windows paid, in milliseconds since the epoch. */
export type Taken = { amount: PicoUsd; held: HeldPool[]; atMs: number };

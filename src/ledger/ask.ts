/** What a call asks of the ledger, and the answers. */
import type { Account, CallKind } from '../domain/budget.ts';
import type { Claim } from '../domain/claim.ts';
import type { CounterSpec } from '../domain/counter.ts';
import type { OpenEndedRoom } from '../domain/open-ended.ts';
import type { HeldPool } from './pool.ts';

export interface Ask {
  account: Account;
  kind: CallKind;
  /** The least with which the call is of use. */
  smallest: Claim;
  /** What to hold, given the room; never below `smallest`. Called anew at each try. Null: always `smallest`. */
  size: ((room: OpenEndedRoom) => Claim) | null;
  /** It costs nothing: it needs no budget, but its request and slot count. */
  isFree?: boolean;
  /** How long it has waited already, before the rules changed. */
  waitedMs?: number;
  /** Memory that the call keeps while it waits. */
  bytes: number;
}

export type Denial =
  /** It cannot be paid any more, whatever comes back. `ceiling`: what is left; `counter` null: there is no budget. */
  | { kind: 'insufficient'; counter: CounterSpec | null; ceiling: bigint }
  /** Only what calls in flight hold is in the way. */
  | { kind: 'held'; counter: CounterSpec | null; retryAfterMs: number }
  /** A limit on flow is full for the moment. */
  | { kind: 'flow'; counter: CounterSpec; remaining: bigint; retryAfterMs: number }
  /** It would hold more than one call may. */
  | { kind: 'too_large'; counter: CounterSpec; maxHold: bigint }
  /** As many end users are counted under this limit as may be. */
  | { kind: 'too_many_users'; counter: CounterSpec }
  /** The rules of its team changed while it waited: it must ask anew, with its account as it is now. */
  | { kind: 'changed' }
  | { kind: 'unavailable' };

/** What was taken, and the moment of it: the call belongs to the windows of that moment. */
export interface Taken {
  claim: Claim;
  held: HeldPool[];
  atMs: number;
}

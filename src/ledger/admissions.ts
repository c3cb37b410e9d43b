/**
 * Admissions: from a call's ask to its hold. Owns: the desks of this instance's teams and how much may wait in all.
 * Does not own: what becomes of a hold (ledger). Invariant: who leaves the queue leaves no money behind.
 */
import { retryAfterMs } from '../domain/admission.ts';
import { claimed } from '../domain/claim.ts';
import type { LeasePool, LeaseReply } from '../store/hot/leases.ts';
import type { Ask, Denial } from './ask.ts';
import type { LeaseBook } from './book.ts';
import type { Clock } from './clock.ts';
import { Desk } from './desk.ts';
import { type Hold, newHold } from './holds.ts';
import type { Timers } from './timers.ts';
import { WaitingRoom } from './waiting-room.ts';

/** A call that must wait for its money. */
export interface Queued {
  answer: Promise<Hold | Denial>;
  /** The caller does not want the answer any more; a hold that it was given meanwhile is put back. */
  leave(): void;
}

export interface AdmissionsOptions {
  book: LeaseBook;
  clock: Clock;
  timers: Timers;
  jitter(): number;
  queueTimeoutMs: number;
  maxWaiting: number;
  maxWaitingBytes: number;
  /** Nothing may be admitted just now, not even on money that is here. */
  blocked(): boolean;
  requestLease(teamId: string, pools: LeasePool[]): Promise<LeaseReply>;
  onFenced(): void;
  onStoreError(error: unknown): void;
  /** Puts back a hold that nobody wants. */
  cancel(hold: Hold): void;
}

export class Admissions {
  readonly #options: AdmissionsOptions;
  readonly #desks = new Map<string, Desk>();
  readonly #room: WaitingRoom;

  constructor(options: AdmissionsOptions) {
    this.#options = options;
    this.#room = new WaitingRoom(options.maxWaiting, options.maxWaitingBytes);
  }

  get waiting(): number {
    return this.#room.calls;
  }

  /** Takes a call's money: at once when a lease covers it, else the call is queued, unless there is no room. */
  reserve(ask: Ask): Hold | Denial | Queued {
    const { book, clock } = this.#options;
    const { account } = ask;
    const { pools, funded } = book.poolsOf(account, ask.kind, clock.nowMs());
    if (!ask.isFree && (!funded || pools.some((pool) => pool.leases.length === 0))) {
      return { kind: 'insufficient', counter: null, ceiling: 0n };
    }
    for (const { maxHold, isFlow, meter, leases } of pools) {
      // What a limit on flow never has at once would be told to come again for ever.
      const most = maxHold ?? (isFlow ? leases[0]!.spec.amount : null);
      if (most === null || claimed(meter, ask.smallest) <= most) continue;
      return { kind: 'too_large', counter: leases[0]!.spec, maxHold: most };
    }
    const { teamId } = account.principal;
    const desk = this.#desk(teamId);
    const taken = desk.takeNow(ask);
    if (taken) return newHold(teamId, taken, desk);
    return desk.knownFull(ask) ?? this.#queue(desk, ask);
  }

  /** While Postgres is silent: a team that fails open goes on where nothing strict binds its call. Null: not this one. */
  failOpen({ account, kind, smallest, size }: Ask): Hold | null {
    if (!account.failOpen) return null;
    const atMs = this.#options.clock.nowMs();
    const { pools, funded } = this.#options.book.poolsOf(account, kind, atMs);
    if (!funded || pools.length > 0) return null;
    const claim = size?.({ pools: [], crowd: 0, last: false }) ?? smallest;
    return newHold(account.principal.teamId, { claim, held: [], atMs }, null);
  }

  /** Nothing can be admitted any more: everyone who waits is told. */
  refuse(): void {
    for (const desk of this.#desks.values()) desk.refuse({ kind: 'unavailable' });
  }

  /** The rules of these teams changed: their calls that wait must not be served by the old ones. */
  recall(teamIds: ReadonlySet<string> | 'all'): void {
    for (const [teamId, desk] of this.#desks) {
      if (teamIds === 'all' || teamIds.has(teamId)) desk.refuse({ kind: 'changed' });
    }
  }

  /** Drops the desks of teams of which nothing is under way. */
  forgetIdle(): void {
    for (const [teamId, desk] of this.#desks) if (desk.idle) this.#desks.delete(teamId);
  }

  #queue(desk: Desk, ask: Ask): Queued | Denial {
    const { jitter, cancel } = this.#options;
    const leaveRoom = this.#room.enter(ask.bytes);
    if (leaveRoom === null) return { kind: 'held', counter: null, retryAfterMs: retryAfterMs(0, jitter()) };
    let leaveDesk = () => {};
    let hold: Hold | null = null;
    const answer = new Promise<Hold | Denial>((resolve) => {
      leaveDesk = desk.wait(ask, (result) => {
        leaveRoom();
        if ('kind' in result) {
          resolve(result);
          return;
        }
        hold = newHold(ask.account.principal.teamId, result, desk);
        resolve(hold);
      });
    });
    const leave = () => {
      leaveDesk();
      leaveRoom();
      if (hold && !hold.ended) cancel(hold);
    };
    return { answer, leave };
  }

  #desk(teamId: string): Desk {
    let desk = this.#desks.get(teamId);
    if (!desk) {
      const { clock, requestLease } = this.#options;
      desk = new Desk({
        ...this.#options,
        nowMs: clock.nowMs,
        monotonicMs: clock.monotonicMs,
        requestLease: (pools) => requestLease(teamId, pools),
      });
      this.#desks.set(teamId, desk);
    }
    return desk;
  }
}

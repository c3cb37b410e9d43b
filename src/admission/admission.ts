/**
 * Admission: from a call's request to its reservation. Owns: the leases, the queue of each team, and how much may wait
 * in all. Does not own: what becomes of a reservation (ledger). Invariant: a call that leaves its queue leaves no money
 * behind.
 */
import type { Account, CallKind } from '../domain/budget.ts';
import type { PicoUsd } from '../domain/money.ts';
import { admit, type Denial, type ReservationRequest } from './decide.ts';
import { LeaseTable, Reservation } from './lease-table.ts';
import { type QueueOptions, TeamQueue } from './queue.ts';
import { CHANGED, QueueCapacity, type QueuedCall, UNAVAILABLE, type Unavailable } from './waiting.ts';

export interface AdmissionOptions extends Omit<QueueOptions, 'table' | 'capacity'> {
  /** Waiting calls and bytes of their bodies, of the whole instance. */
  maxWaiting: number;
  maxWaitingBytes: number;
}

export class AdmissionController {
  readonly leases: LeaseTable;
  readonly #options: QueueOptions;
  readonly #queues = new Map<string, TeamQueue>();

  constructor(options: AdmissionOptions) {
    this.leases = new LeaseTable(options.clock);
    const capacity = new QueueCapacity(options.maxWaiting, options.maxWaitingBytes);
    this.#options = { ...options, table: this.leases, capacity };
  }

  /** The number of calls that wait. */
  get waiting(): number {
    return this.#options.capacity.calls;
  }

  /** Takes a call's money: at once when a lease covers it, else the call is queued, unless there is no room. */
  reserve(request: ReservationRequest): Reservation | Denial | QueuedCall {
    const { teamId } = request.account.principal;
    let queue = this.#queues.get(teamId);
    if (queue === undefined) {
      queue = new TeamQueue(teamId, this.#options);
      this.#queues.set(teamId, queue);
    }
    return queue.reserve(request);
  }

  /** While Postgres is silent: a team that fails open goes on where nothing strict binds its call. */
  reserveUnbound(request: ReservationRequest): Reservation | Unavailable {
    const { account, kind } = request;
    if (!account.failOpen) return UNAVAILABLE;
    const atMs = this.#options.clock.nowMs();
    const { pools, funded } = this.leases.poolsOf(account, kind, atMs);
    if (!funded || pools.length > 0) return UNAVAILABLE;
    const admission = admit(request, pools, 0, false);
    if (admission.kind === 'wait') return UNAVAILABLE;
    return new Reservation(account.principal.teamId, admission, pools, atMs, null);
  }

  /** Puts back a reservation of which nothing was used. */
  cancel(reservation: Reservation): void {
    this.leases.settle(reservation, null, false);
    reservation.release();
  }

  /** Nothing can be admitted any more: all waits end. */
  endAll(): void {
    for (const queue of this.#queues.values()) queue.endAll(UNAVAILABLE);
  }

  /**
   * The rules of these teams changed: what is idle goes back, and calls that wait must ask again, so that all are
   * admitted under the new rules.
   */
  revoke(teamIds: ReadonlySet<string> | 'all'): void {
    this.leases.revoke(teamIds);
    for (const [teamId, queue] of this.#queues) {
      if (teamIds === 'all' || teamIds.has(teamId)) queue.endAll(CHANGED);
    }
  }

  /**
   * What the tightest of the call's budgets may still spend, held money not counted; null: nothing bounds it. Looks only
   * at what is known of the account: the call may have been admitted under rules that have changed since, and must not
   * put them back on leases which calls under the new rules share.
   */
  remaining(account: Account, kind: CallKind, { pools: held }: Reservation): PicoUsd | null {
    const pools = this.leases.knownPoolsOf(account, kind) ?? held;
    let least: PicoUsd | null = null;
    for (const { meter, ceiling } of pools) {
      if (meter === 'cost_usd' && (least === null || ceiling < least)) least = ceiling;
    }
    return least;
  }

  /** Updates rates, gives back what is not needed, and drops the queues of teams of which nothing is under way. */
  tick(flushedMs: number): void {
    for (const [teamId, queue] of this.#queues) if (queue.isIdle) this.#queues.delete(teamId);
    this.leases.tick(flushedMs);
  }
}

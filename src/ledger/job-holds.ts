/**
 * Holds of jobs: calls that go on upstream after their response, for hours. Owns: that such a hold is a row of its own before the
 * upstream is asked, and that any instance can end it. Does not own: which jobs there are and how each stands (store/hot/jobs.ts,
 * jobs/follow-jobs.ts). Invariants: a hold is handed over only when Postgres has it; it ends in one event, because an
 * event of its id is inserted once, from any instance; until then it stays in its maker's journal.
 */
import { settleInOrder } from '../domain/budget.ts';
import { type Claim, used } from '../domain/quantities.ts';
import type { NamedJob } from '../store/hot/jobs.ts';
import type { OpenHolds } from './backlog.ts';
import {
  allocationsJson,
  type CallFacts,
  type Clock,
  eventJson,
  type HeldAmounts,
  type Hold,
  holdLine,
  type Outcome,
  usedBy,
} from './events.ts';
import type { Flusher } from './flusher.ts';
import type { Journal } from './journal.ts';

/** What any instance needs to end the hold of a job. */
export interface JobHold {
  readonly facts: CallFacts;
  /** The columns of its event that were known at the hold. */
  readonly factsJson: string;
  /** When it was admitted, in milliseconds since the epoch. */
  readonly atMs: number;
  /** What outlives its maker; its claim's cost is what it is held at. */
  readonly held: HeldAmounts;
}

export interface JobHoldsOptions {
  open: OpenHolds;
  journal: Journal;
  flusher: Flusher;
  clock: Clock;
}

export class JobHolds {
  readonly #options: JobHoldsOptions;

  constructor(options: JobHoldsOptions) {
    this.#options = options;
  }

  /**
   * Has Postgres persist an open hold now: it outlives this instance.
   * @throws the store's error; the hold may have been persisted all the same
   */
  async persist(hold: Hold): Promise<void> {
    const { flusher } = this.#options;
    if (hold.persistence === 'none') {
      hold.persistence = 'asked';
      flusher.persist([hold]);
    }
    await flusher.drain();
    if (hold.persistence !== 'done') throw new Error(`hold ${hold.id} was not persisted`);
  }

  /**
   * The call of a persisted hold goes on upstream: any instance ends it by `settle`. Its slot is free, what it took of a
   * rate stays taken, and the journal keeps its line until `forget`: now with the job, and before its client knows of it, so
   * that it is found again when the store has forgotten it and its maker is gone.
   */
  handOver(hold: Hold, job: NamedJob): void {
    const { open, clock, journal } = this.#options;
    if (hold.persistence !== 'done') throw new Error(`hold ${hold.id} is not persisted`);
    const { reservation } = hold;
    let at = 0;
    for (const { meter, leases, isPersistable } of reservation.pools) {
      for (const lease of leases) {
        const held = reservation.amounts[at++] ?? 0n;
        if (isPersistable || held === 0n) continue;
        lease.release(held, meter === 'concurrency' ? 0n : held, clock.monotonicMs());
      }
    }
    hold.job = job;
    journal.append('H', holdLine(hold));
    journal.flush();
    open.handOver(hold);
    reservation.release();
  }

  /** Those that were handed over here and are not known to have ended, by id. */
  get handedOver(): ReadonlyMap<string, Hold> {
    return this.#options.open.handedOver;
  }

  /** The event of a job is in Postgres. */
  forget(id: string): void {
    this.#options.open.forget(id);
  }

  /**
   * Writes the one event of a job that has ended, on whichever instance. Where the ledger has its event already, that
   * stays as it is: any number of instances may do this, and all but the first change nothing.
   */
  settle({ facts, factsJson, atMs, held }: JobHold, outcome: Outcome): void {
    const { journal, flusher } = this.#options;
    const claim = usedBy(held.claim, outcome);
    const amounts = chargedOf(held, claim);
    const json = eventJson(factsJson, outcome, allocationsJson(held, amounts));
    journal.append('S', json);
    flusher.backlog.add(facts, atMs, claim, held, amounts, json);
    if (outcome.cost > held.claim.cost) flusher.overran(facts.teamId);
  }
}

/** Returns what a journaled hold leaves to whichever instance ends it. */
export function jobHoldOf({ facts, factsJson, reservation }: Hold): JobHold {
  if (facts === null) throw new Error('a hold is journaled before it is handed over');
  const pools: HeldAmounts['pools'][number][] = [];
  const amounts: bigint[] = [];
  let at = 0;
  for (const { meter, leases, isPersistable } of reservation.pools) {
    const own = reservation.amounts.slice(at, at + leases.length);
    at += leases.length;
    if (!isPersistable) continue;
    pools.push({ meter, leases: leases.map(({ spec }) => ({ spec: { id: spec.id } })) });
    amounts.push(...own);
  }
  return { facts, factsJson, atMs: reservation.atMs, held: { pools, amounts, claim: reservation.claim } };
}

/** Returns what each counter of a hold is charged for what was used, in the order of its amounts. */
function chargedOf({ pools, amounts }: HeldAmounts, claim: Claim): bigint[] {
  const charged: bigint[] = [];
  for (const { meter, leases } of pools) {
    const at = charged.length;
    charged.push(...settleInOrder(amounts.slice(at, at + leases.length), used(meter, claim)));
  }
  return charged;
}

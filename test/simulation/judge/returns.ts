/** Money that is not in flight comes back: from the living soon, sooner when another wants it. */
import type { MemoryCounter } from '../memory-counter.ts';
import type { MemoryStore } from '../memory-store.ts';
import { tallyOf } from './books.ts';
import type { Owner } from './calls.ts';
import { expectThat } from './expectations.ts';
import { amountOf, type Judge, type Waiting } from './judge.ts';
import type { Tally } from './tally.ts';

const RETURN_MS = 11_000;
/** Of one end user or value of a tag. */
const PART_RETURN_MS = 61_000;
const WANTED_RETURN_MS = 1500;
/** What happens between two looks is not seen: money may have come and gone. */
const BETWEEN_LOOKS_MS = 500;
/** What was asked while Postgres was slow may be answered only now, and until then nothing else is. */
const SLOW_ANSWER_MS = 3500;

export interface ReturnsOptions {
  judge: Judge;
  store: MemoryStore;
  nowMs(): number;
  /** What an instance can spend at once of a rule. */
  freeOf(owner: Owner, tally: Tally): bigint;
}

/**
 * Those who wait with nobody beside them: of several, the instance asks for the smallest, which may lack something
 * else.
 */
function aloneIn(waiting: Iterable<Waiting>): Waiting[] {
  const byOwner = Map.groupBy(waiting, ({ owner }) => owner);
  return [...byOwner.values()].filter((each) => each.length === 1).map((each) => each[0]!);
}

function isPart({ rule }: Tally): boolean {
  return rule.kind === 'limit' && (rule.limit.subject.type === 'user' || rule.limit.subject.type === 'tag');
}

export class Returns {
  readonly #options: ReturnsOptions;
  /** Rules of which somebody has lacked money ever since. */
  readonly #wantedSinceMs = new Map<Tally, number>();

  constructor(options: ReturnsOptions) {
    this.#options = options;
  }

  check(): void {
    const { judge } = this.#options;
    // What an instance borrows for its own calls that wait is in use, though nothing is in flight.
    for (const { owner, tallies } of judge.waiting) judge.used(owner, tallies);
    this.#hearWaiting();
    const lent = this.#lent();
    for (const [owner, sums] of lent) {
      if (owner.state !== 'alive' || owner.isBehind) continue;
      for (const [tally, out] of sums) {
        const { surely, perhaps } = owner.inFlight.get(tally) ?? { surely: 0n, perhaps: 0n };
        if (out > surely + perhaps) this.#checkIdle(owner, tally, out - surely - perhaps);
      }
    }
    for (const owner of judge.owners.values()) {
      const left = owner.state === 'ended' ? lent.get(owner) : undefined;
      expectThat(left === undefined, 'adoption', () => `${owner.id} was adopted, and its leases remain`);
    }
  }

  /** What every instance was lent under each rule and neither spent nor returned, as Postgres knows it. */
  #lent(): Map<Owner, Map<Tally, bigint>> {
    const { judge, store } = this.#options;
    const lent = new Map<Owner, Map<Tally, bigint>>();
    for (const { instanceId, counterId, granted, returned, settled } of store.leases.values()) {
      const owner = judge.owners.get(instanceId)!;
      const sums = lent.get(owner) ?? new Map<Tally, bigint>();
      const tally = tallyOf(judge, store.counters.get(counterId)!);
      sums.set(tally, (sums.get(tally) ?? 0n) + granted - returned - settled);
      lent.set(owner, sums);
    }
    return lent;
  }

  #checkIdle(owner: Owner, tally: Tally, idle: bigint): void {
    const nowMs = this.#options.nowMs();
    const quietSinceMs = Math.max(owner.fineSinceMs, owner.lastUsedMs.get(tally.rule) ?? 0);
    const name = tally.rule.kind === 'limit' ? tally.rule.limit.id : `the grants of ${tally.rule.teamId}`;
    const returnMs = isPart(tally) ? PART_RETURN_MS : RETURN_MS;
    expectThat(nowMs - quietSinceMs <= returnMs, 'returns', () => {
      return `${owner.id} keeps ${idle} of ${name} for ${nowMs - quietSinceMs} ms`;
    });
    const wantedSinceMs = Math.max(
      quietSinceMs,
      owner.fineSinceMs + SLOW_ANSWER_MS,
      this.#wantedSinceMs.get(tally) ?? Number.POSITIVE_INFINITY,
    );
    expectThat(nowMs - wantedSinceMs <= WANTED_RETURN_MS + BETWEEN_LOOKS_MS, 'wanted', () => {
      return `${owner.id} keeps ${idle} of ${name}, which others have wanted for ${nowMs - wantedSinceMs} ms`;
    });
  }

  /** Which rules lack money for somebody who waits and whom nothing else keeps from it. */
  #hearWaiting(): void {
    const { judge, nowMs } = this.#options;
    const lacking = new Set<Tally>();
    for (const { owner, tallies, smallest, sinceMs } of aloneIn(judge.waiting)) {
      if (owner.state !== 'alive' || owner.fineSinceMs + SLOW_ANSWER_MS > sinceMs) continue;
      for (const tally of tallies) {
        const needs = amountOf(tally, smallest);
        // What a limit lacks a raise of it may have.
        if (tally.rule.kind === 'limit' && tally.rule.raises.length > 0) continue;
        const counter = this.#counterOf(tally);
        if (counter === null) continue;
        // Nothing is asked back where all that is lent would not do.
        const lendable = counter.amount - counter.settled - counter.held;
        const room = lendable - counter.leased;
        if (room + this.#options.freeOf(owner, tally) < needs && lendable >= needs) lacking.add(tally);
      }
    }
    for (const tally of this.#wantedSinceMs.keys())
      if (!lacking.has(tally)) this.#wantedSinceMs.delete(tally);
    for (const tally of lacking) if (!this.#wantedSinceMs.has(tally)) this.#wantedSinceMs.set(tally, nowMs());
  }

  /** The counter of a limit; null: it has none yet, or its window is over. */
  #counterOf(tally: Tally): MemoryCounter | null {
    if (tally.rule.kind !== 'limit') return null;
    for (const counter of this.#options.store.counters.values()) {
      if (counter.spec.sourceId !== tally.rule.limit.id || tallyOf(this.#options.judge, counter) !== tally)
        continue;
      // Who has waited past midnight wants the money of the new window.
      const { endsAtMs } = counter.spec;
      if (endsAtMs !== null && endsAtMs <= this.#options.nowMs()) return null;
      return counter;
    }
    return null;
  }
}

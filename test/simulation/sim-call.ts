/** One call of a simulation, from its reservation to its end, and what the upstream bills for it. */
import { openEndedOutputTokens, SMALLEST_USEFUL_OUTPUT_TOKENS } from '../../src/domain/admission.ts';
import { type Account, poolsAt } from '../../src/domain/budget.ts';
import type { Ask, Denial } from '../../src/ledger/ask.ts';
import type { Outcome } from '../../src/ledger/event.ts';
import type { Hold } from '../../src/ledger/holds.ts';
import { momentOfUuidV7 } from '../../src/ledger/ids.ts';
import { factsOf, settledOutcome } from '../support/events.ts';
import type { Random } from '../support/random.ts';
import type { FakeTime } from './fake-time.ts';
import type { MemoryStore } from './memory-store.ts';
import type { SimInstance } from './sim-instance.ts';

const CENT = 10_000_000_000n;
const PER_TOKEN = CENT / 1000n;

/** What the upstream keeps of a call that reached it. */
export interface Bill {
  id: string;
  amount: bigint;
  hold: bigint;
  /** The counters of each pool that the call touches, by the rules and not by what it held. */
  pools: string[][];
  /** What its process told the ledger of it; null: it was killed before. */
  ended: Outcome['outcome'] | null;
}

/** What the calls of a simulation came to. */
export interface Outcomes {
  bills: Bill[];
  /** Ids of all holds that were written to a journal, forwarded or not. */
  journaled: Set<string>;
  denied: Record<Denial['kind'], number>;
  /** What went wrong in the calls themselves. */
  errors: unknown[];
}

const KIND = { model: 'gpt-4o', endUser: null };
const claimOf = (cost: bigint) => ({ cost, inputTokens: 10, outputTokens: 20 });

export function fixedAsk(account: Account, cents: number): Ask {
  return { account, kind: KIND, smallest: claimOf(BigInt(cents) * CENT), size: null, bytes: 100 };
}

/** A call without an output limit: a cent for its input, ten for each ten thousand tokens that it may say. */
export function openAsk(account: Account): Ask {
  const ask = {
    maxOutputTokens: 32_000,
    costUpTo: (tokens: number) => CENT + BigInt(tokens) * PER_TOKEN,
    outputTokensFor: (amount: bigint) => Number((amount - CENT) / PER_TOKEN),
  };
  return {
    account,
    kind: KIND,
    smallest: claimOf(ask.costUpTo(SMALLEST_USEFUL_OUTPUT_TOKENS)),
    size: ({ pools, crowd, last }) => {
      const tokens = pools.map(({ free, amount }) => openEndedOutputTokens(ask, free, amount, crowd, last));
      return claimOf(ask.costUpTo(Math.min(...tokens)));
    },
    bytes: 100,
  };
}

export class SimCalls {
  readonly outcomes: Outcomes = {
    bills: [],
    journaled: new Set(),
    denied: { insufficient: 0, held: 0, flow: 0, too_large: 0, too_many_users: 0, unavailable: 0 },
    errors: [],
  };
  /** Calls that their process has not answered yet. */
  running = 0;
  readonly #time: FakeTime;
  readonly #memory: MemoryStore;
  readonly #random: Random;

  constructor(time: FakeTime, memory: MemoryStore, random: Random) {
    this.#time = time;
    this.#memory = memory;
    this.#random = random;
  }

  /** Starts a call and lets it run. */
  start(instance: SimInstance, ask: Ask): void {
    this.#run(instance, ask).catch((error) => this.outcomes.errors.push(error));
  }

  async #run(instance: SimInstance, ask: Ask): Promise<void> {
    const hold = await this.#reserve(instance, ask);
    if (hold === null || !instance.alive) return;
    const { principal } = ask.account;
    this.outcomes.journaled.add(hold.id);
    const written = await instance.ledger.begin(hold, factsOf(principal.teamId, principal.keyId));
    if (written !== 'written' || !instance.alive) return;
    this.running++;
    await this.#forward(instance, hold, ask.account);
    this.running--;
  }

  async #reserve(instance: SimInstance, ask: Ask): Promise<Hold | null> {
    const asked = instance.ledger.reserve(ask);
    const answer = 'answer' in asked ? await this.#wait(asked) : asked;
    if (answer === 'left') return null;
    if (!('kind' in answer)) return answer;
    this.outcomes.denied[answer.kind]++;
    if (answer.kind === 'insufficient') this.#checkRefusal(instance, ask);
    return null;
  }

  async #wait(asked: { answer: Promise<Hold | Denial>; leave(): void }): Promise<Hold | Denial | 'left'> {
    if (!this.#random.chance(0.1)) return await asked.answer;
    const left = this.#time.sleep(this.#random.between(0, 3000)).then(() => 'left' as const);
    const answer = await Promise.race([asked.answer, left]);
    if (answer === 'left') asked.leave();
    return answer;
  }

  /** The upstream bills what it served, whether or not anybody is there to hear of it. */
  async #forward(instance: SimInstance, hold: Hold, account: Account): Promise<void> {
    const fails = this.#random.chance(0.1);
    const share = BigInt(this.#random.pick([100, 100, 70, 30, 5]));
    const amount = fails ? 0n : (hold.amount * share) / 100n;
    const { pools } = poolsAt(account, KIND, momentOfUuidV7(hold.id));
    const bill: Bill = {
      id: hold.id,
      amount,
      hold: hold.amount,
      pools: pools.map((pool) => pool.counters.map((counter) => counter.id)),
      ended: null,
    };
    this.outcomes.bills.push(bill);
    await this.#time.sleep(this.#random.pick([20, 200, 1000, 6000]));
    if (!instance.alive) return;
    bill.ended = this.#random.chance(0.05) ? 'unknown' : fails ? 'voided' : 'settled';
    if (bill.ended === 'unknown') instance.ledger.endUnknown(hold, 'upstream_timeout');
    else instance.ledger.end(hold, settledOutcome(amount, { outcome: bill.ended }));
  }

  /** `insufficient` is final for the client: it must be true of what is settled, not of what is only held. */
  #checkRefusal(instance: SimInstance, ask: Ask): void {
    const own = instance.ledger.flusher.backlog.flatMap((event) => event.allocations);
    const left = (counterId: string, amount: bigint) => {
      const counter = this.#memory.counters.get(counterId);
      const unflushed = own.filter((part) => part.counterId === counterId);
      const spent = unflushed.reduce((sum, part) => sum + part.settled, counter?.settled ?? 0n);
      return (counter?.amount ?? amount) - spent;
    };
    const { pools } = poolsAt(ask.account, ask.kind, instance.clock.nowMs());
    const tightest = pools.map((pool) =>
      pool.counters.reduce((sum, { id, amount }) => sum + left(id, amount), 0n),
    );
    if (tightest.every((each) => ask.smallest.cost <= each)) {
      throw new Error(
        `refused for good although every pool could still pay ${ask.smallest.cost}: ${tightest}`,
      );
    }
  }
}

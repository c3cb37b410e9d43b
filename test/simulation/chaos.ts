/**
 * A chaos run: several instances on one store, with crashes, restarts, adoptions, lost answers, a store that is slow or
 * away, clients that leave, limits that are raised; and the judgement of what came of it. Everything follows from the
 * seed.
 */

import { accountOf, grantOf, limitOf, register } from '../support/accounts.ts';
import { adoptDead } from '../support/journals.ts';
import { Random } from '../support/random.ts';
import { FakeTime } from './fake-time.ts';
import { checkLedger, checkStore } from './invariants.ts';
import { MemoryStore } from './memory-store.ts';
import { fixedAsk, openAsk, SimCalls } from './sim-call.ts';
import { SimInstance, type Weather } from './sim-instance.ts';

/** The run crosses midnight, where daily limits begin anew. */
const START = Date.UTC(2026, 10, 20, 23, 59, 40);
const GRANT_EXPIRY = START + 45_000;

const daily = limitOf('daily', '6.00', { window: { type: 'calendar', unit: 'day', timeZone: 'UTC' } });
const ofKey = (id: string, keyId: string) => limitOf(id, '2.50', { subject: { type: 'key', id: keyId } });
const granted = { teamId: 'prepaid' };
const brief = grantOf('brief', '1.50', { ...granted, expiresAtMs: GRANT_EXPIRY });

const ACCOUNTS = [
  accountOf({ keyId: 'key-1', limits: [daily, ofKey('limit-1', 'key-1')] }),
  accountOf({ keyId: 'key-2', limits: [daily, ofKey('limit-2', 'key-2')] }),
  accountOf({ keyId: 'key-3', limits: [daily] }),
  accountOf({ ...granted, keyId: 'key-4', grants: [brief, grantOf('later', '3.00', granted)] }),
];

export class Chaos {
  readonly time = new FakeTime();
  readonly memory = new MemoryStore(() => START + this.time.monotonicMs());
  readonly calls: SimCalls;
  readonly #random: Random;
  readonly #folder: string;
  readonly #dead: SimInstance[] = [];
  #live: SimInstance[] = [];

  constructor(seed: number, folder: string) {
    this.#random = new Random(seed);
    this.#folder = folder;
    this.calls = new SimCalls(this.time, this.memory, this.#random);
    register(this.memory, ...ACCOUNTS);
    const instances = this.#random.between(1, 4);
    for (let i = 0; i < instances; i++) this.#start();
  }

  async run(steps: number): Promise<void> {
    for (let step = 0; step < steps; step++) {
      this.#act();
      const ms = this.#random.chance(0.01) ? 12_000 : this.#random.between(0, 250);
      await this.time.advance(ms);
      for (const { ledger } of this.#live) checkLedger(ledger);
      checkStore(this.memory);
    }
  }

  /** Lets every call be answered and every idle lease go back, and adopts the dead. */
  async comeToRest(): Promise<void> {
    for (const instance of this.#live) instance.weather = 'fine';
    await this.time.advance(40_000);
    await this.adoptAll();
  }

  /** The orderly end of all who live. */
  async stop(): Promise<void> {
    const stopped = Promise.all(this.#live.map(({ ledger }) => ledger.stop(new AbortController().signal)));
    await this.time.advance(5000);
    await stopped;
  }

  /** Adopts every journal of a dead instance, again where it was adopted before; answers how many events were new. */
  async adoptAll(): Promise<number> {
    let inserted = 0;
    for (const { journal } of this.#dead) {
      inserted += (await adoptDead(this.memory, journal.path)).inserted;
    }
    return inserted;
  }

  #act(): void {
    const random = this.#random;
    const what = random.fraction();
    const instance = random.pick(this.#live);
    if (what < 0.85) for (let i = random.between(0, 3); i > 0; i--) this.#call(instance);
    else if (what < 0.93) instance.weather = random.pick<Weather>(['fine', 'fine', 'slow', 'lossy', 'away']);
    else if (what < 0.95) this.#raise();
    else if (what < 0.98) this.#crash(instance);
    else void this.adoptAll();
  }

  #call(instance: SimInstance): void {
    const account = this.#random.pick(ACCOUNTS);
    const ask = this.#random.chance(0.3) ? openAsk(account) : fixedAsk(account, this.#random.between(1, 40));
    this.calls.start(instance, ask);
  }

  #raise(): void {
    const { sourceId, amount } = this.#random.pick([
      { sourceId: 'daily', amount: daily.amount },
      { sourceId: 'limit-1', amount: ACCOUNTS[0]!.limits[1]!.amount },
    ]);
    const known = [...this.memory.counters.values()].find(({ spec }) => spec.sourceId === sourceId);
    this.memory.setAmount(sourceId, (known?.amount ?? amount) + amount / 10n);
    for (const { ledger } of this.#live) ledger.recall(new Set(['team']));
  }

  #crash(instance: SimInstance): void {
    instance.kill();
    this.#dead.push(instance);
    this.#live = this.#live.filter((each) => each !== instance);
    this.#start();
  }

  #start(): void {
    const instance = new SimInstance({
      time: this.time,
      memory: this.memory,
      folder: this.#folder,
      random: this.#random,
    });
    this.#live.push(instance);
    void instance.ledger.beat();
  }
}

/**
 * A chaos run: several instances on one store, with crashes, restarts, adoptions, lost answers, a store that is slow or
 * away, processes that stand still, clients that leave, rules that change; and the judge, who looks on. Everything
 * follows from the seed.
 */
import { copyFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { adoptJournal } from '../../src/ledger/recovery.ts';
import { Random } from '../support/random.ts';
import { fixedAsk, openAsk } from './asks.ts';
import { FakeTime } from './fake-time.ts';
import { Healthy, type Planted } from './faults/fault.ts';
import { Books, tallyOf } from './judge/books.ts';
import { hold } from './judge/broken.ts';
import { Judge } from './judge/judge.ts';
import { Returns } from './judge/returns.ts';
import type { MemoryStore } from './memory-store.ts';
import { SimAdmin } from './sim-admin.ts';
import { SimCalls } from './sim-call.ts';
import { SimInstance, type SimWorld, type Weather } from './sim-instance.ts';
import { changeRules, KEYS, makeWorld } from './world.ts';

export interface ChaosOptions {
  seed: number;
  folder: string;
  fault?: Planted;
  /** Whether money must come back sooner when another wants it. */
  scarcity?: boolean;
}

export interface ChaosFigures {
  instances: number;
  crashes: number;
  adoptions: number;
  changes: number;
  replays: number;
}

export class Chaos {
  readonly time = new FakeTime();
  readonly memory: MemoryStore;
  readonly judge: Judge;
  readonly admin: SimAdmin;
  readonly calls: SimCalls;
  readonly figures: ChaosFigures = { instances: 0, crashes: 0, adoptions: 0, changes: 0, replays: 0 };
  live: SimInstance[] = [];
  readonly #world: SimWorld;
  readonly #books: Books;
  readonly #returns: Returns;
  readonly #random: Random;
  readonly #fault: Planted;
  /** Instances that are gone, with the journals that they left. */
  readonly #dead: SimInstance[] = [];
  /** Copies of journals from some moment of their lives. */
  readonly #copies: string[] = [];
  #errors: unknown[] = [];
  /** Where calls go for a while: the others fall idle. */
  #busy: { keys: readonly string[]; instances: number; callsMax: number } = {
    keys: KEYS.map(({ keyId }) => keyId),
    instances: 16,
    callsMax: 4,
  };

  constructor({ seed, folder, fault = new Healthy(), scarcity = false }: ChaosOptions) {
    const random = new Random(seed);
    this.#random = random;
    this.#fault = fault;
    const { startMs, limits, grants } = makeWorld(random);
    const nowMs = () => startMs + this.time.monotonicMs();
    this.memory = fault.store(nowMs);
    this.judge = new Judge(nowMs);
    this.admin = new SimAdmin(this.memory, this.judge, KEYS);
    for (const limit of limits) this.admin.makeLimit(limit);
    for (const grant of grants) this.admin.makeGrant(grant);
    const { time, memory, judge, admin } = this;
    this.#world = { time, memory, store: memory, admin, judge, folder, random };
    this.#books = new Books(judge, memory);
    this.calls = new SimCalls({
      time,
      random,
      judge,
      takeEvents: () => this.#books.take(),
      onError: (error) => this.#errors.push(error),
    });
    this.#returns = new Returns({
      judge,
      store: memory,
      nowMs,
      scarcity,
      freeOf: (owner, tally) => {
        let free = 0n;
        const instance = this.live.find((each) => each.owner === owner);
        for (const lease of instance?.ledger.book.leases() ?? []) {
          if (tallyOf(judge, lease) === tally) free += lease.free;
        }
        return free;
      },
    });
    const instances = random.chance(0.1) ? random.between(5, 16) : random.between(1, 4);
    for (let i = 0; i < instances; i++) this.#start();
  }

  /** One step: something happens, time passes, and everything is looked at. */
  async step(): Promise<void> {
    this.#act();
    await this.#pass(
      this.#random.chance(0.01) ? this.#random.between(2_000, 15_000) : this.#random.between(0, 150),
    );
  }

  /** Lets time pass in steps, and looks at everything after each. */
  async rest(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 500) await this.#pass(Math.min(500, left));
  }

  /** All comes to rest: Postgres is near, nobody stands still, every call ends. */
  async calm(): Promise<void> {
    for (const instance of this.live) {
      instance.weather = 'fine';
      if (instance.frozen) instance.thaw();
    }
    await this.rest(1000);
    for (const instance of this.live) if (instance.owner.state === 'over') instance.kill();
    for (let waited = 0; this.#running() > 0 && waited < 90_000; waited += 500) await this.rest(500);
    hold(this.#running() === 0, 'rest', () => `${this.#running()} calls are still under way`);
    // From afar only a long silence tells that an instance is dead.
    if (this.#dead.some(({ elsewhere, owner }) => elsewhere && owner.state === 'dead'))
      await this.rest(71_000);
    else await this.rest(12_000);
    for (const instance of this.#dead) await this.#adopt(instance);
    const unread = this.#dead.filter(({ owner }) => owner.state === 'dead');
    hold(unread.length === 0, 'adoption', () => `${unread.length} journals of the dead cannot be adopted`);
    this.#check();
  }

  /** The orderly end of all who live. */
  async stop(): Promise<void> {
    for (const instance of this.live) this.#stop(instance, false).catch((error) => this.#errors.push(error));
    await this.rest(5000);
    hold(this.live.length === 0, 'rest', () => `${this.live.length} instances do not stop`);
  }

  /** Whatever journal is read again: nothing changes. */
  async replayAll(): Promise<void> {
    const journals = [...this.#dead.map(({ journal }) => journal.path), ...this.#copies];
    for (const path of journals) await this.#replay(path);
  }

  #running(): number {
    return this.live.reduce((sum, instance) => sum + (this.calls.running.get(instance) ?? 0), 0);
  }

  async #pass(ms: number): Promise<void> {
    await this.time.advance(ms);
    this.#bury();
    this.#check();
  }

  #check(): void {
    if (this.#errors.length > 0) throw this.#errors[0];
    this.#books.check(this.live.map(({ owner, ledger }) => [owner, ledger] as const));
    this.#returns.check();
  }

  #act(): void {
    const random = this.#random;
    const what = random.fraction();
    const instance = random.pick(this.live);
    if (what < 0.82) this.#callAll();
    else if (what < 0.88) this.#turn();
    else if (what < 0.93) instance.weather = random.pick<Weather>(['fine', 'fine', 'slow', 'lossy', 'away']);
    else if (what < 0.94) this.#everywhere(random.pick<Weather>(['fine', 'fine', 'slow', 'away']));
    else if (what < 0.955) this.#change();
    else if (what < 0.965) this.#freeze(instance);
    else if (what < 0.975) instance.kill();
    else if (what < 0.98) this.#restart(instance);
    else if (what < 0.985) this.#copy(instance);
    else this.#adoptSome();
    if (what >= 0.965 && what < 0.975) this.#bury();
  }

  /** Somebody else is busy for a while. */
  #turn(): void {
    const random = this.#random;
    const keys = KEYS.filter(() => random.chance(0.6)).map(({ keyId }) => keyId);
    this.#busy = {
      keys: keys.length > 0 ? keys : ['key-1'],
      instances: random.between(1, 16),
      callsMax: random.pick([1, 4, 8, 30]),
    };
  }

  #callAll(): void {
    const random = this.#random;
    const { keys, instances, callsMax } = this.#busy;
    for (let count = random.between(0, callsMax); count > 0; count--) {
      const instance = this.live[random.between(0, Math.min(instances, this.live.length) - 1)]!;
      const account = instance.accounts.get(random.pick(keys))!;
      const ask = random.chance(0.25) ? openAsk(account) : fixedAsk(account, random.between(1, 40));
      if (!instance.frozen) this.calls.start(instance, ask);
    }
  }

  #everywhere(weather: Weather): void {
    for (const instance of this.live) instance.weather = weather;
  }

  #change(): void {
    this.figures.changes++;
    changeRules(this.admin, this.#random, Math.floor(this.judge.nowMs()));
  }

  #freeze(instance: SimInstance): void {
    if (instance.frozen) return;
    instance.freeze();
    this.time.after(
      this.#random.pick([50, 500, 3_000, 20_000, 80_000]),
      () => instance.frozen && instance.thaw(),
    );
  }

  /** Those who died are noticed, and others start in their place. */
  #bury(): void {
    for (const instance of this.live) {
      // Its journal was adopted behind its back: it ends once it has heard of it.
      if (instance.owner.state === 'over' && instance.alive && this.#random.chance(0.05)) instance.kill();
      if (instance.alive) continue;
      this.figures.crashes++;
      if (instance.owner.state === 'alive') this.judge.killed(instance.owner);
      this.#replace(instance);
    }
  }

  #replace(instance: SimInstance): void {
    if (!this.live.includes(instance)) return;
    this.live = this.live.filter((each) => each !== instance);
    if (!instance.alive) this.#dead.push(instance);
    this.#start();
  }

  async #stop(instance: SimInstance, restart: boolean): Promise<void> {
    if (instance.frozen || instance.weather !== 'fine' || instance.owner.state !== 'alive') return;
    this.live = this.live.filter((each) => each !== instance);
    if (restart) this.#start();
    instance.owner.fineSinceMs = Number.POSITIVE_INFINITY;
    await instance.ledger.stop(new AbortController().signal);
    this.judge.adopted(instance.owner);
  }

  #restart(instance: SimInstance): void {
    this.#stop(instance, true).catch((error) => this.#errors.push(error));
  }

  #copy({ id, journal }: SimInstance): void {
    const path = join(this.#world.folder, `copy-${this.#copies.length}-${id}`);
    if (!existsSync(journal.path)) return;
    copyFileSync(journal.path, path);
    this.#copies.push(path);
  }

  #adoptSome(): void {
    const candidates = [...this.#dead, ...this.live.filter(({ elsewhere }) => elsewhere)];
    if (candidates.length > 0) {
      this.#adopt(this.#random.pick(candidates)).catch((error) => this.#errors.push(error));
    }
  }

  async #adopt({ owner, journal }: SimInstance): Promise<void> {
    const adopted = await adoptJournal(this.#fault.adopter(this.memory, journal.path), journal.path);
    if (typeof adopted === 'string') return;
    if (owner.state !== 'over') this.figures.adoptions++;
    this.judge.adopted(owner);
    await this.#replay(journal.path);
  }

  async #replay(path: string): Promise<void> {
    this.figures.replays++;
    const before = stateOf(this.memory);
    const adopted = await adoptJournal(this.#fault.adopter(this.memory, path), path);
    hold(typeof adopted !== 'string', 'replay', () => `${path} is taken for the journal of the living`);
    const after = stateOf(this.memory);
    hold(before === after, 'replay', () => `of ${path} made of\n${before}\nthis:\n${after}`);
  }

  #start(): void {
    const instance = new SimInstance(this.#world);
    this.figures.instances++;
    this.live.push(instance);
    void instance.ledger.beat();
  }
}

/** All sums of a store, in one comparable text. */
function stateOf(memory: MemoryStore): string {
  const counters = [...memory.counters].map(
    ([id, each]) => `${id} ${each.settled} ${each.held} ${each.leased}`,
  );
  const leases = [...memory.leases].map(
    ([key, each]) => `${key} ${each.granted} ${each.returned} ${each.settled}`,
  );
  return [...counters, ...leases, `${memory.events.size} events`].join('\n');
}

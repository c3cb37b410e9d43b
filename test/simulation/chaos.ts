/**
 * A chaos run: several instances on one store, with crashes, restarts, adoptions, lost answers, a store that is slow or
 * away, processes that stand still, clients that leave, rules that change; and the judge, who looks on. Everything
 * follows from the seed.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Random } from '../support/random.ts';
import { DeadInstances } from './dead-instances.ts';
import { FakeTime } from './fake-time.ts';
import { Healthy, type Planted } from './faults/fault.ts';
import { newFigures } from './figures.ts';
import { Books, tallyOf } from './judge/books.ts';
import { expectThat } from './judge/expectations.ts';
import { Judge } from './judge/judge.ts';
import { Returns } from './judge/returns.ts';
import type { MemoryStore } from './memory-store.ts';
import { SimAdmin } from './sim-admin.ts';
import { SimCalls } from './sim-call.ts';
import { SimInstance, type SimWorld, type Weather } from './sim-instance.ts';
import { Traffic } from './traffic.ts';
import { changeForNow, changeRules, hasCaps, KEYS, makeWorld } from './world.ts';

export interface ChaosOptions {
  seed: number;
  folder: string;
  fault?: Planted;
}

/** A backup of the store. */
interface Backup {
  restore(): void;
  atMs: number;
  timeline: number;
}

/** How often an administrator corrects charges. */
const CORRECTS = 0.12;
/** How often a policy releases what is due, and after how long without evidence. */
const RELEASES = 0.15;
const RELEASED_AFTER_MS = 5_000;
/** How often a limit is reset or raised, or a team goes to another department. */
const CHANGES_FOR_NOW = 0.1;
const BACKUP_EVERY_STEPS = 5;
const BACKUPS_MAX = 8;
/** Two heartbeats and what they take: by then each instance has something to miss. */
const OLD_COPY_MS = 2_500;

export class Chaos {
  readonly time = new FakeTime();
  readonly memory: MemoryStore;
  readonly judge: Judge;
  readonly admin: SimAdmin;
  readonly calls: SimCalls;
  readonly #figures = newFigures();
  live: SimInstance[] = [];
  readonly #world: SimWorld;
  readonly #books: Books;
  readonly #returns: Returns;
  readonly #random: Random;
  /** Of every other seed, so that what is charged at its hold is seen as it is, too. */
  readonly #correcting: Random | null;
  /** Of some of those. */
  readonly #releasing: Random | null;
  /** Of those in which calls of unknown outcome bind nothing. */
  readonly #changing: Random | null;
  readonly #deadInstances: DeadInstances;
  readonly #traffic: Traffic;
  readonly #weathers: readonly Weather[];
  #errors: unknown[] = [];
  readonly #stopped: SimInstance[] = [];
  #backups: Backup[] = [];
  #timeline = 1;
  #steps = 0;

  constructor({ seed, folder, fault = new Healthy() }: ChaosOptions) {
    const random = new Random(seed);
    this.#random = random;
    this.#correcting = seed % 2 === 1 ? new Random(-seed) : null;
    this.#releasing = seed % 8 === 5 ? new Random(~seed) : null;
    this.#changing = hasCaps(seed) ? null : new Random(seed + 1_000_000_000);
    const { startMs, limits, grants } = makeWorld(random);
    const nowMs = () => startMs + this.time.monotonicMs();
    this.memory = fault.store(nowMs);
    this.judge = new Judge(nowMs);
    this.admin = new SimAdmin(this.memory, this.judge, KEYS);
    for (const limit of limits) this.admin.makeLimit(limit);
    for (const grant of grants) this.admin.makeGrant(grant);
    const { time, memory, judge, admin } = this;
    const keepFolder = join(folder, 'kept');
    mkdirSync(keepFolder);
    // What an instance has recorded and Postgres does not have yet is what such a seed is about.
    this.#weathers = ['fine', hasCaps(seed) ? 'slow' : 'fine', 'slow', 'lossy', 'away'];
    const putBackEnded = () => this.#deadInstances.adoptForgotten(this.#stopped);
    this.#world = {
      time,
      memory,
      store: memory,
      admin,
      judge,
      folder,
      keepFolder,
      random,
      hasCaps: hasCaps(seed),
      putBackEnded,
    };
    this.#deadInstances = new DeadInstances({ memory, judge, fault, folder, keepFolder });
    this.#books = new Books(judge, memory);
    this.calls = new SimCalls({
      time,
      random,
      judge,
      takeEvents: () => this.#books.take(),
      onError: (error) => this.#errors.push(error),
    });
    this.#traffic = new Traffic(random, this.calls);
    this.#returns = new Returns({
      judge,
      store: memory,
      nowMs,
      freeOf: (owner, tally) => {
        let free = 0n;
        const instance = this.live.find((each) => each.owner === owner);
        for (const lease of instance?.ledger.leases.all() ?? []) {
          if (tallyOf(judge, lease) === tally) free += lease.free;
        }
        return free;
      },
    });
    // What is not written yet is all that ever waits: a journal writes once a turn.
    time.waitsForTurn = () => this.live.some(({ journal }) => journal.pendingBytes > 0);
    const instances = random.chance(0.1) ? random.between(5, 16) : random.between(1, 4);
    for (let i = 0; i < instances; i++) this.#start();
  }

  get figures(): Record<string, number> {
    return { ...this.#figures, ...this.#deadInstances.figures };
  }

  /** One step: something happens, time passes, and everything is looked at. */
  async step(): Promise<void> {
    if (this.#steps++ % BACKUP_EVERY_STEPS === 0) this.#backUp();
    this.#act();
    if (this.#correcting?.chance(CORRECTS)) this.#correct(this.#correcting);
    if (this.#releasing?.chance(RELEASES)) this.#release();
    if (this.#changing?.chance(CHANGES_FOR_NOW)) this.#changeForNow(this.#changing);
    await this.#pass(
      this.#random.chance(0.01) ? this.#random.between(2_000, 15_000) : this.#random.between(0, 150),
    );
  }

  /** Lets time pass in steps, and looks at everything after each. */
  async rest(ms: number, stepMs = 500): Promise<void> {
    for (let left = ms; left > 0; left -= stepMs) await this.#pass(Math.min(stepMs, left));
  }

  /** All comes to rest: Postgres is near, nobody stands still, every call ends. */
  async calm(): Promise<void> {
    for (const instance of this.live) {
      instance.weather = 'fine';
      if (instance.frozen) instance.thaw();
    }
    await this.rest(1000);
    for (const instance of this.live) if (instance.owner.state === 'ended') instance.kill();
    for (let waited = 0; this.#running() > 0 && waited < 90_000; waited += 500) await this.rest(500);
    expectThat(this.#running() === 0, 'rest', () => `${this.#running()} calls are still under way`);
    await this.rest(12_000);
    // What is lent of one end user or tag value stays for a minute.
    await this.rest(51_000, 3_000);
    // From afar only a long silence tells that an instance is dead; one who lives is enough to wait for it.
    if (this.#deadInstances.instances.some(({ elsewhere, owner }) => elsewhere && owner.state === 'dead')) {
      for (const instance of this.live.slice(1))
        this.#stop(instance, false).catch((error) => this.#errors.push(error));
      await this.rest(60_000, 5_000);
    }
    await this.#deadInstances.adoptAll();
    // Where the store went back, lending resumes only now.
    await this.rest(5_000);
    this.#check();
  }

  /** The orderly end of all who live. */
  async stop(): Promise<void> {
    for (const instance of this.live) this.#stop(instance, false).catch((error) => this.#errors.push(error));
    await this.rest(5000);
    expectThat(this.live.length === 0, 'rest', () => `${this.live.length} instances do not stop`);
  }

  /** Whatever journal is read again: nothing changes. */
  replayAll(): Promise<void> {
    return this.#deadInstances.replayAll();
  }

  #running(): number {
    return this.live.reduce((sum, instance) => sum + (this.calls.running.get(instance) ?? 0), 0);
  }

  async #pass(ms: number): Promise<void> {
    await this.time.advance(ms);
    for (const instance of this.live) instance.rate();
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
    if (what < 0.82) this.#traffic.callAll(this.live);
    else if (what < 0.88) this.#traffic.turn();
    else if (what < 0.93) instance.weather = random.pick(this.#weathers);
    else if (what < 0.94) this.#everywhere(random.pick<Weather>(['fine', 'fine', 'slow', 'away']));
    else if (what < 0.955) this.#change();
    else if (what < 0.965) this.#freeze(instance);
    else if (what < 0.975) instance.kill();
    else if (what < 0.98) this.#restart(instance);
    else if (what < 0.983) this.#deadInstances.copy(instance);
    else if (what < 0.99) this.#adoptSome();
    else this.#goBack();
    if (what >= 0.965 && what < 0.975) this.#bury();
  }

  #backUp(): void {
    const { server } = this.memory.history;
    this.#backups.push({
      restore: this.memory.backup(),
      atMs: this.judge.nowMs(),
      timeline: server.timeline,
    });
    if (this.#backups.length > BACKUPS_MAX) this.#backups.shift();
  }

  /** A standby takes over without the last commits, a backup is restored, or an old copy of the files. */
  #goBack(): void {
    // Who was adopted while it ran learns of it first: what it reports meanwhile is in no journal that counts.
    if (this.live.some(({ owner }) => owner.state === 'ended')) return;
    const { judge, memory } = this;
    const isCopy = this.#random.chance(0.3);
    const calm = this.live.every((each) => each.owner.fineSinceMs < judge.nowMs() - 2 * OLD_COPY_MS);
    const backups = this.#backups.filter(({ atMs, timeline }) =>
      isCopy ? calm && timeline === this.#timeline && atMs < judge.nowMs() - OLD_COPY_MS : true,
    );
    if (backups.length === 0) return;
    this.#books.take();
    const before = new Set(memory.events.keys());
    const backup = this.#random.pick(backups);
    backup.restore();
    if (!isCopy) memory.history.server.timeline = ++this.#timeline;
    this.#backups = [];
    this.#figures.goneBack++;
    for (const id of memory.events.keys()) before.delete(id);
    for (const owner of judge.owners.values()) {
      owner.isBehind = owner.state === 'alive';
      if (owner.state === 'ended' && memory.notEndedNow(owner.id)) owner.state = 'dead';
    }
    for (const call of judge.unknown)
      if (call.uncorrected !== null && !memory.releases.costs.has(call.id)) judge.correctionForgotten(call);
    this.#books.forget(before);
    for (const instance of this.live) instance.rate();
    for (const dead of this.#deadInstances.instances) this.#bringJournal(dead);
  }

  /**
   * The machine's service manager starts what died, which brings its journal. For those that the store knows lending waits. Of
   * one that began and died in the lost seconds nothing is known: money that it spent is safe only where it comes back first.
   */
  #bringJournal(dead: SimInstance): void {
    const isKnown = this.memory.history.instances.has(dead.id);
    const bring = () => {
      if (dead.owner.state !== 'dead') return;
      this.#deadInstances.adopt(dead).catch((error) => {
        this.#adoptionFailed(error);
        // No epoch has begun yet.
        if (!isKnown) this.time.after(200, bring);
      });
    };
    this.time.after(this.#random.between(500, isKnown ? 6_000 : 1_500), bring);
  }

  /** An administrator has evidence of what some calls of unknown outcome cost. */
  #correct(random: Random): void {
    this.#books.take();
    const open = [...this.judge.unknown].filter(
      ({ booked, bill, uncorrected }) => booked && bill !== null && uncorrected === null,
    );
    const { teamId } = open.length > 0 ? random.pick(open) : {};
    const calls = open.filter((call) => call.teamId === teamId && random.chance(0.7));
    if (calls.length === 0) return;
    this.#figures.corrected += calls.length;
    this.admin.correct(calls);
  }

  /** What no one had evidence of for long is released. */
  #release(): void {
    this.#books.take();
    this.#figures.released += this.admin.releaseByPolicy(RELEASED_AFTER_MS);
  }

  #everywhere(weather: Weather): void {
    for (const instance of this.live) instance.weather = weather;
  }

  #change(): void {
    this.#figures.changes++;
    changeRules(this.admin, this.#random, Math.floor(this.judge.nowMs()));
  }

  #changeForNow(random: Random): void {
    const what = changeForNow(this.admin, random, Math.floor(this.judge.nowMs()));
    if (what !== null) this.#figures[what]++;
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
      // Its journal was adopted while it ran: it ends once it learns of it.
      if (instance.owner.state === 'ended' && instance.alive && this.#random.chance(0.05)) instance.kill();
      if (instance.alive) continue;
      this.#figures.crashes++;
      if (instance.owner.state === 'alive') this.judge.killed(instance.owner);
      this.#replace(instance);
    }
  }

  #replace(instance: SimInstance): void {
    if (!this.live.includes(instance)) return;
    this.live = this.live.filter((each) => each !== instance);
    if (!instance.alive) {
      this.#deadInstances.instances.push(instance);
      if (!this.memory.history.instances.has(instance.id)) this.#bringJournal(instance);
    }
    this.#start();
  }

  async #stop(instance: SimInstance, restart: boolean): Promise<void> {
    if (instance.frozen || instance.weather !== 'fine' || instance.owner.state !== 'alive') return;
    this.live = this.live.filter((each) => each !== instance);
    if (restart) this.#start();
    instance.owner.fineSinceMs = Number.POSITIVE_INFINITY;
    instance.stopping = true;
    await instance.ledger.stop(new AbortController().signal);
    this.judge.adopted(instance.owner);
    this.#stopped.push(instance);
  }

  #restart(instance: SimInstance): void {
    this.#stop(instance, true).catch((error) => this.#errors.push(error));
  }

  #adoptSome(): void {
    const { instances: dead } = this.#deadInstances;
    const candidates = [...dead, ...this.live.filter(({ elsewhere }) => elsewhere)];
    if (candidates.length === 0) return;
    this.#deadInstances.adopt(this.#random.pick(candidates)).catch((error) => this.#adoptionFailed(error));
  }

  /** As a process starts: what the store has forgotten of those that ended is put back before money is lent. */
  #start(): void {
    const hasForgotten = this.#deadInstances.hasForgotten(this.#stopped);
    if (hasForgotten && this.memory.history.breakOff())
      for (const { owner } of this.live) owner.isBehind = true;
    const instance = new SimInstance(this.#world);
    this.#figures.instances++;
    this.live.push(instance);
    if (hasForgotten)
      this.#deadInstances.adoptForgotten(this.#stopped).catch((error) => this.#adoptionFailed(error));
    void instance.ledger.sendHeartbeat();
  }

  /** Who starts and finds the store gone back begins an epoch first; in here those who live do. */
  #adoptionFailed(error: unknown): void {
    if ((error as Error).name !== 'StoreWentBack') this.#errors.push(error);
  }
}

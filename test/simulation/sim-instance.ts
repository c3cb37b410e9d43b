/**
 * One gateway process of a simulation: a real ledger with a real journal, which can be frozen or killed at any moment,
 * and which follows the rules as every replica does.
 */
import { randomUUID } from 'node:crypto';
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Account, UnknownCall } from '../../src/domain/budget.ts';
import { ORGANIZATION_ID } from '../../src/domain/limit.ts';
import { Breaker } from '../../src/gateway/breaker.ts';
import { startJob } from '../../src/jobs/every.ts';
import { keepLedger } from '../../src/jobs/keep-ledger.ts';
import { type Clock, createClock } from '../../src/ledger/events.ts';
import type { LedgerStore } from '../../src/ledger/heartbeat.ts';
import { Journal } from '../../src/ledger/journal.ts';
import { Ledger } from '../../src/ledger/ledger.ts';
import { deadHeader } from '../support/journals.ts';
import type { Random } from '../support/random.ts';
import type { FakeTime } from './fake-time.ts';
import { type Fate, FaultyStore } from './faulty-store.ts';
import { knownVersionOf, type Owner } from './judge/calls.ts';
import type { Judge } from './judge/judge.ts';
import { heardMsOf } from './judge/unknown.ts';
import type { MemoryStore } from './memory-store.ts';
import type { SimAdmin } from './sim-admin.ts';
import { KEYS } from './world.ts';

const WEATHERS = {
  fine: { delayMs: [1, 8], lost: 0 },
  slow: { delayMs: [200, 3000], lost: 0 },
  lossy: { delayMs: [1, 60], lost: 0.4 },
  away: { delayMs: [5, 50], lost: 1 },
} as const;

export type Weather = keyof typeof WEATHERS;

const CATALOG_POLL_MS = 250;
const SLOW_ANSWER_MS = 3000;
/** What was read of a team: its calls of unknown outcome, and which of those that this process reported the store has. */
interface ReadUnknown {
  calls: UnknownCall[];
  own: ReadonlySet<string>;
}

const NO_CALLS: ReadonlyMap<string, ReadUnknown> = new Map();

export interface SimWorld {
  time: FakeTime;
  memory: MemoryStore;
  /** What instances ask: the store in memory, perhaps with a fault planted around it. */
  store: LedgerStore;
  admin: SimAdmin;
  judge: Judge;
  folder: string;
  /** Where journals go that are not needed any more. */
  keepFolder: string;
  random: Random;
  /** Calls go one at a time where too much money is of unknown outcome. */
  hasCaps: boolean;
  /** The store went back: what instances have left that ended is put back. */
  putBackEnded(): Promise<void>;
}

export class SimInstance {
  readonly id = randomUUID();
  readonly clock: Clock;
  readonly journal: Journal;
  readonly ledger: Ledger;
  readonly owner: Owner;
  /** It runs where nobody who adopts journals can see whether it lives. */
  readonly elsewhere: boolean;
  accounts: ReadonlyMap<string, Account>;
  /** Null: calls of unknown outcome keep none from going side by side. */
  readonly breaker: Breaker | null;
  alive = true;
  /** It ends in good order. */
  stopping = false;
  readonly #world: SimWorld;
  readonly #store: FaultyStore;
  readonly #thawed: (() => void)[] = [];
  #weather: Weather = 'fine';
  #frozen = false;
  #frozenAtMs = 0;
  /** What was read while the store had forgotten some of it is to be read again. */
  #hasPutBack = false;
  #isPolling = false;

  constructor(world: SimWorld) {
    this.#world = world;
    const { time, memory, folder, random, judge, admin } = world;
    memory.registerInstance(this.id);
    this.owner = judge.started(this.id);
    this.accounts = admin.accounts;
    this.breaker = world.hasCaps ? new Breaker({ monotonicMs: time.monotonicMs, onChange: () => {} }) : null;
    if (this.breaker !== null) this.#take(admin.accounts, this.#unknownIn(new Set([''])));
    judge.received(this.owner, admin.version);
    this.elsewhere = random.chance(0.08);
    const header = deadHeader(this.id);
    this.journal = new Journal({
      path: join(folder, `${this.id}.log`),
      header: this.elsewhere ? { ...header, host: 'elsewhere' } : header,
      compactAtBytes: 30_000,
      keepFolder: world.keepFolder,
      syncEveryMs: 1_000_000,
    });
    this.clock = createClock(time.monotonicMs);
    this.#store = new FaultyStore(world.store, time);
    this.#store.fate = () => this.#fate();
    const timers = {
      after: (delayMs: number, callback: () => void) => time.after(delayMs, () => this.#run(callback)),
    };
    this.ledger = new Ledger({
      instanceId: this.id,
      store: this.#whileAlive(this.#store),
      journal: this.journal,
      clock: this.clock,
      timers,
      jitter: () => random.fraction(),
      queueTimeoutMs: 10_000,
      putBackEnded: () => this.#replyOf(world.putBackEnded()),
      onPutBack: () => {
        this.#hasPutBack = true;
        this.owner.isBehind = false;
        this.owner.putBackMs = judge.nowMs();
      },
    });
    keepLedger(this.ledger, timers);
    startJob({ timers, intervalMs: CATALOG_POLL_MS, run: () => void this.#pollCatalog() });
  }

  get weather(): Weather {
    return this.#weather;
  }

  set weather(weather: Weather) {
    this.#weather = weather;
    this.rate();
  }

  get frozen(): boolean {
    return this.#frozen;
  }

  /** The process stands still: SIGSTOP, or a machine that swaps. */
  freeze(): void {
    this.#frozen = true;
    this.#frozenAtMs = this.#world.judge.nowMs();
    this.rate();
  }

  /** What it missed happens at once, in the order in which it was due. */
  thaw(): void {
    this.#frozen = false;
    // A question that was under way tells the time to half of what it took.
    this.owner.clockErrorMs = (this.#world.judge.nowMs() - this.#frozenAtMs) / 2 + SLOW_ANSWER_MS;
    this.rate();
    for (const callback of this.#thawed.splice(0)) this.#world.time.after(0, () => this.#run(callback));
  }

  /** Resolves when the process runs; never, once it is dead. */
  running(): Promise<void> {
    if (!this.alive) return new Promise(() => {});
    if (!this.#frozen) return Promise.resolve();
    return new Promise((resolve) => this.#thawed.push(resolve));
  }

  /** kill -9: nothing of it runs on; what was not written is lost, and the last write may have been cut short. */
  kill(): void {
    if (!this.alive) return;
    this.alive = false;
    this.rate();
    const { path, pendingBytes } = this.journal;
    const before = pendingBytes > 0 ? readFileSync(path) : null;
    this.journal.close(false);
    if (before) {
      const after = readFileSync(path);
      writeFileSync(path, after.subarray(0, this.#world.random.between(before.length, after.length)));
    } else if (this.#world.random.chance(0.5)) {
      appendFileSync(path, '0badc0de H {"id":"01');
    }
  }

  /** Notes since when it runs, reaches Postgres, and is lent to. */
  rate(): void {
    const { isLending } = this.#world.memory.history;
    this.owner.heardMs = heardMsOf(this.owner, this.#world.judge.nowMs());
    const fine = this.alive && !this.#frozen && this.#weather === 'fine' && isLending && !this.owner.isBehind;
    if (!fine) this.owner.fineSinceMs = Number.POSITIVE_INFINITY;
    else if (this.owner.fineSinceMs === Number.POSITIVE_INFINITY)
      this.owner.fineSinceMs = this.#world.judge.nowMs();
  }

  #run(callback: () => void): void {
    if (!this.alive) return;
    if (this.#frozen) this.#thawed.push(callback);
    else callback();
  }

  async #pollCatalog(): Promise<void> {
    const { admin, judge } = this.#world;
    const known = knownVersionOf(this.owner);
    const { flushedMs } = this.ledger.flusher;
    const outdated = this.#outdatedSince(flushedMs);
    if (this.#isPolling || (admin.version === known && outdated.length === 0)) return;
    this.#isPolling = true;
    try {
      const { version, accounts, rules, changed, unknown } = await this.#replyOf(
        this.#store.send('catalog', () => ({
          version: admin.version,
          accounts: admin.accounts,
          rules: admin.changedSince(known, 'rules'),
          changed: admin.changedSince(known, 'all'),
          unknown:
            this.breaker === null
              ? NO_CALLS
              : this.#unknownIn(new Set([...admin.changedSince(known, 'all'), ...outdated])),
        })),
      );
      if (version < knownVersionOf(this.owner)) return;
      if (this.breaker === null) this.accounts = accounts;
      else this.#take(accounts, unknown);
      this.breaker?.forgetBefore(flushedMs);
      if (outdated[0] === '') this.#hasPutBack = false;
      if (version === knownVersionOf(this.owner)) return;
      this.ledger.revoke(idsOf(rules), idsOf(changed));
      judge.received(this.owner, version);
    } catch {
      // It asks again.
    } finally {
      this.#isPolling = false;
    }
  }

  /** Teams whose accounts are to be read again, whatever the version is; an empty name: all. */
  #outdatedSince(flushedMs: number): string[] {
    if (this.breaker === null) return [];
    return this.#hasPutBack ? [''] : [...this.breaker.recordedBefore(flushedMs)];
  }

  /** What the store knows now of calls of unknown outcome of these teams; the organization's stand for all. */
  #unknownIn(teamIds: ReadonlySet<string>): Map<string, ReadUnknown> {
    const { memory, judge } = this.#world;
    const all = new Set(KEYS.map(({ teamId }) => teamId));
    const read = teamIds.has(ORGANIZATION_ID) || teamIds.has('') ? all : teamIds;
    const own = new Set(
      [...judge.unknown]
        .filter(({ id, owner }) => owner === this.owner && memory.events.has(id))
        .map(({ id }) => id),
    );
    return new Map(
      [...read].map((id) => [id, { calls: memory.releases.unknownOf(id, memory.events.values()), own }]),
    );
  }

  #take(accounts: ReadonlyMap<string, Account>, reread: ReadonlyMap<string, ReadUnknown>): void {
    const before = this.accounts;
    this.accounts = new Map(
      [...accounts].map(([keyId, account]) => {
        const read = reread.get(account.principal.teamId);
        return [keyId, read === undefined ? before.get(keyId)! : { ...account, unknown: read.calls }];
      }),
    );
    for (const [teamId, { calls, own }] of reread)
      this.owner.readUnknown.set(teamId, { calls: new Set(calls.map(({ id }) => id)), own });
  }

  #fate(): Fate {
    const { delayMs, lost } = WEATHERS[this.#weather];
    const { random } = this.#world;
    return {
      delayMs: random.between(delayMs[0], delayMs[1]),
      lost: random.chance(lost) ? random.pick(['request', 'answer'] as const) : 'nothing',
    };
  }

  /**
   * Resolves with the reply unless the process dies; its request may happen all the same. A frozen process gets it
   * late.
   */
  async #replyOf<T>(question: Promise<T>): Promise<T> {
    try {
      return await question;
    } finally {
      if (!this.alive || this.#frozen) await this.running();
    }
  }

  #whileAlive(store: LedgerStore): LedgerStore {
    return {
      requestLease: (request) => this.#replyOf(store.requestLease(request)),
      flush: (batch) => this.#replyOf(store.flush(batch)),
      adopt: (...args) => this.#replyOf(store.adopt(...args)),
      heartbeat: (...args) => this.#replyOf(store.heartbeat(...args)),
      rejoin: (...args) => this.#replyOf(store.rejoin(...args)),
      putBack: (...args) => this.#replyOf(store.putBack(...args)),
      noteGap: (...args) => this.#replyOf(store.noteGap(...args)),
      resumeLending: () => this.#replyOf(store.resumeLending()),
    };
  }
}

/** What touches the organization touches every team. */
const idsOf = (teamIds: ReadonlySet<string>) => (teamIds.has(ORGANIZATION_ID) ? 'all' : teamIds);

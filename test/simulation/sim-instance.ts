/** One gateway process of a simulation: a real ledger with a real journal, which can be killed at any moment. */
import { randomUUID } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Clock, createClock } from '../../src/ledger/clock.ts';
import { Journal } from '../../src/ledger/journal.ts';
import { Ledger } from '../../src/ledger/ledger.ts';
import type { LedgerStore } from '../../src/ledger/store.ts';
import { deadHeader } from '../support/journals.ts';
import type { Random } from '../support/random.ts';
import type { FakeTime } from './fake-time.ts';
import { type Fate, FaultyStore } from './faulty-store.ts';
import type { MemoryStore } from './memory-store.ts';

const WEATHERS = {
  fine: { delayMs: [1, 8], lost: 0 },
  slow: { delayMs: [200, 3000], lost: 0 },
  lossy: { delayMs: [1, 60], lost: 0.4 },
  away: { delayMs: [5, 50], lost: 1 },
} as const;

export type Weather = keyof typeof WEATHERS;

export interface SimWorld {
  time: FakeTime;
  memory: MemoryStore;
  folder: string;
  random: Random;
}

export class SimInstance {
  readonly id = randomUUID();
  readonly clock: Clock;
  readonly journal: Journal;
  readonly ledger: Ledger;
  readonly #random: Random;
  alive = true;
  weather: Weather = 'fine';

  constructor({ time, memory, folder, random }: SimWorld) {
    this.#random = random;
    memory.registerInstance(this.id);
    const path = join(folder, `${this.id}.log`);
    this.journal = new Journal({
      path,
      header: deadHeader(this.id),
      compactAtBytes: 8000,
      syncEveryMs: 1_000_000,
    });
    this.clock = createClock(time.monotonicMs);
    const store = new FaultyStore(memory, time);
    store.fate = () => this.#fate();
    this.ledger = new Ledger({
      instanceId: this.id,
      store: this.#whileAlive(store),
      journal: this.journal,
      clock: this.clock,
      timers: { after: (delayMs, callback) => time.after(delayMs, () => this.alive && callback()) },
      jitter: () => random.fraction(),
      queueTimeoutMs: 10_000,
    });
  }

  /** kill -9: nothing of it runs on, and the last write may have been cut short. */
  kill(): void {
    this.alive = false;
    this.journal.close(false);
    if (this.#random.chance(0.5)) appendFileSync(this.journal.path, '0badc0de H {"id":"01');
  }

  #fate(): Fate {
    const { delayMs, lost } = WEATHERS[this.weather];
    return {
      delayMs: this.#random.between(delayMs[0], delayMs[1]),
      lost: this.#random.chance(lost) ? this.#random.pick(['request', 'answer'] as const) : 'nothing',
    };
  }

  /** What a dead process asked for may still happen; it does not hear of it. */
  #whileAlive(store: LedgerStore): LedgerStore {
    const heard = async <T>(question: Promise<T>): Promise<T> => {
      try {
        return await question;
      } finally {
        if (!this.alive) await new Promise(() => {});
      }
    };
    return {
      requestLease: (request) => heard(store.requestLease(request)),
      flush: (batch) => heard(store.flush(batch)),
      adopt: (...args) => heard(store.adopt(...args)),
      heartbeat: (instanceId) => heard(store.heartbeat(instanceId)),
    };
  }
}

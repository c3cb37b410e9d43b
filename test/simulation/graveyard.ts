/** What instances leave behind: the journals of the dead, adopted and read again; and copies from some moment of a life. */
import { copyFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { adoptJournal } from '../../src/ledger/recovery.ts';
import type { Planted } from './faults/fault.ts';
import { hold } from './judge/broken.ts';
import type { Judge } from './judge/judge.ts';
import type { MemoryStore } from './memory-store.ts';
import type { SimInstance } from './sim-instance.ts';

export interface GraveyardOptions {
  memory: MemoryStore;
  judge: Judge;
  fault: Planted;
  folder: string;
}

export class Graveyard {
  readonly dead: SimInstance[] = [];
  readonly figures = { adoptions: 0, replays: 0 };
  readonly #options: GraveyardOptions;
  readonly #copies: string[] = [];

  constructor(options: GraveyardOptions) {
    this.#options = options;
  }

  /** Keeps a copy of a living instance's journal. */
  copy({ id, journal }: SimInstance): void {
    const path = join(this.#options.folder, `copy-${this.#copies.length}-${id}`);
    if (!existsSync(journal.path)) return;
    copyFileSync(journal.path, path);
    this.#copies.push(path);
  }

  /** Adopts an instance's journal, unless it lives or may live; and a second time, which must change nothing. */
  async adopt({ owner, journal }: SimInstance): Promise<void> {
    const { memory, judge, fault } = this.#options;
    const adopted = await adoptJournal(fault.adopter(memory, journal.path), journal.path);
    if (typeof adopted === 'string') return;
    if (owner.state !== 'over') this.figures.adoptions++;
    judge.adopted(owner);
    await this.#replay(journal.path);
  }

  async adoptAll(): Promise<void> {
    for (const instance of this.dead) await this.adopt(instance);
    const unread = this.dead.filter(({ owner }) => owner.state === 'dead');
    hold(unread.length === 0, 'adoption', () => `${unread.length} journals of the dead cannot be adopted`);
  }

  /** Whatever journal is read again, once all have ended: nothing changes. */
  async replayAll(): Promise<void> {
    const journals = [...this.dead.map(({ journal }) => journal.path), ...this.#copies];
    for (const path of journals) await this.#replay(path);
  }

  async #replay(path: string): Promise<void> {
    const { memory, fault } = this.#options;
    this.figures.replays++;
    const before = stateOf(memory);
    const adopted = await adoptJournal(fault.adopter(memory, path), path);
    hold(typeof adopted !== 'string', 'replay', () => `${path} is taken for the journal of the living`);
    const after = stateOf(memory);
    hold(before === after, 'replay', () => `of ${path} made of\n${before}\nthis:\n${after}`);
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

/** Dead instances: their journals are adopted and read again, as are copies of journals of running instances. */
import { copyFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { adoptJournal, adoptKept } from '../../src/ledger/recovery.ts';
import type { Planted } from './faults/fault.ts';
import { expectThat } from './judge/expectations.ts';
import type { Judge } from './judge/judge.ts';
import type { MemoryStore } from './memory-store.ts';
import type { SimInstance } from './sim-instance.ts';

export interface DeadInstancesOptions {
  memory: MemoryStore;
  judge: Judge;
  fault: Planted;
  folder: string;
  keepFolder: string;
}

export class DeadInstances {
  readonly instances: SimInstance[] = [];
  readonly figures = { adoptions: 0, replays: 0 };
  readonly #options: DeadInstancesOptions;
  readonly #copies: string[] = [];

  constructor(options: DeadInstancesOptions) {
    this.#options = options;
  }

  /** Keeps a copy of a running instance's journal. */
  copy({ id, journal }: SimInstance): void {
    const path = join(this.#options.folder, `copy-${this.#copies.length}-${id}`);
    if (!existsSync(journal.path)) return;
    copyFileSync(journal.path, path);
    this.#copies.push(path);
  }

  /** Adopts an instance's journal, unless it runs or may run; and a second time, which must change nothing. */
  async adopt({ owner, journal }: SimInstance): Promise<void> {
    const { memory, judge, fault, keepFolder } = this.#options;
    const adopted = await adoptJournal(fault.adopter(memory, journal.path), journal.path, keepFolder);
    if (typeof adopted === 'string') return;
    if (owner.state !== 'ended') this.figures.adoptions++;
    judge.adopted(owner);
    if (memory.history.whyForeign() === null) await this.#replay(journal.path);
  }

  /** Whether the store has forgotten that some of these instances, or of those that were adopted, had ended. */
  hasForgotten(stopped: readonly SimInstance[]): boolean {
    const adopted = this.instances.filter(({ owner }) => owner.wasAdopted);
    return [...stopped, ...adopted].some(({ id }) => this.#options.memory.notEndedNow(id));
  }

  /** The store has forgotten that these instances had ended: their journals are read once more. */
  async adoptForgotten(stopped: readonly SimInstance[]): Promise<void> {
    const { memory, judge, fault, keepFolder } = this.#options;
    const adopter = fault.adopter(memory, '');
    await adoptKept(adopter, keepFolder, '');
    for (const { id, owner } of stopped) if (!memory.notEndedNow(id)) judge.adopted(owner);
    for (const instance of this.instances) {
      if (instance.owner.wasAdopted && memory.notEndedNow(instance.id)) await this.adopt(instance);
    }
  }

  async adoptAll(): Promise<void> {
    for (const instance of this.instances) await this.adopt(instance);
    const unread = this.instances.filter(({ owner }) => owner.state === 'dead');
    expectThat(
      unread.length === 0,
      'adoption',
      () => `${unread.length} journals of dead instances cannot be adopted`,
    );
  }

  /** Reads every journal again once all instances have ended: nothing may change. */
  async replayAll(): Promise<void> {
    const journals = [...this.instances.map(({ journal }) => journal.path), ...this.#copies];
    for (const path of journals) await this.#replay(path);
  }

  async #replay(path: string): Promise<void> {
    const { memory, fault } = this.#options;
    this.figures.replays++;
    const before = stateOf(memory);
    const adopted = await adoptJournal(fault.adopter(memory, path), path);
    expectThat(
      typeof adopted !== 'string',
      'replay',
      () => `${path} is taken for the journal of a running instance`,
    );
    const after = stateOf(memory);
    expectThat(before === after, 'replay', () => `of ${path} made of\n${before}\nthis:\n${after}`);
  }
}

/** Returns all sums of a store as one text to compare. */
function stateOf(memory: MemoryStore): string {
  const counters = [...memory.counters].map(
    ([id, each]) => `${id} ${each.settled} ${each.held} ${each.leased}`,
  );
  const leases = [...memory.leases].map(
    ([key, each]) => `${key} ${each.granted} ${each.returned} ${each.settled}`,
  );
  return [...counters, ...leases, `${memory.events.size} events`].join('\n');
}

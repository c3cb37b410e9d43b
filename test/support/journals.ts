/** Journals of processes that are gone, though this one goes on: a simulated crash leaves one behind. */
import type { JournalHeader } from '../../src/ledger/journal.ts';
import { type Adopted, adoptJournal, ownHeader, type RecoveryStore } from '../../src/ledger/recovery.ts';

/** The header of a process that had this one's number before it. */
export function deadHeader(instanceId: string): JournalHeader {
  return { ...ownHeader(instanceId), started: '1' };
}

/** Adopts a dead instance's journal; throws when it is taken for a living one's. */
export async function adoptDead(store: RecoveryStore, path: string): Promise<Adopted> {
  const adopted = await adoptJournal(store, path);
  if (typeof adopted === 'string') throw new Error(`${path} was left alone: ${adopted}`);
  return adopted;
}

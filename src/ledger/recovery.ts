/**
 * Recovery: reads the journals that dead instances left and brings what they say into the ledger. Owns: telling a torn
 * tail (dropped: its write never returned, so nothing was forwarded) from damage (stops, with the place), and whether
 * the writer still lives.
 */
import { readdirSync, readFileSync, unlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { FlushEvent } from '../store/flush.ts';
import { eventFromJson, unknownFromHold } from './event.ts';
import { parseLine } from './journal.ts';
import type { LedgerStore } from './store.ts';

/** Who writes a journal: enough to tell whether that very process still runs. */
export interface JournalHeader extends Record<string, unknown> {
  instance: string;
  host: string;
  pid: number;
  /** Start of the process in clock ticks since boot; a pid that came round again has another. Empty: not known. */
  started: string;
}

export function ownHeader(instanceId: string): JournalHeader {
  return { instance: instanceId, host: hostname(), pid: process.pid, started: startOf(process.pid) };
}

/** The writer of a journal is alive on this machine. */
export function writerLives(header: JournalHeader): boolean {
  if (header.host !== hostname()) return false;
  try {
    process.kill(header.pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  return header.started === '' || startOf(header.pid) === header.started;
}

function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name in parentheses may contain blanks; the start time is the 20th field after it.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

/** A journal cannot be read past this line: it is damaged, not merely cut off at its end. */
export class JournalDamaged extends Error {
  override name = 'JournalDamaged';
}

export interface JournalContent {
  /** Null: not even the header was written, so nothing else was. */
  header: JournalHeader | null;
  /** Every event of the file: calls that ended, and as unknown the calls that were in flight. */
  events: FlushEvent[];
  unknown: number;
}

/**
 * Reads a journal.
 * @throws JournalDamaged when a line other than the last fails its checksum
 */
export function readJournal(path: string): JournalContent {
  const lines = readFileSync(path, 'utf8').split('\n');
  const holds = new Map<string, string>();
  const events = new Map<string, FlushEvent>();
  let header: JournalHeader | null = null;
  // What follows the last newline is a torn tail or empty; either way it was never acknowledged.
  const last = lines.length - 1;
  for (let i = 0; i < last; i++) {
    const line = parseLine(lines[i]!);
    if (line === null || (line.type === 'J') !== (i === 0)) {
      if (i === last - 1 && i > 0) break;
      throw new JournalDamaged(`${path}: line ${i + 1} is damaged; move the file away to start without it`);
    }
    const { type, json } = line;
    if (type === 'J') header = JSON.parse(json) as JournalHeader;
    else if (type === 'H') holds.set(idOf(json), json);
    else {
      const event = eventFromJson(json);
      holds.delete(event.id);
      events.set(event.id, event);
    }
  }
  const unknown = [...holds.values()].map(unknownFromHold);
  return { header, events: [...events.values(), ...unknown], unknown: unknown.length };
}

function idOf(json: string): string {
  return (JSON.parse(json) as { id: string }).id;
}

export interface Adopted {
  path: string;
  /** Events that were not in the ledger yet. */
  inserted: number;
  unknown: number;
}

/** Brings one journal into the ledger and fences its writer. Doing it twice changes nothing. */
export async function adoptJournal(store: LedgerStore, path: string): Promise<Adopted> {
  const { header, events, unknown } = readJournal(path);
  if (header === null) return { path, inserted: 0, unknown: 0 };
  return { path, inserted: await store.adopt(header.instance, events, 'adopted'), unknown };
}

/** Adopts and removes every journal in the folder whose writer is dead. */
export async function adoptDeadJournals(store: LedgerStore, folder: string): Promise<Adopted[]> {
  const adopted: Adopted[] = [];
  for (const name of readdirSync(folder).filter((file) => file.endsWith('.log'))) {
    const path = join(folder, name);
    const { header } = readJournal(path);
    if (header && writerLives(header)) continue;
    adopted.push(await adoptJournal(store, path));
    unlinkSync(path);
  }
  return adopted;
}

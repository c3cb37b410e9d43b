/**
 * Recovery: reads the journals that dead instances left and brings what they say into the ledger. Owns: telling a torn
 * tail (dropped: its write never returned, so nothing was forwarded) from damage (stops, with the place), and whether
 * the writer still lives.
 */
import {
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import type { Fenced } from '../domain/history.ts';
import type { FlushEvent } from '../store/hot/flush.ts';
import type { LedgerStore } from './heartbeat.ts';
import { JournalHeader, keptPath, parseLine } from './journal.ts';
import { eventFromJson, keptFiles, lastFiles, putBackEvents, unknownFromHold } from './read-journal.ts';

/** @param ledger that the events of the journal belong to */
export function ownHeader(instanceId: string, ledger = ''): JournalHeader {
  const { pid } = process;
  return {
    instance: instanceId,
    host: hostname(),
    namespace: ownNamespace(),
    pid,
    started: startOf(pid),
    segment: 0,
    number: 0,
    ledger,
  };
}

/** Whether a journal's writer still runs; `elsewhere`: on a machine or in a container into which we cannot look. */
export function writerOf(header: JournalHeader): 'alive' | 'dead' | 'elsewhere' {
  if (header.host !== hostname() || header.namespace !== ownNamespace()) return 'elsewhere';
  try {
    process.kill(header.pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return 'dead';
  }
  return header.started === '' || startOf(header.pid) === header.started ? 'alive' : 'dead';
}

function ownNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return '';
  }
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
  /** Every event of the file: calls that ended, and as unknown the calls that were in flight. */
  events: FlushEvent[];
  unknown: number;
  /** How many calls have ended in it. */
  ended: number;
  /** Jobs that went on when it ended, as JSON. */
  jobs: unknown[];
}

/** Headers are some hundred bytes. */
const HEADER_BYTES_MAX = 4096;

/** Who wrote a journal; null: the file is empty. Throws JournalDamaged when its first line cannot be read. */
export function readHeader(path: string): JournalHeader | null {
  const buffer = Buffer.alloc(HEADER_BYTES_MAX);
  const file = openSync(path, 'r');
  const length = readSync(file, buffer);
  closeSync(file);
  if (length === 0) return null;
  const line = parseLine(buffer.toString('utf8', 0, length).split('\n', 1)[0] ?? '');
  if (line?.type !== 'J') throw damaged(path, 1);
  const header = JournalHeader.safeParse(JSON.parse(line.json));
  if (!header.success) throw damaged(path, 1);
  return header.data;
}

/**
 * Reads a journal.
 * @throws JournalDamaged when a line other than the last fails its checksum
 */
export function readJournal(path: string): JournalContent {
  const lines = readFileSync(path, 'utf8').split('\n');
  const holds = new Map<string, string>();
  const events = new Map<string, FlushEvent>();
  // What follows the last newline is a torn tail or empty; either way it was never acknowledged.
  const last = lines.length - 1;
  for (let i = 0; i < last; i++) {
    const line = parseLine(lines[i] ?? '');
    if (line === null || (line.type === 'J') !== (i === 0)) {
      if (i === last - 1 && i > 0) break;
      throw damaged(path, i + 1);
    }
    const { type, json } = line;
    if (type === 'H') holds.set(idOf(json), json);
    else if (type === 'S') {
      const event = eventFromJson(json);
      holds.delete(event.id);
      events.set(event.id, event);
    }
  }
  const open = [...holds.values()];
  const unknown = open.map((json) => ({ ...unknownFromHold(json), isGuess: true as const }));
  const jobs = open.flatMap((json) => WithJob.parse(JSON.parse(json)).job ?? []);
  return { events: [...events.values(), ...unknown], unknown: unknown.length, ended: events.size, jobs };
}

function damaged(path: string, line: number): JournalDamaged {
  return new JournalDamaged(
    `the journal ${path} is damaged in line ${line}. Move the file away to start without it, and keep it: it may ` +
      'hold calls that the ledger does not have',
  );
}

const WithId = z.object({ id: z.string() });
const WithJob = z.object({ job: z.unknown().optional() });

function idOf(json: string): string {
  return WithId.parse(JSON.parse(json)).id;
}

export interface Adopted {
  path: string;
  /** Null: the journal is empty. */
  instance: string | null;
  /** Events that were not in the ledger yet. */
  inserted: number;
  unknown: number;
}

/** What recovery needs of the store. */
export interface RecoveryStore extends Pick<LedgerStore, 'adopt' | 'putBack' | 'noteGap'> {
  /** Milliseconds since the last heartbeat of a live instance, on Postgres's clock; null: it is not live. */
  silentMs(instanceId: string): Promise<number | null>;
  /** Begins the end of an instance: it neither borrows nor flushes any more. Returns what the store has of it. */
  fence(instanceId: string): Promise<Fenced>;
  /** Of these instances, those that have not ended as far as the store knows, with the number of the last event of each. */
  notEnded(instanceIds: readonly string[]): Promise<Map<string, number>>;
  /** Puts back a job that the store may have forgotten. @param job as the journal has it */
  putBackJob(job: unknown): Promise<void>;
}

/**
 * An instance without a heartbeat for this long admits nothing any more, wherever it runs: its leases are
 * spent for at most a minute without a reply.
 */
const SURELY_OVER_MS = 70_000;

/** A journal that was left alone, because its writer lives or, `elsewhere`, may live. */
type LeftAlone = 'alive' | 'elsewhere';

async function whyLeftAlone(store: RecoveryStore, header: JournalHeader): Promise<LeftAlone | null> {
  const writer = writerOf(header);
  if (writer !== 'elsewhere') return writer === 'alive' ? writer : null;
  const silentMs = await store.silentMs(header.instance);
  return silentMs !== null && silentMs < SURELY_OVER_MS ? writer : null;
}

/**
 * Brings one journal into the ledger and fences its writer, unless that may still live: what it was lent must not be
 * lent again. Doing it twice changes nothing.
 * @param keepFolder where older files of the journal are kept: what the store has forgotten of them comes first
 * @throws JournalDamaged, and the system's error when the file cannot be read; `StoreWentBack` when the store has forgotten
 * some of it meanwhile: then it is to be done again
 */
export async function adoptJournal(
  store: RecoveryStore,
  path: string,
  keepFolder: string | null = null,
): Promise<Adopted | LeftAlone> {
  const header = readHeader(path);
  const leftAlone = header && (await whyLeftAlone(store, header));
  if (leftAlone) return leftAlone;
  return adoptFiles(store, header, path, keepFolder);
}

async function adoptFiles(
  store: RecoveryStore,
  header: JournalHeader | null,
  path: string,
  keepFolder: string | null,
): Promise<Adopted> {
  const { events, unknown, ended, jobs } = readJournal(path);
  if (header === null) return { path, instance: null, inserted: 0, unknown };
  const { instance, number } = header;
  let inserted = 0;
  // First of all: from here on the store notices when it forgets a step.
  const fenced = await store.fence(instance);
  if (!fenced.hasEnded && fenced.flushed < number) {
    const files = keepFolder === null ? [] : keptFiles(keepFolder).get(instance);
    const earlier = (files ?? []).filter((file) => file !== path);
    const range = { after: fenced.flushed, until: number };
    inserted += await putBackEvents(store, { instanceId: instance, epoch: null, fenced }, earlier, range);
  }
  inserted += await store.adopt(instance, events, 'adopted', number + ended, null, fenced);
  // After it: the hold of a job that the store has forgotten is charged first, and corrected at the end of the job.
  for (const job of jobs) await store.putBackJob(job);
  return { path, instance, inserted, unknown };
}

/**
 * Adopts every journal in the folder whose writer is dead, and keeps or removes its file; `elsewhere` counts those of
 * which only time can tell. Safe while other instances start, stop and adopt in the same folder.
 * @param keepFolder where adopted journals go; null: they are removed
 */
export async function adoptDeadJournals(
  store: RecoveryStore,
  folder: string,
  keepFolder: string | null = null,
): Promise<{ adopted: Adopted[]; elsewhere: number }> {
  const adopted: Adopted[] = [];
  let elsewhere = 0;
  for (const name of readdirSync(folder).filter((file) => file.endsWith('.log'))) {
    const path = join(folder, name);
    try {
      const result = await adoptJournal(store, path, keepFolder);
      if (result === 'elsewhere') elsewhere++;
      if (typeof result === 'string') continue;
      adopted.push(result);
      // What a kill in the middle of a compaction left.
      rmSync(`${path}.tmp`, { force: true });
      const header = keepFolder === null ? null : readHeader(path);
      if (keepFolder !== null && header !== null)
        renameSync(path, keptPath(keepFolder, header.instance, header.segment, true));
      else rmSync(path, { force: true });
    } catch (error) {
      // Its writer ended in good order meanwhile, or another instance adopted it.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return { adopted, elsewhere };
}

/** Returns the kept journals of instances that ended, and that have not as far as the store knows. */
export async function forgottenIn(
  store: RecoveryStore,
  keepFolder: string,
  ledger: string,
): Promise<{ path: string; header: JournalHeader }[]> {
  const last = lastFiles(keepFolder);
  if (last.size === 0) return [];
  const notEnded = await store.notEnded([...last.keys()]);
  const forgotten: { path: string; header: JournalHeader }[] = [];
  for (const [instance, path] of last) {
    const header = notEnded.has(instance) ? readHeader(path) : null;
    if (header?.ledger === ledger) forgotten.push({ path, header });
  }
  return forgotten;
}

/**
 * Adopts once more what the store has forgotten: kept journals of instances that ended, and that have not as far as the
 * store knows. Returns what was adopted.
 * @param ledger of the store: journals of another are left alone
 */
export async function adoptKept(
  store: RecoveryStore,
  keepFolder: string,
  ledger: string,
): Promise<Adopted[]> {
  const adopted: Adopted[] = [];
  for (const { path, header } of await forgottenIn(store, keepFolder, ledger)) {
    try {
      adopted.push(await adoptFiles(store, header, path, keepFolder));
    } catch (error) {
      // Its time was over just now.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return adopted;
}

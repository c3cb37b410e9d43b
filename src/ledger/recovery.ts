/**
 * Recovery: reads the journals that dead instances left and brings what they say into the ledger. Owns: telling a torn
 * tail (dropped: its write never returned, so nothing was forwarded) from damage (stops, with the place), and whether
 * the writer still lives.
 */
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, readSync, rmSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { asId, momentOfUuidV7 } from '../domain/ids.ts';
import { usd } from '../domain/money.ts';
import type { FlushEvent } from '../store/hot/flush.ts';
import type { LedgerStore } from './heartbeat.ts';
import { parseLine } from './journal.ts';

/** Who writes a journal: enough to find out whether that very process still runs. */
const JournalHeader = z.object({
  instance: z.string(),
  host: z.string(),
  /** In which of the host's process namespaces (containers) the pid counts. Empty: not known. */
  namespace: z.string(),
  pid: z.number(),
  /** Start of the process in clock ticks since boot; a pid that came round again has another. Empty: not known. */
  started: z.string(),
});
export type JournalHeader = z.infer<typeof JournalHeader>;

export function ownHeader(instanceId: string): JournalHeader {
  const { pid } = process;
  return { instance: instanceId, host: hostname(), namespace: ownNamespace(), pid, started: startOf(pid) };
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
}

/** Headers are some hundred bytes. */
const HEADER_BYTES_MAX = 4096;

/** Who wrote a journal; null: the file is empty. Throws JournalDamaged when its first line cannot be read. */
function readHeader(path: string): JournalHeader | null {
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
  const unknown = [...holds.values()].map(unknownFromHold);
  return { events: [...events.values(), ...unknown], unknown: unknown.length };
}

function damaged(path: string, line: number): JournalDamaged {
  return new JournalDamaged(
    `the journal ${path} is damaged in line ${line}. Move the file away to start without it, and keep it: it may ` +
      'hold calls that the ledger does not have',
  );
}

const WithId = z.object({ id: z.string() });

function idOf(json: string): string {
  return WithId.parse(JSON.parse(json)).id;
}

export interface Adopted {
  path: string;
  /** Events that were not in the ledger yet. */
  inserted: number;
  unknown: number;
}

/** What recovery needs of the store. */
export interface RecoveryStore extends Pick<LedgerStore, 'adopt'> {
  /** Milliseconds since the last heartbeat of a live instance, on Postgres's clock; null: it is not live. */
  silentMs(instanceId: string): Promise<number | null>;
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
 * @throws JournalDamaged, and the system's error when the file cannot be read
 */
export async function adoptJournal(store: RecoveryStore, path: string): Promise<Adopted | LeftAlone> {
  const header = readHeader(path);
  const leftAlone = header && (await whyLeftAlone(store, header));
  if (leftAlone) return leftAlone;
  const { events, unknown } = readJournal(path);
  if (header === null) return { path, inserted: 0, unknown };
  return { path, inserted: await store.adopt(header.instance, events, 'adopted'), unknown };
}

/**
 * Adopts and removes every journal in the folder whose writer is dead; `elsewhere` counts those of which only time can
 * tell. Safe while other instances start, stop and adopt in the same folder.
 */
export async function adoptDeadJournals(
  store: RecoveryStore,
  folder: string,
): Promise<{ adopted: Adopted[]; elsewhere: number }> {
  const adopted: Adopted[] = [];
  let elsewhere = 0;
  for (const name of readdirSync(folder).filter((file) => file.endsWith('.log'))) {
    const path = join(folder, name);
    try {
      const result = await adoptJournal(store, path);
      if (result === 'elsewhere') elsewhere++;
      if (typeof result === 'string') continue;
      adopted.push(result);
      // What a kill in the middle of a compaction left.
      rmSync(`${path}.tmp`, { force: true });
      rmSync(path, { force: true });
    } catch (error) {
      // Its writer ended in good order meanwhile, or another instance adopted it.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return { adopted, elsewhere };
}

/** What is read back of a row: journals outlive the process, and the release, that wrote them. */
const StoredEvent = z.object({
  id: z.uuid(),
  team_id: z.string(),
  key_id: z.string(),
  model: z.string(),
  end_user: z.string().nullish(),
  input_tokens: z.number(),
  output_tokens: z.number(),
  cost_usd: z.string(),
  allocations: z.array(z.object({ counter: z.string(), held: z.string(), settled: z.string() })),
});
const StoredHold = z.looseObject({ id: z.uuid(), hold_usd: z.string() });

/**
 * Reads back the row of an ended call.
 * @throws when it is no row of an event
 */
export function eventFromJson(json: string): FlushEvent {
  const stored = StoredEvent.parse(JSON.parse(json));
  return {
    id: stored.id,
    teamId: asId(stored.team_id),
    keyId: asId(stored.key_id),
    endUser: stored.end_user ?? null,
    model: stored.model,
    createdAtMs: momentOfUuidV7(stored.id),
    claim: {
      cost: usd(stored.cost_usd),
      input_tokens: stored.input_tokens,
      output_tokens: stored.output_tokens,
    },
    allocations: stored.allocations.map((part) => ({
      counterId: asId(part.counter),
      held: usd(part.held),
      settled: usd(part.settled),
    })),
    json,
  };
}

/** Makes the event of a call whose process died: charged at its hold until there is evidence. */
export function unknownFromHold(json: string): FlushEvent {
  const held = StoredHold.parse(JSON.parse(json));
  return eventFromJson(
    JSON.stringify({
      ...held,
      outcome: 'unknown',
      provenance: 'unknown',
      reason: 'crash',
      upstream_status: null,
      upstream_request_id: null,
      response_model: null,
      service_tier: null,
      input_tokens: 0,
      cached_input_tokens: 0,
      cache_write_tokens: 0,
      output_tokens: 0,
      reasoning_tokens: 0,
      cost_usd: held.hold_usd,
      stage_us: {},
    }),
  );
}

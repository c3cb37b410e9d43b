/**
 * The job `archive`: months of events that are old enough become files, and leave the ledger. Owns: the files of a month, a
 * Parquet file for each UTC day and a manifest with their checksums. Does not own: what may be dropped (store/archive.ts).
 * Invariants: a month is dropped only after each of its files was written, synced and read back from the disk, row by
 * row; a file has its name only once it is whole. So a crash anywhere leaves the month in the ledger, or whole in files.
 */
import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { AsyncBuffer } from 'hyparquet';
import { z } from 'zod';
import { parseUsd, usd } from '../domain/money.ts';
import { type ParquetColumns, type ParquetType, parquetOf, rowsOfParquet } from '../domain/parquet.ts';
import { formatUsd } from '../domain/quantities.ts';
import { DAY_MS } from '../domain/window.ts';
import {
  dropMonth,
  eventColumns,
  isSpread,
  type Month,
  noteWaiting,
  oldMonths,
  readEvents,
  sumsOf,
  type Waiting,
  type WrittenMonth,
  waitsFor,
} from '../store/archive.ts';
import { runAlone } from '../store/changes.ts';
import type { Database } from '../store/database.ts';

export interface ArchiveOptions {
  database: Database;
  /** Where files go; each month gets a folder in it. */
  folder: string;
  /** Whole months that stay in the ledger behind the present one. */
  keepMonths: number;
}

/** A month that left the ledger, or the reason why it did not. */
export type ArchiveEnd =
  | { outcome: 'archived'; written: WrittenMonth }
  | { outcome: 'waits'; month: Month; problem: string };

/** Any number, the same in every version of Tollgate. */
const ARCHIVE_LOCK = 8_655_428_318;

/**
 * Archives every month that is old enough. Returns how each ended; null while another replica is at it. May be cut off
 * anywhere and begins again where whole files are.
 * @throws any error of the database or the disk: the month stays in the ledger
 */
export function archiveEvents(options: ArchiveOptions, signal: AbortSignal): Promise<ArchiveEnd[] | null> {
  const { database, keepMonths } = options;
  return runAlone(database, ARCHIVE_LOCK, async (now) => {
    const ends: ArchiveEnd[] = [];
    const { sql } = database;
    const spread = await isSpread(sql);
    for (const month of await oldMonths(sql, keepMonths, now)) {
      if (signal.aborted) return ends;
      const problem = spread ? 'the ledger is spread over a cluster' : problemOf(await waitsFor(sql, month));
      ends.push(problem === null ? await archiveMonth(options, month) : { outcome: 'waits', month, problem });
    }
    for (const end of ends) if (end.outcome === 'waits') await noteWaiting(sql, end.month, end.problem);
    return ends;
  });
}

/** Returns what a month waits for as a sentence; null: for nothing. */
function problemOf({ unknown, jobs, holds, quarantined, instances }: Waiting): string | null {
  const parts = [
    [unknown, 'calls of unknown outcome: release them'],
    [jobs, 'jobs that have not ended'],
    [holds, 'durable holds'],
    [quarantined, 'events that were set aside'],
    [instances, 'instances whose journals were never adopted'],
  ] as const;
  const waiting = parts.filter(([number]) => number > 0).map(([number, what]) => `${number} ${what}`);
  return waiting.length === 0 ? null : waiting.join('; ');
}

async function archiveMonth(
  { database: { sql }, folder }: ArchiveOptions,
  month: Month,
): Promise<ArchiveEnd> {
  const home = join(folder, 'usage_events', month.name);
  const sums = await sumsOf(sql, month.start, month.end);
  const existing = await readManifest(home);
  const isWritten =
    existing !== null && existing.events === sums.events && usd(existing.cost_usd) === usd(sums.costUsd);
  const manifest =
    isWritten && (await isWhole(home, existing)) ? existing : await writeMonth(sql, home, month);
  const written: WrittenMonth = {
    month,
    events: manifest.events,
    costUsd: manifest.cost_usd,
    files: manifest.files.length,
    folder: home,
    manifestSha256: createHash('sha256')
      .update(await readFile(join(home, MANIFEST)))
      .digest('hex'),
  };
  const end = await dropMonth(sql, written);
  return end === 'changed'
    ? { outcome: 'waits', month, problem: 'events of it arrived while it was written; it is written again' }
    : { outcome: 'archived', written };
}

const MANIFEST = 'manifest.json';

const manifestOf = z.strictObject({
  format: z.literal('tollgate-archive-1'),
  table: z.literal('usage_events'),
  month: z.string(),
  events: z.int().min(0),
  cost_usd: z.string().refine((text) => parseUsd(text) !== null),
  columns: z.record(z.string(), z.enum(['decimal', 'moment', 'count', 'text', 'flag'])),
  files: z.array(
    z.strictObject({
      name: z.string().regex(/^[\w.-]+$/),
      bytes: z.int().min(0),
      sha256: z.string(),
      events: z.int().min(0),
      cost_usd: z.string(),
    }),
  ),
});
type Manifest = z.output<typeof manifestOf>;

/** Returns null where there is none, or one that was never finished. */
async function readManifest(home: string): Promise<Manifest | null> {
  try {
    return manifestOf.parse(JSON.parse(await readFile(join(home, MANIFEST), 'utf8')));
  } catch {
    return null;
  }
}

/** Whether each file is on the disk as it was written, to the last byte. */
async function isWhole(home: string, { files }: Manifest): Promise<boolean> {
  for (const { name, sha256 } of files) {
    const found = await hashOf(join(home, name)).catch(() => null);
    if (found !== sha256) return false;
  }
  return true;
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk);
  return hash.digest('hex');
}

async function writeMonth(sql: Database['sql'], home: string, month: Month): Promise<Manifest> {
  await mkdir(home, { recursive: true });
  await syncFolder(dirname(home));
  await syncFolder(dirname(dirname(home)));
  // What an attempt before left: its manifest first, so that none names a file that is gone.
  for (const name of [MANIFEST, ...(await readdir(home))]) await rm(join(home, name), { force: true });
  const columns = await eventColumns(sql);
  const files: Manifest['files'] = [];
  for (let ms = month.start.getTime(); ms < month.end.getTime(); ms += DAY_MS) {
    const day = new Date(ms);
    const name = `usage_events-${day.toISOString().slice(0, 10)}.parquet`;
    const file = await writeDay(readEvents(sql, columns, day, new Date(ms + DAY_MS)), columns, home, name);
    if (file !== null) files.push(file);
  }
  // Each file has its name on the disk before the manifest names it.
  await syncFolder(home);
  const cost = files.reduce((sum, file) => sum + usd(file.cost_usd), 0n);
  const events = files.reduce((sum, file) => sum + file.events, 0);
  const sums = { events, cost_usd: formatUsd(cost) };
  const manifest: Manifest = {
    ...{ format: 'tollgate-archive-1', table: 'usage_events', month: month.name },
    ...sums,
    columns,
    files,
  };
  await writeFile(home, MANIFEST, [Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`)]);
  await syncFolder(home);
  return manifest;
}

type Rows = AsyncIterable<readonly (Record<string, unknown> & { created_at: Date })[]>;

/** What makes two sequences of rows the same: each value of each row, in order. */
class RowSums {
  readonly #columns: readonly [name: string, type: ParquetType][];
  readonly #hash: Hash = createHash('sha256');
  events = 0;
  cost = 0n;

  constructor(columns: ParquetColumns) {
    this.#columns = Object.entries(columns);
  }

  add(rows: readonly Record<string, unknown>[]): void {
    for (const row of rows) {
      this.events++;
      this.cost += usd(String(row.cost_usd));
      this.#hash.update(JSON.stringify(this.#columns.map(([name, type]) => textOf(type, row[name]))));
    }
  }

  digest(): string {
    return this.#hash.digest('hex');
  }
}

/** A decimal is the same with more zeros at its end. */
function textOf(type: ParquetType, value: unknown): string | null {
  if (value === null || value === undefined) return null;
  if (value instanceof Date) return value.toISOString();
  return type === 'decimal' ? formatUsd(usd(String(value))) : String(value);
}

/** Writes the file of a day, and reads it back. Returns null where the day has no events. */
async function writeDay(
  batches: Rows,
  columns: ParquetColumns,
  home: string,
  name: string,
): Promise<Manifest['files'][number] | null> {
  const sums = new RowSums(columns);
  const counted = async function* () {
    for await (const rows of batches) {
      sums.add(rows);
      yield rows;
    }
  };
  const { bytes, sha256 } = await writeFile(home, name, parquetOf(columns, counted()));
  const path = join(home, name);
  if (sums.events === 0) {
    await rm(path);
    return null;
  }
  const read = new RowSums(columns);
  for await (const rows of readBack(path, bytes)) read.add(rows);
  if ((await hashOf(path)) !== sha256 || read.digest() !== sums.digest())
    throw new Error(`${path} does not hold what was written: the month stays in the ledger`);
  return { name, bytes, sha256, events: sums.events, cost_usd: formatUsd(sums.cost) };
}

/** Yields the rows of a file, from the disk. */
async function* readBack(path: string, byteLength: number) {
  const handle = await open(path, 'r');
  try {
    const file: AsyncBuffer = {
      byteLength,
      async slice(start, end = byteLength) {
        const bytes = new Uint8Array(end - start);
        const { bytesRead } = await handle.read(bytes, 0, bytes.length, start);
        if (bytesRead !== bytes.length) throw new Error(`${path} ends early`);
        return bytes.buffer;
      },
    };
    yield* rowsOfParquet(file);
  } finally {
    await handle.close();
  }
}

/** Writes a file under another name, syncs it, and gives it its name: it is there whole or not at all. */
async function writeFile(
  home: string,
  name: string,
  pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<{ bytes: number; sha256: string }> {
  const path = join(home, name);
  const hash = createHash('sha256');
  let bytes = 0;
  const handle = await open(`${path}.tmp`, 'w', 0o600);
  try {
    for await (const piece of pieces) {
      hash.update(piece);
      bytes += piece.length;
      await handle.appendFile(piece);
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(`${path}.tmp`, path);
  return { bytes, sha256: hash.digest('hex') };
}

/** Windows has no such thing as a folder's sync. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * The journal: an append-only file of what this instance promised and what came of it. Owns: order, checksums, when
 * bytes reach the kernel and the disk. Invariant: a call is forwarded only after the write() of its hold returned, so
 * that a killed process leaves a trace of everything it started.
 *
 * A line is `<crc32, 8 hex digits> <J|H|S> <json>`: H is a hold, S the event that ended it, J the header, always first.
 * The type is under the checksum too, as its start value.
 */
import {
  closeSync,
  existsSync,
  fdatasync,
  fsyncSync,
  linkSync,
  openSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { crc32 } from 'node:zlib';
import { z } from 'zod';

export type LineType = 'J' | 'H' | 'S';

/** Who writes a journal: enough to find out whether that very process still runs. */
export const JournalHeader = z.object({
  instance: z.string(),
  host: z.string(),
  /** In which of the host's process namespaces (containers) the pid counts. Empty: not known. */
  namespace: z.string(),
  pid: z.number(),
  /** Start of the process in clock ticks since boot; a pid that came round again has another. Empty: not known. */
  started: z.string(),
  /** Which file of this journal it is, from 0; and the number of the last event before those in it. */
  segment: z.number().default(0),
  number: z.number().default(0),
  /** Whose journal it is: the ledger that its events belong to. Empty: not known. */
  ledger: z.string().default(''),
});
export type JournalHeader = z.infer<typeof JournalHeader>;

export function formatLine(type: LineType, json: string): string {
  return `${checksum(type, json)} ${type} ${json}\n`;
}

function checksum(type: LineType, json: string | Buffer): string {
  return crc32(json, type.charCodeAt(0)).toString(16).padStart(8, '0');
}

/** Checksum, blank, type, blank. */
const PREFIX_BYTES = 11;
const LINE_FEED = 10;
/** Lines of one turn of the event loop; it grows when there are more. */
const BUFFER_BYTES = 256 * 1024;

/** Reads one line back, without its line feed; null: it is damaged. */
export function parseLine(line: string): { type: LineType; json: string } | null {
  const type = line[9] as LineType;
  const json = line.slice(11);
  if (!'JHS'.includes(type) || line !== formatLine(type, json).slice(0, -1)) return null;
  return { type, json };
}

export interface JournalOptions {
  path: string;
  /** What identifies the writer, for the header line. */
  header: Partial<JournalHeader>;
  /** Called when a write fails (disk full, read-only): until `recover` succeeds nothing may be admitted. */
  onBroken?: (error: Error) => void;
  /** A callback of `written` threw: an error of ours, which must not keep the others waiting. */
  onUnexpectedError?: (error: unknown) => void;
  /** Milliseconds between two fdatasync calls while there is something to sync. */
  syncEveryMs?: number;
  /** Size at which the journal is rewritten with only what is still open. */
  compactAtBytes?: number;
  /**
   * Where a file goes that is not needed any more: the store may turn out to have forgotten what is in it. Missing: it
   * is deleted.
   */
  keepFolder?: string | null;
}

export class Journal {
  readonly path: string;
  readonly #options: JournalOptions;
  #file: number;
  #buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  /** Bytes of it that are not written yet. */
  #pending = 0;
  #waiting: ((written: boolean) => void)[] = [];
  #scheduled = false;
  #bytes = 0;
  /** Files so far, this one not counted; and how many events had ended before the first in it. */
  #segment = 0;
  #number = 0;
  readonly #compactAtBytesMin: number;
  #compactAtBytes: number;
  /** Since when there are bytes that no sync has begun to bring to the disk, and since when those of the sync under way. */
  #dirtySinceMs: number | null = null;
  #syncingSinceMs: number | null = null;
  #syncTimer: NodeJS.Timeout | null = null;
  #broken: Error | null = null;
  #isClosed = false;

  /** @throws when the file cannot be made: the data folder must be writable */
  constructor(options: JournalOptions) {
    this.path = options.path;
    this.#options = options;
    this.#compactAtBytesMin = options.compactAtBytes ?? 64 * 1024 * 1024;
    this.#compactAtBytes = this.#compactAtBytesMin;
    // Under its name there is never a journal without its header: who finds it knows whose it is.
    this.#file = this.#replace('');
  }

  /** Null while the journal can be written; it cannot after a failure, until `recover`, nor once it is closed. */
  get broken(): Error | null {
    return this.#broken;
  }

  get pendingBytes(): number {
    return this.#pending;
  }

  /** Age of the oldest bytes that were written and may not be on the disk. */
  get unsyncedMs(): number {
    const sinceMs = this.#syncingSinceMs ?? this.#dirtySinceMs;
    return sinceMs === null ? 0 : performance.now() - sinceMs;
  }

  /** Whether so much was written that `compact` should be called. */
  get wantsCompaction(): boolean {
    return this.#bytes > this.#compactAtBytes && !this.#broken;
  }

  /** Adds a line; it is written with all others of this turn of the event loop, in one write(). */
  append(type: 'H' | 'S', json: string): void {
    if (this.#broken) return;
    // A text that was put together is made one first: writing its pieces takes longer.
    json.charCodeAt(0);
    const most = PREFIX_BYTES + 3 * json.length + 1;
    if (this.#pending + most > this.#buffer.length) this.#makeRoom(most);
    const start = this.#pending + PREFIX_BYTES;
    const end = start + this.#buffer.write(json, start);
    const prefix = `${checksum(type, this.#buffer.subarray(start, end))} ${type} `;
    this.#buffer.write(prefix, this.#pending, 'latin1');
    this.#buffer[end] = LINE_FEED;
    this.#pending = end + 1;
    this.#schedule();
  }

  /** Lines that do not fit any more are written at once, or the buffer grows for a line that is longer than all of it. */
  #makeRoom(bytes: number): void {
    this.flush();
    if (this.#pending + bytes > this.#buffer.length) {
      this.#buffer = Buffer.allocUnsafeSlow(this.#pending + bytes);
    }
  }

  /** Calls back once everything appended so far was written (true), or the journal is broken (false). */
  written(callback: (written: boolean) => void): void {
    this.#waiting.push(callback);
    this.#schedule();
  }

  #schedule() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#flushTurn);
  }

  readonly #flushTurn = () => {
    this.#scheduled = false;
    this.flush();
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const callback of waiting) {
      try {
        callback(this.#broken === null);
      } catch (error) {
        this.#options.onUnexpectedError?.(error);
      }
    }
  };

  /** Writes what is buffered, now. */
  flush(): void {
    if (this.#pending === 0 || this.#broken) return;
    const lines = this.#buffer.subarray(0, this.#pending);
    this.#pending = 0;
    try {
      this.#bytes += writeAll(this.#file, lines);
      this.#dirtySinceMs ??= performance.now();
      this.#syncSoon();
    } catch (error) {
      this.#break(error as Error);
    }
  }

  #break(error: Error) {
    this.#broken = error;
    this.#options.onBroken?.(error);
  }

  #syncSoon() {
    if (this.#syncTimer || this.#syncingSinceMs !== null) return;
    this.#syncTimer = setTimeout(() => {
      this.#syncTimer = null;
      this.#syncingSinceMs = this.#dirtySinceMs;
      this.#dirtySinceMs = null;
      const file = this.#file;
      fdatasync(file, (error) => {
        this.#syncingSinceMs = null;
        // A file that was replaced meanwhile, or closed: the one in its place is on disk, or none is needed any more.
        if (error && file === this.#file && error.code !== 'EBADF') this.#break(error);
        else if (this.#dirtySinceMs !== null && !this.#broken) this.#syncSoon();
      });
    }, this.#options.syncEveryMs ?? 50);
  }

  /**
   * Replaces the journal by one that holds only these lines (open holds, events not yet flushed), atomically: a crash
   * leaves the old file or the new one, and either is complete. When there is no room for a second file, the old
   * one is kept.
   * @param number of the last event before those in the lines
   */
  compact(lines: Iterable<string>, number = 0): void {
    this.flush();
    if (this.#broken) return;
    this.#rewrite(lines, number);
    // While Postgres is away nearly all of it is still needed: writing that again at once would gain nothing.
    this.#compactAtBytes = Math.max(this.#compactAtBytesMin, 2 * this.#bytes);
  }

  /**
   * Goes on after a failure, in a new file that holds only these lines (open holds, events not yet flushed). Returns
   * whether the journal can be written: not while the disk still fails, nor once it is closed.
   */
  recover(lines: Iterable<string>, number = 0): boolean {
    if (this.#broken === null || this.#isClosed) return this.#broken === null;
    if (!this.#rewrite(lines, number)) return false;
    this.#pending = 0;
    this.#broken = null;
    return true;
  }

  /** Goes on in a new file of these lines. Returns false, with the old file and number in place, where that fails. */
  #rewrite(lines: Iterable<string>, number: number): boolean {
    const old = this.#file;
    const before = { segment: this.#segment, number: this.#number };
    const kept = this.#keptPath(false);
    try {
      if (kept !== null) linkSync(this.path, kept);
      this.#segment++;
      this.#number = number;
      this.#file = this.#replace([...lines].join(''));
    } catch {
      this.#segment = before.segment;
      this.#number = before.number;
      if (kept !== null) rmSync(kept, { force: true });
      rmSync(`${this.path}.tmp`, { force: true });
      return false;
    }
    closeSync(old);
    return true;
  }

  /** The files of this journal that are there, oldest first. */
  files(): string[] {
    const { keepFolder = null, path } = this.#options;
    const id = basename(path, '.log');
    const files: string[] = [];
    for (let segment = 0; keepFolder !== null && segment < this.#segment; segment++) {
      const kept = keptPath(keepFolder, id, segment, false);
      if (existsSync(kept)) files.push(kept);
    }
    return [...files, path];
  }

  /** Where this file goes once it is not needed any more; null: it is deleted. */
  #keptPath(isLast: boolean): string | null {
    const { keepFolder = null, path } = this.#options;
    return keepFolder === null ? null : keptPath(keepFolder, basename(path, '.log'), this.#segment, isLast);
  }

  /** Makes a file of the header and these lines, on disk before it takes the journal's name; returns its descriptor. */
  #replace(lines: string): number {
    const file = openSync(`${this.path}.tmp`, 'w', 0o600);
    try {
      const place = { segment: this.#segment, number: this.#number };
      const header = formatLine('J', JSON.stringify({ ...this.#options.header, ...place }));
      const bytes = writeAll(file, Buffer.from(header + lines));
      fsyncSync(file);
      renameSync(`${this.path}.tmp`, this.path);
      this.#bytes = bytes;
      return file;
    } catch (error) {
      closeSync(file);
      throw error;
    }
  }

  /** Ends the journal; with `remove` its file is not needed any more, because everything in it is in the ledger. */
  close(remove: boolean): void {
    this.flush();
    this.#isClosed = true;
    this.#broken ??= new Error('the journal is closed');
    if (this.#syncTimer) clearTimeout(this.#syncTimer);
    closeSync(this.#file);
    if (!remove) return;
    const kept = this.#keptPath(true);
    if (kept === null) unlinkSync(this.path);
    else renameSync(this.path, kept);
  }
}

/** Names a file of an instance's journal that is kept; the last one says that the instance has ended. */
export function keptPath(folder: string, instanceId: string, segment: number, isLast: boolean): string {
  return join(folder, `${instanceId}.${segment}${isLast ? '.last' : ''}.log`);
}

/** Writes all bytes at the end of the file. Returns how many. */
function writeAll(file: number, bytes: Buffer): number {
  for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
  return bytes.length;
}

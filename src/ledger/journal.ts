/**
 * The journal: an append-only file of what this instance promised and what came of it. Owns: order, checksums, when
 * bytes reach the kernel and the disk. Invariant: a call is forwarded only after the write() of its hold returned, so
 * that a killed process leaves a trace of everything it started.
 *
 * A line is `<crc32, 8 hex digits> <H|S> <json>`: H is a hold, S the event that ended it. The first line is the header.
 */
import { closeSync, fdatasync, fsyncSync, openSync, renameSync, unlinkSync, writeSync } from 'node:fs';
import { crc32 } from 'node:zlib';

export type LineType = 'J' | 'H' | 'S';

export function formatLine(type: LineType, json: string): string {
  return `${crc32(json).toString(16).padStart(8, '0')} ${type} ${json}\n`;
}

export interface JournalOptions {
  path: string;
  /** What identifies the writer, for the header line. */
  header: Record<string, unknown>;
  /** Called once when a write fails (disk full, read-only): from then on nothing may be admitted. */
  onBroken?: (error: Error) => void;
  /** Milliseconds between two fdatasync calls while there is something to sync. */
  syncEveryMs?: number;
  /** Size at which the journal is rewritten with only what is still open. */
  compactAtBytes?: number;
}

export class Journal {
  readonly path: string;
  readonly #options: JournalOptions;
  #file: number;
  #buffer = '';
  #waiting: (() => void)[] = [];
  #scheduled = false;
  #bytes = 0;
  #dirty = false;
  #syncing = false;
  #syncTimer: NodeJS.Timeout | null = null;
  #broken: Error | null = null;

  /** @throws when the file cannot be made: the data folder must be writable */
  constructor(options: JournalOptions) {
    this.path = options.path;
    this.#options = options;
    this.#file = openSync(options.path, 'ax', 0o600);
    this.#write(formatLine('J', JSON.stringify(options.header)));
    fsyncSync(this.#file);
  }

  /** Null while the journal can be written. */
  get broken(): Error | null {
    return this.#broken;
  }

  get pendingBytes(): number {
    return this.#buffer.length;
  }

  /** Whether so much was written that `compact` should be called. */
  get wantsCompaction(): boolean {
    return this.#bytes > (this.#options.compactAtBytes ?? 64 * 1024 * 1024);
  }

  /** Adds a line; it is written with all others of this turn of the event loop, in one write(). */
  append(type: 'H' | 'S', json: string): void {
    this.#buffer += formatLine(type, json);
    this.#schedule();
  }

  /** Calls back once everything appended so far was written, or the journal is broken (see `broken`). */
  written(callback: () => void): void {
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
    for (const callback of waiting) callback();
  };

  /** Writes what is buffered, now. */
  flush(): void {
    if (this.#buffer === '' || this.#broken) return;
    const lines = this.#buffer;
    this.#buffer = '';
    try {
      this.#write(lines);
      this.#syncSoon();
    } catch (error) {
      this.#broken = error as Error;
      this.#options.onBroken?.(this.#broken);
    }
  }

  #write(lines: string) {
    const bytes = Buffer.from(lines);
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#file, bytes, at);
    this.#bytes += bytes.length;
    this.#dirty = true;
  }

  #syncSoon() {
    if (this.#syncTimer || this.#syncing) return;
    this.#syncTimer = setTimeout(() => {
      this.#syncTimer = null;
      this.#syncing = true;
      this.#dirty = false;
      fdatasync(this.#file, (error) => {
        this.#syncing = false;
        if (error && error.code !== 'EBADF') {
          this.#broken = error;
          this.#options.onBroken?.(error);
        } else if (this.#dirty && !this.#broken) this.#syncSoon();
      });
    }, this.#options.syncEveryMs ?? 50);
  }

  /**
   * Replaces the journal by one that holds only these lines (open holds, events not yet flushed), atomically: a crash
   * leaves the old file or the new one, and either tells the truth.
   */
  compact(lines: Iterable<string>): void {
    this.flush();
    const path = `${this.path}.tmp`;
    const file = openSync(path, 'w', 0o600);
    const content = Buffer.from(formatLine('J', JSON.stringify(this.#options.header)) + [...lines].join(''));
    for (let at = 0; at < content.length; ) at += writeSync(file, content, at);
    fsyncSync(file);
    renameSync(path, this.path);
    closeSync(this.#file);
    this.#file = file;
    this.#bytes = content.length;
  }

  /** Ends the journal; with `remove` its file goes too, once everything in it is in the ledger. */
  close(remove: boolean): void {
    this.flush();
    if (this.#syncTimer) clearTimeout(this.#syncTimer);
    closeSync(this.#file);
    if (remove) unlinkSync(this.path);
  }
}

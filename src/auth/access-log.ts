/**
 * Who came in, and who failed to: entries of the audit log that anyone can cause. Owns: how many of them there may be.
 * Invariant: floods of sign-ins, wrong keys and exports grow the log by a bounded number of entries an hour: the first
 * ones of a kind in an hour are kept one by one, the rest as one entry that counts them.
 */
import type { AccessEntry } from '../store/audit.ts';

/** Entries of one kind in an hour, before they are only counted. */
const SINGLE_MAX = 30;
/** Kinds in an hour, before the rest is counted together: one for each key that signs in. */
const KINDS_MAX = 1_000;

interface Hour {
  singles: number;
  /** Of what was only counted: how often, and the last one. */
  counted: number;
  last: AccessEntry | null;
  firstAtMs: number;
  lastAtMs: number;
}

export interface AccessLogOptions {
  write(entry: AccessEntry): Promise<void>;
  nowMs(): number;
  onError(error: unknown): void;
}

export class AccessLog {
  readonly #options: AccessLogOptions;
  #hours = new Map<string, Hour>();

  constructor(options: AccessLogOptions) {
    this.#options = options;
  }

  /**
   * Returns whether an entry may be written by itself; otherwise it was counted, and is part of one that is written at the
   * end of the hour. `kind`: what is bounded together (all failures; the sign-ins with one key).
   */
  admits(kind: string, entry: AccessEntry): boolean {
    const hour = this.#hourOf(kind);
    if (hour.singles < SINGLE_MAX) {
      hour.singles++;
      return true;
    }
    this.#count(hour, entry);
    return false;
  }

  /** Writes an entry, or counts it. Never fails: what cannot be written is counted. */
  note(kind: string, entry: AccessEntry): void {
    if (!this.admits(kind, entry)) return;
    this.#options.write(entry).catch((error: unknown) => {
      this.#options.onError(error);
      this.#count(this.#hourOf(kind), entry);
    });
  }

  /** Writes what was counted, and begins a new hour. To be called every hour and at the end. Never rejects. */
  async flush(): Promise<void> {
    const hours = this.#hours;
    this.#hours = new Map();
    for (const [kind, hour] of hours) {
      if (hour.last === null) continue;
      try {
        await this.#options.write(summaryOf(hour, hour.last));
      } catch (error) {
        this.#options.onError(error);
        const next = this.#hourOf(kind);
        Object.assign(next, { ...hour, singles: next.singles, counted: next.counted + hour.counted });
      }
    }
  }

  #hourOf(wanted: string): Hour {
    const kind = this.#hours.has(wanted) || this.#hours.size < KINDS_MAX ? wanted : '';
    const hour = this.#hours.get(kind) ?? { singles: 0, counted: 0, last: null, firstAtMs: 0, lastAtMs: 0 };
    this.#hours.set(kind, hour);
    return hour;
  }

  #count(hour: Hour, entry: AccessEntry): void {
    const nowMs = this.#options.nowMs();
    if (hour.counted === 0) hour.firstAtMs = nowMs;
    hour.counted++;
    hour.last = entry;
    hour.lastAtMs = nowMs;
  }
}

/** The last of those that were counted, and how many they are. */
function summaryOf({ counted, firstAtMs, lastAtMs }: Hour, last: AccessEntry): AccessEntry {
  const first_at = new Date(firstAtMs).toISOString();
  const last_at = new Date(lastAtMs).toISOString();
  return { ...last, after: { ...last.after, count: counted, first_at, last_at } };
}

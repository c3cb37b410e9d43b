/**
 * Following the catalog: a change of keys, limits, grants or prices binds here within a second, of whatever replica it
 * was. Every heartbeat brings the version along. While calls come it is asked for twice more in between; a quiet
 * instance spares itself these statements and wake-ups, and its first call finds a catalog that is at most a heartbeat
 * old.
 */
import { type StartedJob, startJob } from './every.ts';

export interface FollowOptions {
  /** The version that is known here. */
  version(): number;
  /** Looks for changes. Never rejects. */
  poll(): Promise<void>;
  /** No call has come for a while. */
  isQuiet(): boolean;
}

export interface Following {
  /** To be called with the version that a heartbeat brought. */
  heard(version: number): void;
  stop(): void;
}

/** A heartbeat comes every 800 ms: two looks before the next, and a third where that one is late. */
const BUSY_LOOKS_MS = [270, 270, 660];
/** A heartbeat may hang on a connection of its own. */
const LOOK_ANYWAY_AFTER_MS = 1200;

export function followCatalog({ version, poll, isQuiet }: FollowOptions): Following {
  let looks: number[] = [];
  let job: StartedJob | null = null;
  let isStopped = false;
  return {
    heard(heardVersion) {
      if (isStopped) return;
      if (heardVersion !== version()) void poll();
      looks = isQuiet() ? [] : [...BUSY_LOOKS_MS];
      if (job !== null) job.restart();
      // A look that hangs holds up no other.
      else
        job = startJob({ intervalMs: () => looks.shift() ?? LOOK_ANYWAY_AFTER_MS, run: () => void poll() });
    },
    stop() {
      isStopped = true;
      void job?.stop();
    },
  };
}

/**
 * Following the catalog: a change of keys, limits, grants or prices binds here within a second, of whatever replica it
 * was. Every heartbeat brings the version along. While calls come it is asked for twice more in between; a quiet
 * instance spares itself these statements and wake-ups, and its first call finds a catalog that is at most a heartbeat
 * old.
 */

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

/** A heartbeat comes every 800 ms. */
const LOOKS_AFTER_MS = [270, 540];
/** A heartbeat may hang on a connection of its own. */
const LOOK_ANYWAY_AFTER_MS = 1200;

export function followCatalog({ version, poll, isQuiet }: FollowOptions): Following {
  let looks: NodeJS.Timeout[] = [];
  let overdue: NodeJS.Timeout | null = null;
  let isStopped = false;
  const look = () => void poll();
  const stop = () => {
    for (const each of looks) clearTimeout(each);
    if (overdue !== null) clearInterval(overdue);
    looks = [];
  };
  return {
    heard(heardVersion) {
      stop();
      if (isStopped) return;
      if (heardVersion !== version()) look();
      if (!isQuiet()) looks = LOOKS_AFTER_MS.map((afterMs) => setTimeout(look, afterMs).unref());
      overdue = setInterval(look, LOOK_ANYWAY_AFTER_MS).unref();
    },
    stop() {
      isStopped = true;
      stop();
    },
  };
}

/**
 * The history of the store: whether the server that executes a transaction still has all that an instance has seen of
 * it. A promoted standby, a restored backup and an old copy of the files have forgotten the last of it, and would lend
 * the same money twice. Pure.
 */

/** A server, as it describes itself. */
export interface Server {
  /** Of `pg_control_system()`: the same for a server, its standbys and copies of its files. */
  systemIdentifier: string;
  /** A promotion raises it. */
  timeline: number;
  /** Bytes of write-ahead log that are on its disk. */
  position: number;
}

/** The row that names the history which the ledger rests on. */
export interface HistoryRow extends Server {
  /** Another one begins when the store turns out to have forgotten something. */
  epoch: string;
  /** False: instances still put back what was lost. */
  isLending: boolean;
  /** Milliseconds since the epoch, on Postgres's clock. */
  beganAtMs: number;
}

/** The row of an instance. */
export interface InstanceRow {
  status: 'live' | 'stopped' | 'adopted';
  /** In which epoch of the history it has put back what was lost; null: in none. */
  epoch: string | null;
  beats: number;
  flushed: number;
}

/** What an instance has seen of the store: it may find more, never less. */
export interface Seen extends Server {
  epoch: string;
  /** How many of its heartbeats were counted. */
  beats: number;
  /** The number of its last event that was confirmed. */
  flushed: number;
  /** When it last heard of the store, on Postgres's clock. */
  atMs: number;
}

/** An instance whose end has begun: the store may find more of it later, never less, until all of it is in the ledger. */
export interface Fenced {
  epoch: string;
  /** Its heartbeats, and what has been done since to end it. */
  beats: number;
  /** The number of the last of its events that had arrived. */
  flushed: number;
  /** Everything of it is in the ledger. */
  hasEnded: boolean;
}

/** An old primary: a server of the same system on a timeline that was left. It is never used. */
export function isOlder(server: Server, seen: Server): boolean {
  return server.systemIdentifier === seen.systemIdentifier && server.timeline < seen.timeline;
}

/** Returns what of a history does not fit the server that it lies on; null: it is this server's own. */
export function whyForeign(history: HistoryRow, server: Server): string | null {
  if (history.systemIdentifier !== server.systemIdentifier) return 'the database lies on another server now';
  if (history.timeline !== server.timeline) return `the server is on timeline ${server.timeline} now`;
  if (server.position < history.position) return 'the write-ahead log of the server is shorter than it was';
  return null;
}

const MISSING = 'the row of the instance is missing';

/** Returns what an instance misses of what it has seen of the store; null: nothing. */
function whyBehind(server: Server, own: InstanceRow | null, seen: Seen): string | null {
  if (own === null) return MISSING;
  if (own.beats < seen.beats) return `heartbeats of the instance are missing (${own.beats} of ${seen.beats})`;
  if (own.flushed < seen.flushed)
    return `events of the instance are missing (${own.flushed} of ${seen.flushed})`;
  if (server.systemIdentifier !== seen.systemIdentifier) return 'the database lies on another server now';
  if (server.timeline === seen.timeline && server.position < seen.position)
    return 'the write-ahead log of the server is shorter than it was';
  return null;
}

/**
 * Returns why an instance may neither borrow nor settle before it has put back what was lost; null: it may.
 * @param seen null: nothing was seen yet
 */
export function whyBroken(
  history: HistoryRow,
  server: Server,
  own: InstanceRow,
  seen: Seen | null,
): string | null {
  const why = whyForeign(history, server) ?? (seen && whyBehind(server, own, seen));
  if (why !== null) return why;
  const isJoined = own.epoch === history.epoch && (seen === null || seen.epoch === history.epoch);
  return isJoined ? null : 'others put back what the database had forgotten';
}

/**
 * Returns why a new epoch has to begin when an instance finds the history broken; null: another has begun one, which it
 * joins. An epoch that began before the instance last heard of the store is itself a part of what was restored.
 */
export function whyNewEpoch(
  history: HistoryRow,
  server: Server,
  own: InstanceRow | null,
  seen: Seen | null,
): string | null {
  const foreign = whyForeign(history, server);
  if (foreign !== null) return foreign;
  if (seen === null) return own === null && history.isLending ? MISSING : null;
  if (history.epoch === seen.epoch) return whyBehind(server, own, seen);
  return history.beganAtMs > seen.atMs ? null : 'the database is an older copy of itself';
}

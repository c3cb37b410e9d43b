/** The judge's records of calls and of the processes that ran them. */
import type { Amounts } from './amounts.ts';
import type { Rule, Tally } from './tally.ts';

/** Holds of about this age and older are rows in Postgres; an instance's clock may be ahead. */
export const DURABLE_AFTER_MS = 59_000;

/** A process. */
export interface Owner {
  id: string;
  /** `dead`: its journal is not adopted yet. `ended`: its journal was adopted, or it stopped. */
  state: 'alive' | 'dead' | 'ended';
  /** Its journal was adopted, or it stopped, once; the store may have forgotten that. */
  wasAdopted: boolean;
  /** Versions of the rules that it received, and when, oldest first. */
  knownVersions: { version: number; atMs: number }[];
  open: Set<CallRecord>;
  /** Calls of it that reached the upstream and are not in the ledger. */
  unbooked: number;
  /** Some of its calls last so long that their holds are rows in Postgres. */
  hasLongCalls: boolean;
  /** The store went back, and it has not put back what was lost. */
  isBehind: boolean;
  /** Calls admitted up to then have their holds in rows of their own, since it put them back. */
  putBackMs: number;
  /** How far its clock may be from Postgres's after it was frozen, until it has recovered. */
  clockErrorMs: number;
  /** Since when it runs and reaches Postgres; infinite: it does not. */
  fineSinceMs: number;
  /** It has heard of every correction of outcomes that was made until then. */
  heardMs: number;
  /** What its calls in flight hold under each rule: surely, and perhaps (it may not have known the rule). */
  inFlight: Map<Tally, { surely: bigint; perhaps: bigint }>;
  /** Teams of which a call is under way beside which no other may be, because too much money is of unknown outcome. */
  alone: Set<string>;
  /**
   * By team, what the store had when the process last read its accounts: calls of unknown outcome, and the events of
   * those that the process itself reported, whether or not their charges were corrected.
   */
  readUnknown: Map<string, { calls: ReadonlySet<string>; own: ReadonlySet<string> }>;
  /** When one of its calls last used a rule, in any window, on Postgres's clock. */
  lastUsedMs: Map<Rule, number>;
}

/** One rule, in one window, that counts a call. */
export interface Count {
  tally: Tally;
  /** Its process must have known the rule. */
  surely: boolean;
  /** It was booked when the limit was made. */
  isBase?: boolean;
  /** Where several pay in order: what the call holds of each of them, and which of them this one is. Missing: it pays alone. */
  shared?: { held: readonly bigint[]; index: number };
}

/** What a process says that a call holds of a limit: of its window, and of its raises. */
export interface HeldPart {
  limitId: string;
  windowStartsMs: number;
  held: bigint;
  raises: { id: string; held: bigint }[];
}

export interface CallReport {
  outcome: 'settled' | 'voided' | 'unknown';
  amounts: Amounts;
}

export interface CallFacts {
  id: string;
  teamId: string;
  keyId: string;
  model: string;
  endUser: string | null;
  /** `name=value`; missing or null: none. */
  tags?: readonly string[] | null;
  /** In which its process counts it: its team's, then the one above, …; empty: none. */
  departments: readonly string[];
  /** The time in its id. */
  atMs: number;
}

export interface CallRecord extends CallFacts {
  owner: Owner;
  hold: Amounts;
  /** What the upstream bills; null: the call never reached it. */
  bill: Amounts | null;
  /**
   * How it ended, as its process reported it; null: not reported, or the process died before the report was written.
   */
  reported: CallReport | null;
  /** The report of a process that died, or was taken for dead: it may be written or not. */
  perhapsReported: CallReport | null;
  booked: boolean;
  /** Its report was not made by its process, but taken from its event. */
  settledLate: boolean;
  /** Its hold was returned before it was forwarded. */
  cancelled: boolean;
  /** The rules that count it. */
  counts: Count[];
  /** What its process reported, before its charge was corrected; null: it was not. */
  uncorrected: CallReport | null;
  /** When its process reported it, and when its charge was corrected. */
  reportedMs: number;
  correctedMs: number;
}

/** Returns the version that binds a process: the latest that it received a second ago or longer. */
export function bindingVersionOf(owner: Owner, nowMs: number): number {
  let version = 0;
  for (const known of owner.knownVersions) if (known.atMs <= nowMs - 1000) version = known.version;
  return version;
}

/** Returns the latest version that a process received. */
export function knownVersionOf(owner: Owner): number {
  return owner.knownVersions.at(-1)?.version ?? 0;
}

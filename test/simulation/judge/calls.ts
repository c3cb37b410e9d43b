/** What the judge knows of calls and of the processes that ran them, from the outside. */
import type { Amounts } from './amounts.ts';
import type { Rule, Tally } from './tally.ts';

/** A process, as the judge follows it. */
export interface Owner {
  id: string;
  /** `dead` with a journal that nobody has read yet, `over` once it was adopted or stopped. */
  state: 'alive' | 'dead' | 'over';
  /** Versions of the rules that it was told, and when, oldest first. */
  heard: { version: number; atMs: number }[];
  open: Set<CallRecord>;
  /** Calls of it that reached the upstream and are not in the ledger. */
  unbooked: number;
  /** Some of its calls last so long that Postgres keeps what they hold. */
  hasLongCalls: boolean;
  /** How far its clock may be from Postgres's since it stood still, until it is well again. */
  clockErrorMs: number;
  /** Since when it runs and reaches Postgres without trouble; infinite: it does not. */
  fineSinceMs: number;
  /** What its calls in flight hold under each rule: surely, and perhaps (it may not have known the rule). */
  inFlight: Map<Tally, { surely: bigint; perhaps: bigint }>;
  /** When one of its calls last touched a rule, in whichever window, on Postgres's clock. */
  touchedMs: Map<Rule, number>;
}

export interface Told {
  outcome: 'settled' | 'voided' | 'unknown';
  amounts: Amounts;
}

export interface CallFacts {
  id: string;
  teamId: string;
  keyId: string;
  model: string;
  endUser: string | null;
  /** The moment in its id. */
  atMs: number;
}

export interface CallRecord extends CallFacts {
  owner: Owner;
  hold: Amounts;
  /** What the upstream bills; null: the call never reached it. */
  bill: Amounts | null;
  /** How it ended, by the word of its process; null: that has not spoken, or died before its word was written. */
  told: Told | null;
  /** Its process died, or was taken for dead, with this word perhaps written and perhaps not. */
  perhapsTold: Told | null;
  booked: boolean;
  /** It was put back before it was forwarded. */
  withdrawn: boolean;
  /** The rules that count it; `surely`: its process must have known the rule. */
  counts: { tally: Tally; surely: boolean }[];
}

/** The version that a process must obey: what it was told a second ago or longer. */
export function mustObey(owner: Owner, nowMs: number): number {
  let version = 0;
  for (const heard of owner.heard) if (heard.atMs <= nowMs - 1000) version = heard.version;
  return version;
}

export function heardOf(owner: Owner): number {
  return owner.heard.at(-1)?.version ?? 0;
}

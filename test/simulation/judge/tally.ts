/**
 * Tallies: what the judge itself adds up for each rule and window (a limit's), or for each prepaid team (its credit).
 * Nothing here is read from the ledger, but the moment at which an event came into it.
 */
import { type Grant, type Limit, ORGANIZATION_ID, type Raise } from '../../../src/domain/limit.ts';

/** An amount, from a version of the rules on. Null: the limit was deleted. */
export interface Term {
  version: number;
  amount: bigint | null;
}

export interface LimitRule {
  kind: 'limit';
  limit: Limit;
  terms: Term[];
  /** Moments from which its window counts again from nothing, in order. */
  resets: { version: number; atMs: number }[];
  raises: { version: number; raise: Raise }[];
  /** Its tallies, by the quarter of an hour. */
  byQuarter: Map<string, Tally>;
}

export interface CreditRule {
  kind: 'credit';
  teamId: string;
  grants: { grant: Grant; version: number }[];
  /** Moments at which a grant begins or expires, in order; between two of them the same grants are usable. */
  bounds: number[];
}

export type Rule = LimitRule | CreditRule;

export interface Tally {
  rule: Rule;
  /** The window's name; for a credit the start of the stretch in which the same grants are usable. */
  window: string;
  /** It counts what a raise of the limit pays, in whatever windows; null: what the limit's own amount pays in one. */
  raise: Raise | null;
  /** Worst case of the calls that were surely held against it: what they hold, or what they came to. */
  exposed: bigint;
  /** What the upstream bills for all calls that it counts; unknown ones at their hold. */
  due: bigint;
  /** The events in the ledger, at what the judge knows them to cost. */
  booked: bigint;
  /** Of `booked`: what perhaps no lease paid for, because the process did not know the rule yet. */
  loose: bigint;
  /** Reported costs above their holds. */
  overrun: bigint;
  /** The same, of calls in the ledger. */
  bookedOverrun: bigint;
  /** What was booked already when the limit was made. */
  base: bigint;
  /** Charges that were corrected, until the store forgot it: they count as before, though their money may be spent. */
  recharged: bigint;
  /** A charge that it counts was corrected. */
  isCorrected: boolean;
}

export function newTally(rule: Rule, window: string, raise: Raise | null): Tally {
  return {
    rule,
    window,
    raise,
    exposed: 0n,
    due: 0n,
    booked: 0n,
    loose: 0n,
    overrun: 0n,
    bookedOverrun: 0n,
    base: 0n,
    recharged: 0n,
    isCorrected: false,
  };
}

/** Returns the amounts of a limit that a process may use that knows `version` or a later one. */
function amountsSince({ terms }: LimitRule, version: number): (bigint | null)[] {
  const amounts: (bigint | null)[] = [];
  for (const term of terms) {
    if (term.version <= version) amounts.length = 0;
    amounts.push(term.amount);
  }
  return amounts;
}

/** The most that may be out under a limit for somebody who must obey `version`; null: nothing bounds it. */
export function mostAllowed(rule: LimitRule, version: number): bigint | null {
  let most = 0n;
  for (const amount of amountsSince(rule, version)) {
    if (amount === null) return null;
    if (amount > most) most = amount;
  }
  return most;
}

/** Returns the same for what a tally counts. */
export function mostOf({ rule, raise }: Tally, version: number): bigint | null {
  if (raise !== null) return raise.amount;
  return rule.kind === 'limit' ? mostAllowed(rule, version) : null;
}

/** Returns the least amount by which a process that knows `version` may deny; null: no rule denies. */
export function leastAllowed(rule: LimitRule, version: number): bigint | null {
  let least: bigint | null = null;
  for (const amount of amountsSince(rule, version)) {
    if (amount !== null && (least === null || amount < least)) least = amount;
  }
  return least;
}

/**
 * Returns whether a rule is a budget of its team for every process that knows `version` or later: credit or a cost
 * limit.
 */
export function surelyFunds({ rule }: Tally, version: number): boolean {
  if (rule.kind === 'credit') return true;
  return isBudget(rule) && rule.terms[0]!.version <= version && mostAllowed(rule, version) !== null;
}

/** Returns the same for at least one process that knows `version` or later. */
export function perhapsFunds({ rule }: Tally, version: number): boolean {
  if (rule.kind === 'credit') return true;
  return isBudget(rule) && amountsSince(rule, version).some((amount) => amount !== null);
}

/** Of a tag, where the limit is a team's own: what is of all teams is no budget of one. */
function isBudget({ limit: { meter, subject, teamId } }: LimitRule): boolean {
  if (subject.type === 'tag' && teamId === ORGANIZATION_ID) return false;
  return meter === 'cost_usd' && subject.type !== 'org';
}

/** Money of unknown outcome: when an instance must let the calls of a team go one at a time, and when it may. */
import { bindingVersionOf, type CallFacts, type CallRecord, knownVersionOf, type Owner } from './calls.ts';
import { expectThat } from './expectations.ts';
import type { Judge } from './judge.ts';
import { leastAllowed, mostAllowed, type Tally } from './tally.ts';

/** A limit bears this part of its amount, or the largest single charge. */
const PART = 10n;
/** By then what was corrected is no longer counted: the version binds, and what an instance had seen itself was read again. */
const FREED_MS = 3_500;

/** An instance lets a call through. Returns whether no other of its team may go beside it. */
export function letThrough(judge: Judge, owner: Owner, facts: CallFacts): boolean {
  // By its clock it may be in another window.
  if (owner.clockErrorMs > 0) return false;
  const known = unknownOf(judge, facts.teamId).filter((call) => isSurelyKnown(owner, call));
  const version = bindingVersionOf(owner, judge.nowMs());
  const isExcess = limitsOf(judge, facts).some((tally) => {
    const most = tally.rule.kind === 'limit' ? mostAllowed(tally.rule, version) : null;
    if (most === null) return false;
    const charged = chargedTo(tally, known);
    const largest = charged.reduce((max, cost) => (cost > max ? cost : max), 0n);
    return sum(charged) > (most / PART > largest ? most / PART : largest);
  });
  if (!isExcess) return false;
  const { teamId, keyId } = facts;
  expectThat(
    !owner.alone.has(teamId),
    'alone',
    () => `${owner.id} lets a call of ${keyId} go beside another one`,
  );
  owner.alone.add(teamId);
  return true;
}

/** An instance turns a call away, because another one of its team is under way. */
export function heldBack(judge: Judge, owner: Owner, facts: CallFacts): void {
  const { teamId, keyId } = facts;
  owner.heardMs = heardMsOf(owner, judge.nowMs());
  const perhaps = unknownOf(judge, teamId, owner.heardMs);
  const version = knownVersionOf(owner);
  const mayBe =
    perhaps.length > 1 &&
    (judge.rules.credits.has(teamId) ||
      limitsOf(judge, facts).some((tally) => {
        const least = tally.rule.kind === 'limit' ? leastAllowed(tally.rule, version) : null;
        return least !== null && sum(perhaps.map(({ hold }) => hold.cost)) > least / PART;
      }));
  expectThat(mayBe, 'freed', () => {
    return `${owner.id} turns a call of ${keyId} away, and ${perhaps.length} calls are of unknown outcome`;
  });
}

/** Returns until when an instance has heard of all corrections. Who cannot reach Postgres hears of none. */
export function heardMsOf({ fineSinceMs, heardMs }: Owner, nowMs: number): number {
  return fineSinceMs <= nowMs - FREED_MS ? nowMs - FREED_MS : heardMs;
}

/**
 * Calls of a team of unknown outcome that were not corrected; or that were at some moment or later: the clock stands still in
 * a step, in which a process may read first.
 */
function unknownOf(judge: Judge, teamId: string, sinceMs = Number.POSITIVE_INFINITY): CallRecord[] {
  return [...judge.unknown].filter((call) => {
    if (call.teamId !== teamId || call.cancelled) return false;
    return call.uncorrected === null || call.correctedMs >= sinceMs;
  });
}

/**
 * It was in what the process last read of its team, or the process has reported it and the store did not have it then. What
 * the store had, corrected, is known from that reading alone: that the store has forgotten the correction since, a process
 * learns when it reads again.
 */
function isSurelyKnown(owner: Owner, call: CallRecord): boolean {
  const read = owner.readUnknown.get(call.teamId);
  if (read?.calls.has(call.id)) return true;
  return call.owner === owner && !read?.own.has(call.id);
}

function limitsOf(judge: Judge, facts: CallFacts): Tally[] {
  return judge.rules
    .talliesOf(facts)
    .filter(({ rule }) => rule.kind === 'limit' && rule.limit.meter === 'cost_usd');
}

function chargedTo(tally: Tally, calls: readonly CallRecord[]): bigint[] {
  return calls
    .filter(({ counts }) => counts.some((count) => count.tally === tally))
    .map(({ hold }) => hold.cost);
}

function sum(costs: readonly bigint[]): bigint {
  return costs.reduce((all, cost) => all + cost, 0n);
}

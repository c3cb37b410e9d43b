/** What a refusal may say, and when. */
import type { Amounts } from './amounts.ts';
import type { CallFacts } from './calls.ts';
import { expectThat } from './expectations.ts';
import { amountOf, type Judge } from './judge.ts';
import { type CreditRule, type LimitRule, leastAllowed, surelyFunds, type Tally } from './tally.ts';

const REPLY_MS = 4_000;

/** What the denied asker saw of the rules. */
export interface DeniedCall extends Omit<CallFacts, 'id'> {
  smallest: Amounts;
  /** The version that its process knew when the call came. */
  knownVersion: number;
}

/** `insufficient` is final for the client: it must be true of what is spent, not of what is only held. */
export function checkInsufficient(judge: Judge, denied: DeniedCall, clockErrorMs: number): void {
  const left = leftFor(judge, denied);
  // By the clock of its process it may have been in the window before.
  const isEarly =
    clockErrorMs > 0 && leftFor(judge, { ...denied, atMs: denied.atMs - clockErrorMs }) === null;
  expectThat(left === null || isEarly || wasJustCorrected(judge, denied), 'denial', () => {
    return `a call of ${denied.keyId} needs ${denied.smallest.cost}, and there is left: ${left!.join(', ')}`;
  });
}

/** A decision may be as old as the reply of a slow Postgres: what evidence has freed since is not in it. */
function wasJustCorrected(judge: Judge, denied: DeniedCall): boolean {
  const tallies = new Set(judge.rules.talliesOf(denied));
  const sinceMs = denied.atMs - REPLY_MS;
  for (const { correctedMs, counts } of judge.unknown)
    if (correctedMs > sinceMs && counts.some(({ tally }) => tallies.has(tally))) return true;
  return false;
}

/** What every rule leaves the call; null: some rule refuses it. */
function leftFor(judge: Judge, denied: DeniedCall): string[] | null {
  const left: string[] = [];
  const tallies = judge.rules.talliesOf(denied);
  // Who has no budget at all is denied for that.
  if (!tallies.some((tally) => surelyFunds(tally, denied.knownVersion))) return null;
  for (const tally of tallies) {
    const { rule } = tally;
    if (rule.kind === 'credit') {
      const credit = creditLeft(judge, rule, denied);
      if (credit < denied.smallest.cost) return null;
      left.push(`grants ${credit}`);
      continue;
    }
    const least = leastAllowed(rule, denied.knownVersion);
    if (least === null) continue;
    const room = roomOf(judge, rule, least, denied);
    if (room < amountOf(tally, denied.smallest)) return null;
    left.push(`${rule.limit.id} ${room}`);
  }
  return left.length === 0 ? null : left;
}

/** What a limit leaves by the window that its process may take for the present one, and its raises. */
function roomOf(judge: Judge, rule: LimitRule, least: bigint, denied: DeniedCall): bigint {
  const { rules } = judge;
  const ofWindows = [...rules.talliesSince(rule, denied, denied.knownVersion)].map(({ due }) => least - due);
  const room = ofWindows.reduce((min, each) => (each < min ? each : min));
  const ofRaises = rules
    .raisesAt(rule, denied, denied.knownVersion)
    .map(({ raise, due }) => raise!.amount - due);
  return [room, ...ofRaises].reduce((sum, each) => (each > 0n ? sum + each : sum), 0n);
}

/** The least that can be left of the grants that are usable now, whichever paid for what. */
function creditLeft(judge: Judge, credit: CreditRule, { atMs, knownVersion }: DeniedCall): bigint {
  let amount = 0n;
  let sinceMs = Number.POSITIVE_INFINITY;
  for (const { grant, version } of credit.grants) {
    const expired = grant.expiresAtMs !== null && grant.expiresAtMs <= atMs;
    if (grant.startsAtMs > atMs || expired || version > knownVersion) continue;
    amount += grant.amount;
    sinceMs = Math.min(sinceMs, grant.startsAtMs);
  }
  const spent = judge.rules
    .stretches(credit)
    .filter((_, index) => (credit.bounds[index + 1] ?? Number.POSITIVE_INFINITY) > sinceMs)
    .reduce((sum: bigint, stretch: Tally) => sum + stretch.due, 0n);
  return amount - spent;
}

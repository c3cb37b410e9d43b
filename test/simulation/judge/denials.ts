/** What a refusal may say, and when. */
import type { Amounts } from './amounts.ts';
import { hold } from './broken.ts';
import type { CallFacts } from './calls.ts';
import { amountOf, type Judge } from './judge.ts';
import { leastAllowed, type PurseRule, surelyFunds, type Tally } from './tally.ts';

/** What the refused asker saw of the rules. */
export interface Refused extends Omit<CallFacts, 'id'> {
  smallest: Amounts;
  /** The version that its process had heard of when the call came. */
  heard: number;
}

/** `insufficient` is final for the client: it must be true of what is spent, not of what is only held. */
export function checkInsufficient(judge: Judge, refused: Refused, clockErrorMs: number): void {
  const left = leftFor(judge, refused);
  // By the clock of its process it may have been in the window before.
  const isEarly =
    clockErrorMs > 0 && leftFor(judge, { ...refused, atMs: refused.atMs - clockErrorMs }) === null;
  hold(left === null || isEarly, 'denial', () => {
    return `a call of ${refused.keyId} needs ${refused.smallest.cost}, and there is left: ${left!.join(', ')}`;
  });
}

/** What every rule leaves the call; null: some rule refuses it. */
function leftFor(judge: Judge, refused: Refused): string[] | null {
  const left: string[] = [];
  const tallies = judge.rules.talliesOf({ ...refused, id: 'refused' });
  // Who has no budget at all is refused for that.
  if (!tallies.some((tally) => surelyFunds(tally, refused.heard))) return null;
  for (const tally of tallies) {
    const { rule } = tally;
    if (rule.kind === 'purse') {
      const purse = purseLeft(judge, rule, refused);
      if (purse < refused.smallest.cost) return null;
      left.push(`grants ${purse}`);
      continue;
    }
    const least = leastAllowed(rule, refused.heard);
    if (least === null) continue;
    const room = least - tally.due;
    if (room < amountOf(tally, refused.smallest)) return null;
    left.push(`${rule.limit.id} ${room}`);
  }
  return left.length === 0 ? null : left;
}

/** The least that can be left of the grants that are usable now, whichever paid for what. */
function purseLeft(judge: Judge, purse: PurseRule, { atMs, heard }: Refused): bigint {
  let amount = 0n;
  let sinceMs = Number.POSITIVE_INFINITY;
  for (const { grant, version } of purse.grants) {
    const expired = grant.expiresAtMs !== null && grant.expiresAtMs <= atMs;
    if (grant.startsAtMs > atMs || expired || version > heard) continue;
    amount += grant.amount;
    sinceMs = Math.min(sinceMs, grant.startsAtMs);
  }
  const spent = judge.rules
    .stretches(purse)
    .filter((_, index) => (purse.bounds[index + 1] ?? Number.POSITIVE_INFINITY) > sinceMs)
    .reduce((sum: bigint, stretch: Tally) => sum + stretch.due, 0n);
  return amount - spent;
}

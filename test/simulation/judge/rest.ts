/** When all is calm: nothing is held, lent or waiting, all is in the ledger, and what is left can be spent. */
import type { Account } from '../../../src/domain/budget.ts';
import { departmentsOf } from '../../../src/domain/ids.ts';
import type { QueueOutcome } from '../../../src/ledger/events.ts';
import { askFor } from '../asks.ts';
import type { Chaos } from '../chaos.ts';
import { measure } from './amounts.ts';
import { expectThat } from './expectations.ts';
import { WHOLE } from './rulebook.ts';
import { surelyFunds, type Tally } from './tally.ts';

/** What a probe takes beside its money: see `askFor`. */
const SMALLEST_PROBE = { cost: 0n, input_tokens: 100, output_tokens: 1 };

/** @throws RuleBroken with what is not at rest */
export async function checkRest(chaos: Chaos): Promise<void> {
  const { judge, memory, live } = chaos;
  for (const [id, { held, leased }] of memory.counters) {
    expectThat(held === 0n && leased === 0n, 'rest', () => `${id} has ${held} held and ${leased} lent`);
  }
  for (const call of judge.calls.values()) {
    expectThat(
      call.bill === null || call.booked,
      'events',
      () => `${call.id} of ${call.owner.id} (${call.owner.state}) was forwarded and has no event`,
    );
  }
  for (const { ledger, owner } of live) {
    expectThat(ledger.blocked === null, 'rest', () => `${owner.id} admits nothing: ${ledger.blocked}`);
    expectThat(ledger.waiting === 0, 'rest', () => `${ledger.waiting} calls wait on ${owner.id}`);
  }
  for (const account of chaos.admin.accounts.values()) await probe(chaos, account);
}

/** What is left of each budget can be spent to the last cent, and not a cent more. */
async function probe(chaos: Chaos, account: Account): Promise<void> {
  const { keyId } = account.principal;
  const left = leftOf(chaos, account) ?? 0n;
  if (left > 0n) {
    const taken = await reserve(chaos, account, left);
    // A window or a grant may have ended before the answer.
    const isSame = left === (leftOf(chaos, account) ?? 0n);
    expectThat(
      taken === 'taken' || !isSame,
      'rest',
      () => `${left} is left for ${keyId}, and the decision is ${taken}`,
    );
  }
  const now = leftOf(chaos, account) ?? 0n;
  const refused = await reserve(chaos, account, (now < 0n ? 0n : now) + 1n);
  const isStill = now === (leftOf(chaos, account) ?? 0n);
  expectThat(
    refused === 'insufficient' || !isStill,
    'rest',
    () => `${now} is left for ${keyId}, and for more it is ${refused}`,
  );
}

/** The least that any rule leaves; null: there is no budget at all. */
function leftOf({ judge, memory }: Chaos, { principal, departments }: Account): bigint | null {
  const nowMs = judge.nowMs();
  let least: bigint | null = null;
  const call = {
    ...principal,
    model: 'gpt-4o',
    endUser: null,
    departments: departmentsOf(departments),
    id: 'probe',
    atMs: nowMs,
  };
  const tallies = judge.rules.talliesOf(call);
  if (!tallies.some((tally) => surelyFunds(tally, judge.rules.version))) return null;
  for (const tally of tallies) {
    const { rule } = tally;
    const raises = rule.kind === 'limit' ? judge.rules.raisesAt(rule, call, judge.rules.version) : [];
    const left = leftUnder(tally, raises, nowMs, (grantId) => {
      for (const { spec, settled } of memory.counters.values()) if (spec.sourceId === grantId) return settled;
      return 0n;
    });
    if (left !== null && (least === null || left < least)) least = left;
  }
  return least;
}

/** Which grant paid for which call only the ledger knows; that the sums are right was checked. */
function leftUnder(
  { rule, window, booked }: Tally,
  raises: readonly Tally[],
  nowMs: number,
  settledOf: (grantId: string) => bigint,
) {
  if (rule.kind === 'limit') {
    const { amount } = rule.terms.at(-1)!;
    if (amount === null) return null;
    const ofRaises = raises
      .map(({ raise, booked: used }) => raise!.amount - used)
      .filter((rest) => rest > 0n);
    // What was spent beyond the limit's own amount no raise makes up for.
    const own = ofRaises.length > 0 && amount < booked ? 0n : amount - booked;
    const left = ofRaises.reduce((sum, rest) => sum + rest, own);
    if (rule.limit.meter === 'cost_usd') return left;
    // No money makes up for a request or a token that is not left.
    return left < measure(rule.limit.meter, SMALLEST_PROBE) ? 0n : null;
  }
  if (window !== WHOLE) return null;
  let left = 0n;
  for (const { grant } of rule.grants) {
    const usable = grant.startsAtMs <= nowMs && (grant.expiresAtMs === null || grant.expiresAtMs > nowMs);
    const rest = grant.amount - settledOf(grant.id);
    if (usable && rest > 0n) left += rest;
  }
  return left;
}

/** Reserves on the first instance, waits for the decision, and returns the money. */
async function reserve(chaos: Chaos, account: Account, cost: bigint): Promise<string> {
  const { ledger, owner } = chaos.live[0]!;
  chaos.judge.used(owner, chaos.judge.rules.tallies());
  const asked = ledger.reserve(askFor(account, cost));
  let answer: QueueOutcome | null = asked.kind === 'queued' ? null : asked;
  if (asked.kind === 'queued') {
    asked.onOutcome = (outcome) => {
      answer = outcome;
    };
    for (let waited = 0; answer === null && waited < 15_000; waited += 100) await chaos.time.advance(100);
  }
  return whatCame(chaos, answer);
}

function whatCame(chaos: Chaos, outcome: QueueOutcome | null): string {
  if (outcome === null) return 'nothing';
  if (outcome.kind === 'denial') return outcome.reason;
  if (outcome.kind !== 'hold') return outcome.kind;
  chaos.live[0]!.ledger.cancel(outcome);
  return 'taken';
}

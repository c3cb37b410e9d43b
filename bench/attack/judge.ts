/**
 * The judge of an attack. Pure. What was spent is what the upstream's invoice says; what a gateway wrote down is held
 * against it line by line, under the id that both know a call by.
 */
import { momentOfUuidV7 } from '../../src/domain/ids.ts';
import type { PicoUsd } from '../../src/domain/money.ts';
import type { InvoiceLine } from '../../src/simulator/invoice.ts';
import type { Denial } from './crowd.ts';
import type { BookedCall } from './gateways.ts';

export interface Verdict {
  /** Calls that reached the upstream. */
  calls: number;
  billed: PicoUsd;
  overspend: PicoUsd;
  /** Charged for calls whose outcome nobody can know: killed in flight. */
  unknown: PicoUsd;
  /** Settled, of what was neither left nor unknown. */
  settled: PicoUsd;
  /** Neither settled nor unknown when all was over. */
  unused: PicoUsd;
  /** Lines of the invoice that nobody wrote down, and ids that were written down more than once. */
  lost: number;
  double: number;
  /** Calls that were written down with another cost than was billed, or as unknown below their bill. */
  wrong: number;
  falseDenials: number;
}

export interface Evidence {
  amount: PicoUsd;
  lines: readonly InvoiceLine[];
  booked: readonly BookedCall[];
  denials: readonly Denial[];
}

export function judge({ amount, lines, booked, denials }: Evidence): Verdict {
  const byId = new Map(booked.map((call) => [call.id, call]));
  const sum = (amounts: PicoUsd[]) => amounts.reduce((total, each) => total + each, 0n);
  const billed = sum(lines.map(costOf));
  const unknown = sum(booked.filter(({ outcome }) => outcome === 'unknown').map(({ cost }) => cost));
  const settled = sum(booked.filter(({ outcome }) => outcome !== 'unknown').map(({ cost }) => cost));
  const left = amount - unknown - settled;
  return {
    calls: lines.length,
    billed,
    overspend: billed > amount ? billed - amount : 0n,
    unknown,
    settled,
    unused: left > 0n ? left : 0n,
    lost: lines.filter((line) => !byId.has(line.client_request_id ?? '')).length,
    double: booked.length - byId.size,
    wrong: lines.filter((line) => isWrong(line, byId.get(line.client_request_id ?? ''))).length,
    falseDenials: falseDenials({ amount, lines, booked, denials }),
  };
}

function costOf(line: InvoiceLine): PicoUsd {
  return BigInt(line.cost_pico_usd);
}

function isWrong(line: InvoiceLine, call: BookedCall | undefined): boolean {
  if (!call) return false;
  return call.outcome === 'unknown' ? call.cost < costOf(line) : call.cost !== costOf(line);
}

/** The gateways' clocks follow Postgres's, the clients' is the machine's: both are here, and this is far above their difference. */
const CLOCK_SLACK_MS = 100;

/**
 * How often `insufficient_quota` was spoken though there was money. At its moment a call may be refused for good only if
 *
 *     billed + true cost in flight + the call's smallest useful bound > amount − unknown.
 *
 * All of it is known afterwards. A call's id bears the moment of its admission, and its line the whole that it came to
 * cost: so the lines of all calls admitted up to a moment are what was billed and the true cost of what was in flight. A
 * call of unknown outcome counts at what it stays charged with, in place of its line (counted twice it would excuse
 * refusals), and it counts from its admission on, because nobody gave that money back before.
 *
 * The moment at which a gateway decided lies before the one at which the client had read the refusal, and what is
 * spent only grows. So all that was spent until the client knew is at least what the gateway could have known: a denial
 * that even this leaves room for was false for certain. The number can be too low by what was spent between those two
 * moments, milliseconds apart, and never too high.
 */
function falseDenials({ amount, lines, booked, denials }: Evidence): number {
  const costs = new Map(lines.map((line) => [line.client_request_id ?? '', costOf(line)]));
  for (const { id, outcome, cost } of booked) if (outcome === 'unknown') costs.set(id, cost);
  const spending = [...costs].map(([id, cost]) => ({ atMs: momentOfUuidV7(id), cost }));
  spending.sort((a, b) => a.atMs - b.atMs);
  let spent = 0n;
  let next = 0;
  let found = 0;
  for (const { atMs, needed } of denials.toSorted((a, b) => a.atMs - b.atMs)) {
    const untilMs = atMs + CLOCK_SLACK_MS;
    while (next < spending.length && spending[next]!.atMs <= untilMs) spent += spending[next++]!.cost;
    if (spent + needed <= amount) found++;
  }
  return found;
}

/**
 * Replay: what a limit would have denied, had it existed while these calls came. It goes by what the calls used,
 * where the gateway holds what they could use at worst, so it never shows more denials than there would have been. Pure.
 */

import type { Limit } from './limit.ts';
import { type Claim, claimed } from './quantities.ts';

export interface ReplayedCall {
  atMs: number;
  /** How long it ran. */
  durationMs: number;
  /** For whom a limit counts it that counts end users, or values of a tag, apart. */
  user: string;
  claim: Claim;
}

export interface Replayed {
  calls: number;
  denied: number;
  firstDeniedAtMs: number | null;
  /** What the limit would count at the end, of whom it counts most; with the denied calls, because they were made. */
  used: bigint;
}

/** What a limit counts at a moment: what was used and has not left the window since. */
class Sum {
  amount: bigint;
  /** Those that leave, the next to leave first. */
  readonly #leaving: { atMs: number; amount: bigint }[] = [];
  #gone = 0;

  constructor(amount: bigint) {
    this.amount = amount;
  }

  add(amount: bigint, leavesAtMs: number | null): void {
    this.amount += amount;
    if (leavesAtMs === null) return;
    let place = this.#leaving.length;
    while (place > this.#gone && (this.#leaving[place - 1]?.atMs ?? 0) > leavesAtMs) place--;
    this.#leaving.splice(place, 0, { atMs: leavesAtMs, amount });
  }

  leaveUntil(atMs: number): void {
    for (; ; this.#gone++) {
      const next = this.#leaving[this.#gone];
      if (next === undefined || next.atMs > atMs) return;
      this.amount -= next.amount;
    }
  }
}

/**
 * Replays calls, oldest first, that the limit counts all.
 * @param before what the limit's window had counted before the first of them
 */
export function replay(
  limit: Limit,
  calls: readonly ReplayedCall[],
  before: bigint,
  nowMs: number,
): Replayed {
  const { subject } = limit;
  const isEach =
    (subject.type === 'user' && subject.id === null) || (subject.type === 'tag' && subject.value === null);
  const admitted = new Map<string, Sum>();
  const made = new Map<string, Sum>();
  const result: Replayed = { calls: calls.length, denied: 0, firstDeniedAtMs: null, used: before };
  for (const call of calls) {
    const whom = isEach ? call.user : '';
    const amount = claimed(limit.meter, call.claim);
    const leavesAtMs = leavesAt(limit, call);
    const sum = sumOf(admitted, whom, before);
    sumOf(made, whom, before).add(amount, leavesAtMs);
    sum.leaveUntil(call.atMs);
    if (limit.enforcement === 'strict' && sum.amount + amount > limit.amount) {
      result.denied++;
      result.firstDeniedAtMs ??= call.atMs;
    } else sum.add(amount, leavesAtMs);
  }
  for (const sum of made.values()) sum.leaveUntil(nowMs);
  const most = [...made.values()].reduce((highest, sum) => (sum.amount > highest ? sum.amount : highest), 0n);
  if (made.size > 0) result.used = most;
  return result;
}

function sumOf(sums: Map<string, Sum>, whom: string, before: bigint): Sum {
  const known = sums.get(whom);
  if (known) return known;
  const sum = new Sum(before);
  sums.set(whom, sum);
  return sum;
}

/** Null: what is used in a calendar window, or for ever, does not leave it. */
function leavesAt({ meter, window }: Limit, { atMs, durationMs }: ReplayedCall): number | null {
  if (meter === 'concurrency') return atMs + durationMs;
  return window.type === 'rolling' ? atMs + window.seconds * 1000 : null;
}

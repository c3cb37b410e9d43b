/**
 * Unknown money: charges of a team's calls whose outcome is not known. Owns: when there is so much of it that the team's
 * calls go one at a time. Pure.
 */
import { type Account, type CallKind, isUsable, touches, type UnknownCall } from './budget.ts';
import { rangeOf } from './counter.ts';
import type { GrantId, LimitId } from './ids.ts';
import type { PicoUsd } from './money.ts';
import { includesModel } from './price.ts';
import { tagNamed } from './tags.ts';

/** A budget of which too much is charged for calls of unknown outcome. */
export interface UnknownExcess {
  source: 'limit' | 'grant';
  /** Null: the grants of the team together. */
  sourceId: LimitId | GrantId | null;
  unknown: PicoUsd;
  /** Up to here its calls go side by side. */
  most: PicoUsd;
  calls: readonly UnknownCall[];
}

/** Without a rule of its own a limit bears this part of its amount, or one call's hold if that is more. */
const PART = 10n;

/** Returns the first budget of a call that bears more unknown money than it may; null: none does. */
export function unknownExcess(
  account: Account,
  kind: CallKind,
  calls: readonly UnknownCall[],
  nowMs: number,
): UnknownExcess | null {
  if (calls.length === 0) return null;
  for (const limit of account.limits) {
    if (limit.meter !== 'cost_usd' || !touches(limit, kind)) continue;
    const { startMs } = rangeOf(limit, nowMs);
    const { subject, models } = limit;
    const counted = calls.filter(
      ({ admittedMs, keyId, endUser, tags = null, model }) =>
        admittedMs >= startMs &&
        (subject.type !== 'key' || subject.id === keyId) &&
        (subject.type !== 'user' || kind.endUser === endUser) &&
        (subject.type !== 'tag' ||
          tagNamed(tags, subject.name) === tagNamed(kind.tags ?? null, subject.name)) &&
        includesModel(models, model),
    );
    const { amount, maxHold, maxUnknown } = limit;
    const most = maxUnknown ?? usualMost(amount, maxHold, counted);
    const unknown = sumOf(counted);
    if (unknown > most) return { source: 'limit', sourceId: limit.id, unknown, most, calls: counted };
  }
  if (!account.prepaid) return null;
  // Grants are spent together, so they bear it together.
  const borne = account.grants.reduce(
    (sum, grant) => sum + (isUsable(grant, nowMs) ? (grant.maxUnknown ?? grant.amount / PART) : 0n),
    0n,
  );
  const single = largestOf(calls);
  const most = borne > single ? borne : single;
  const unknown = sumOf(calls);
  return unknown > most ? { source: 'grant', sourceId: null, unknown, most, calls } : null;
}

function usualMost(amount: PicoUsd, maxHold: PicoUsd | null, calls: readonly UnknownCall[]): PicoUsd {
  const hold = maxHold ?? largestOf(calls);
  return amount / PART > hold ? amount / PART : hold;
}

function largestOf(calls: readonly UnknownCall[]): PicoUsd {
  return calls.reduce((most, { charged }) => (charged > most ? charged : most), 0n);
}

function sumOf(calls: readonly UnknownCall[]): PicoUsd {
  return calls.reduce((sum, { charged }) => sum + charged, 0n);
}

/** Outlook: from what a team has and how fast it spends, what is left, what is tightest, and when it runs out. Pure. */
import type { PicoUsd } from '../domain/money.ts';
import { DAY_MS } from '../domain/window.ts';
import type { TeamBudget } from '../store/budgets.ts';

/** Spending that goes on as it did: so much in so long. */
export interface Pace {
  spent: PicoUsd;
  inMs: number;
}

export interface Outlook {
  /** What the tightest budget of cost leaves; null: none bounds the team. */
  remaining: PicoUsd | null;
  exhaustsAtMs: number | null;
  /** The budget of which most is used, of whatever meter. */
  tightest: { source: 'limit' | 'grant'; id: string; usedRatio: number; resetsAtMs: number | null } | null;
}

/** Later than this is no forecast. */
const HORIZON_MS = 10 * 365 * DAY_MS;

export function outlookOf(budgets: TeamBudget[], isPrepaid: boolean, pace: Pace, nowMs: number): Outlook {
  const grants = budgets.filter((budget) => budget.source === 'grant');
  const limits = budgets.filter((budget) => budget.source === 'limit');
  const purses = [
    ...limits
      .filter((limit) => limit.meter === 'cost_usd' && !limit.isPartial)
      .map((limit) => ({ left: leftOf(limit), exhaustsAtMs: limitExhausted(limit, pace, nowMs) })),
    ...(isPrepaid
      ? [{ left: sum(grants.map(leftOf)), exhaustsAtMs: creditExhausted(grants, pace, nowMs) }]
      : []),
  ];
  return {
    remaining: purses.map((purse) => purse.left).reduce<PicoUsd | null>(smaller, null),
    exhaustsAtMs: purses.map((purse) => purse.exhaustsAtMs).reduce(sooner, null),
    tightest: tightestOf(grants, limits),
  };
}

/** What will be spent until a moment, if it goes on as it did. */
export function spentUntil({ spent, inMs }: Pace, nowMs: number, untilMs: number): PicoUsd {
  return inMs <= 0 ? 0n : (spent * BigInt(Math.max(untilMs - nowMs, 0))) / BigInt(inMs);
}

function leftOf({ amount, settled }: TeamBudget): bigint {
  return amount > settled ? amount - settled : 0n;
}

const sum = (amounts: bigint[]) => amounts.reduce((total, amount) => total + amount, 0n);
const smaller = (a: bigint | null, b: bigint) => (a === null || b < a ? b : a);
const sooner = (a: number | null, b: number | null) => (a === null ? b : b === null ? a : Math.min(a, b));

/** Null when its window ends before: then it begins anew. */
function limitExhausted(limit: TeamBudget, pace: Pace, nowMs: number): number | null {
  const atMs = spentAt(leftOf(limit), pace, nowMs);
  return atMs === null || (limit.endsAtMs !== null && atMs >= limit.endsAtMs) ? null : atMs;
}

/** When the money of all grants is spent, or the last of them has expired. */
function creditExhausted(grants: TeamBudget[], pace: Pace, nowMs: number): number | null {
  const lastMs = grants.reduce<number>(
    (latest, { endsAtMs }) => Math.max(latest, endsAtMs ?? Number.POSITIVE_INFINITY),
    nowMs,
  );
  return sooner(
    spentAt(sum(grants.map(leftOf)), pace, nowMs),
    lastMs === Number.POSITIVE_INFINITY ? null : lastMs,
  );
}

function spentAt(left: PicoUsd, { spent, inMs }: Pace, nowMs: number): number | null {
  if (left === 0n) return nowMs;
  if (spent <= 0n) return null;
  const ms = (left * BigInt(inMs)) / spent;
  return ms > HORIZON_MS ? null : nowMs + Number(ms);
}

/** Grants count as one: the first that has money left stands for them. */
function tightestOf(grants: TeamBudget[], limits: TeamBudget[]): Outlook['tightest'] {
  const rows = limits.map((limit) => ({
    source: limit.source,
    id: limit.id,
    usedRatio: ratio(limit.settled, limit.amount),
    resetsAtMs: limit.endsAtMs,
  }));
  const next = grants.find((grant) => leftOf(grant) > 0n) ?? grants.at(-1);
  if (next) {
    const usedRatio = ratio(sum(grants.map((each) => each.settled)), sum(grants.map((each) => each.amount)));
    rows.push({ source: 'grant', id: next.id, usedRatio, resetsAtMs: null });
  }
  return rows.reduce<Outlook['tightest']>(
    (most, row) => (most && most.usedRatio >= row.usedRatio ? most : row),
    null,
  );
}

/** A share of 1, to four digits: for people to see, no rule reads it. */
function ratio(part: bigint, whole: bigint): number {
  return whole === 0n ? 1 : Number((part * 10_000n) / whole) / 10_000;
}

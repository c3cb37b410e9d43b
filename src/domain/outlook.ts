/** Outlook: what a team has left, its tightest budget, and when it runs out at its burn rate. Pure. */
import type { PicoUsd } from './money.ts';
import { DAY_MS, QUARTER_HOUR_MS, type TimeRange } from './window.ts';

/** A budget of a team, as far as an outlook needs it. */
interface TeamBudget {
  source: 'limit' | 'grant';
  id: string;
  meter: string;
  /** It counts some models only. */
  isPartial: boolean;
  amount: bigint;
  settled: bigint;
  /** When a limit's window ends, or a grant expires; null: never. */
  endsAtMs: number | null;
}

/** Spending over a time, taken to go on at the same rate. */
export interface BurnRate {
  spent: PicoUsd;
  inMs: number;
}

export interface Outlook {
  /** What the tightest cost budget has left; null: no budget bounds the team. */
  remaining: PicoUsd | null;
  exhaustsAtMs: number | null;
  /** The budget with the largest share used, of any meter. */
  tightest: { source: 'limit' | 'grant'; id: string; usedRatio: number; resetsAtMs: number | null } | null;
}

const PACE_MS = 7 * DAY_MS;

/** Returns the time whose spending is taken to go on: the last seven days, in whole quarters of an hour, as sums are kept. */
export function paceRange(nowMs: number): TimeRange {
  return {
    startMs: Math.floor((nowMs - PACE_MS) / QUARTER_HOUR_MS) * QUARTER_HOUR_MS,
    endMs: Math.ceil((nowMs + 1) / QUARTER_HOUR_MS) * QUARTER_HOUR_MS,
  };
}

/** A forecast that reaches further is none. */
const HORIZON_MS = 10 * 365 * DAY_MS;

export function outlookOf(
  budgets: TeamBudget[],
  isPrepaid: boolean,
  burnRate: BurnRate,
  nowMs: number,
): Outlook {
  const grants = budgets.filter((budget) => budget.source === 'grant');
  const limits = budgets.filter((budget) => budget.source === 'limit');
  const balances = [
    ...limits
      .filter((limit) => limit.meter === 'cost_usd' && !limit.isPartial)
      .map((limit) => ({ left: leftOf(limit), exhaustsAtMs: limitExhausted(limit, burnRate, nowMs) })),
    ...(isPrepaid
      ? [{ left: sum(grants.map(leftOf)), exhaustsAtMs: creditExhausted(grants, burnRate, nowMs) }]
      : []),
  ];
  return {
    remaining: balances.map((balance) => balance.left).reduce<PicoUsd | null>(smaller, null),
    exhaustsAtMs: balances.map((balance) => balance.exhaustsAtMs).reduce(sooner, null),
    tightest: tightestOf(grants, limits),
  };
}

/** Returns what will be spent between two times at this rate. */
export function spentUntil({ spent, inMs }: BurnRate, nowMs: number, untilMs: number): PicoUsd {
  return inMs <= 0 ? 0n : (spent * BigInt(Math.max(untilMs - nowMs, 0))) / BigInt(inMs);
}

function leftOf({ amount, settled }: TeamBudget): bigint {
  return amount > settled ? amount - settled : 0n;
}

const sum = (amounts: bigint[]) => amounts.reduce((total, amount) => total + amount, 0n);
const smaller = (a: bigint | null, b: bigint) => (a === null || b < a ? b : a);
const sooner = (a: number | null, b: number | null) => (a === null ? b : b === null ? a : Math.min(a, b));

/** Returns when a limit runs out; null: not before its window ends. */
function limitExhausted(limit: TeamBudget, burnRate: BurnRate, nowMs: number): number | null {
  const atMs = spentAt(leftOf(limit), burnRate, nowMs);
  return atMs === null || (limit.endsAtMs !== null && atMs >= limit.endsAtMs) ? null : atMs;
}

/** Returns when the money of all grants is spent, or the last of them expires. */
function creditExhausted(grants: TeamBudget[], burnRate: BurnRate, nowMs: number): number | null {
  const lastMs = grants.reduce<number>(
    (latest, { endsAtMs }) => Math.max(latest, endsAtMs ?? Number.POSITIVE_INFINITY),
    nowMs,
  );
  return sooner(
    spentAt(sum(grants.map(leftOf)), burnRate, nowMs),
    lastMs === Number.POSITIVE_INFINITY ? null : lastMs,
  );
}

function spentAt(left: PicoUsd, { spent, inMs }: BurnRate, nowMs: number): number | null {
  if (left === 0n) return nowMs;
  if (spent <= 0n) return null;
  const ms = (left * BigInt(inMs)) / spent;
  return ms > HORIZON_MS ? null : nowMs + Number(ms);
}

/** Grants count as one budget, named by the first that has money left. */
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

/** Returns a share of 1 to four digits: shown to people, read by no rule. */
function ratio(part: bigint, whole: bigint): number {
  return whole === 0n ? 1 : Number((part * 10_000n) / whole) / 10_000;
}

/**
 * Budgets: which counters a call of one key touches at one moment, and how its money is spread over them.
 * Every pool must agree to a call with its full amount; inside a pool the counters pay in order (grants: earliest
 * expiry first). Pure.
 */
import type { Grant, Limit, Principal } from './limit.ts';
import { type CalendarWindow, type LifetimeWindow, windowSpan } from './window.ts';

/** What names a counter and what makes it when it does not exist yet. */
export interface CounterSpec {
  /** `<limit or grant id>@<window start in ms>`. */
  id: string;
  teamId: string;
  source: 'limit' | 'grant';
  sourceId: string;
  subjectType: 'team' | 'key';
  subjectId: string;
  startsAtMs: number;
  /** Null: the window never ends. For grants, the expiry. */
  endsAtMs: number | null;
  amount: bigint;
}

/** Counters that together must cover a call: one limit, or all usable grants in the order in which they pay. */
export interface Pool {
  id: string;
  counters: CounterSpec[];
}

/** What a key may spend from: its team's grants and every limit on the team or on the key. */
export interface Account {
  principal: Principal;
  /** Ordered: earliest expiry first, those without one last. */
  grants: Grant[];
  limits: Limit[];
  /** A team that ever had a grant is prepaid: without a usable one it may spend nothing. */
  prepaid: boolean;
  unlimited: boolean;
}

/** The pools of an account at a moment, and until when they stay the same. */
export interface Pools {
  pools: Pool[];
  validUntilMs: number;
}

/** Orders grants as they are spent: earliest expiry first, then the older start, then the id, so that replicas agree. */
export function inSpendingOrder(grants: Grant[]): Grant[] {
  const expiry = (grant: Grant) => grant.expiresAtMs ?? Number.POSITIVE_INFINITY;
  return grants.toSorted(
    (a, b) =>
      (expiry(a) === expiry(b) ? 0 : expiry(a) - expiry(b)) ||
      a.startsAtMs - b.startsAtMs ||
      (a.id < b.id ? -1 : 1),
  );
}

/**
 * The pools that a call admitted at `atMs` must satisfy.
 * @throws for a limit that no counter can hold (its subject, meter, models, window or enforcement)
 */
export function poolsAt(account: Account, atMs: number): Pools {
  let validUntilMs = Number.POSITIVE_INFINITY;
  const until = (ms: number | null) => {
    if (ms !== null && ms > atMs && ms < validUntilMs) validUntilMs = ms;
  };
  const pools: Pool[] = [];
  if (account.prepaid) {
    const usable: CounterSpec[] = [];
    for (const grant of account.grants) {
      until(grant.startsAtMs);
      until(grant.expiresAtMs);
      const expired = grant.expiresAtMs !== null && grant.expiresAtMs <= atMs;
      if (grant.startsAtMs <= atMs && !expired) usable.push(grantCounter(grant));
    }
    pools.push({ id: `grants:${account.principal.teamId}`, counters: usable });
  }
  for (const limit of account.limits) {
    const span = windowSpan(boundWindow(limit), atMs);
    until(span.endMs);
    pools.push({ id: limit.id, counters: [limitCounter(limit, span.startMs, span.endMs)] });
  }
  return { pools, validUntilMs };
}

/** The window of a limit that counters can hold. Any other limit must not be passed over: it would silently not bind. */
function boundWindow(limit: Limit): CalendarWindow | LifetimeWindow {
  const { window, meter, models, enforcement } = limit;
  if (window.type === 'rolling' || meter !== 'cost_usd' || models !== null || enforcement !== 'strict') {
    throw new Error(`limit ${limit.id} is of a kind that no counter exists for`);
  }
  return window;
}

function grantCounter(grant: Grant): CounterSpec {
  return {
    id: `${grant.id}@${grant.startsAtMs}`,
    teamId: grant.teamId,
    source: 'grant',
    sourceId: grant.id,
    subjectType: 'team',
    subjectId: grant.teamId,
    startsAtMs: grant.startsAtMs,
    endsAtMs: grant.expiresAtMs,
    amount: grant.amount,
  };
}

function limitCounter(limit: Limit, startMs: number, endMs: number | null): CounterSpec {
  if (limit.subject.type !== 'team' && limit.subject.type !== 'key') {
    throw new Error(`limit ${limit.id} has a subject that no counter exists for: ${limit.subject.type}`);
  }
  return {
    id: `${limit.id}@${startMs}`,
    teamId: limit.teamId,
    source: 'limit',
    sourceId: limit.id,
    subjectType: limit.subject.type,
    subjectId: limit.subject.id,
    startsAtMs: startMs,
    endsAtMs: endMs,
    amount: limit.amount,
  };
}

/** Whether the counter of a limit counts a call of this key admitted at this moment. */
export function limitCounts(
  counter: Pick<CounterSpec, 'source' | 'subjectType' | 'subjectId' | 'startsAtMs' | 'endsAtMs'>,
  call: { keyId: string; createdAtMs: number },
): boolean {
  return (
    counter.source === 'limit' &&
    (counter.subjectType === 'team' || counter.subjectId === call.keyId) &&
    counter.startsAtMs <= call.createdAtMs &&
    (counter.endsAtMs === null || call.createdAtMs < counter.endsAtMs)
  );
}

/**
 * Takes `amount` from the sources in order, as much as each has.
 * Returns the part of each, or null when all together have less.
 */
export function takeInOrder(available: readonly bigint[], amount: bigint): bigint[] | null {
  let rest = amount;
  const parts = available.map((free) => {
    const part = free <= 0n ? 0n : free < rest ? free : rest;
    rest -= part;
    return part;
  });
  return rest > 0n ? null : parts;
}

/** One pool's share of a call: what it held and, once the cost is known, what of it is spent. */
export interface Allocation {
  counterId: string;
  held: bigint;
  settled: bigint;
}

/**
 * Spends `cost` on what one pool held for a call, in the order in which it was taken. A cost above the hold (an
 * overrun) falls on the last part: it is recorded, and no lease paid for it.
 */
export function settleInOrder(held: readonly bigint[], cost: bigint): bigint[] {
  let rest = cost;
  const settled = held.map((part) => {
    const spent = part < rest ? part : rest;
    rest -= spent;
    return spent;
  });
  if (rest > 0n && settled.length > 0) settled[settled.length - 1]! += rest;
  return settled;
}

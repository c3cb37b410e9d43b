/**
 * Budgets: which counters a call touches at one moment, how an amount is spread over them, and what Postgres lends of
 * them. Every pool must agree to a call with its full amount; inside a pool the counters pay in order (grants: earliest
 * expiry first). Pure.
 */

import {
  type CallSubjects,
  type CounterSpec,
  grantCounter,
  limitCounter,
  raiseCounter,
  ruleKey,
} from './counter.ts';
import type { CounterId, EventId, KeyId } from './ids.ts';
import { type Grant, type Limit, type Meter, ORGANIZATION_ID, type Principal } from './limit.ts';
import type { PicoUsd } from './money.ts';
import type { OnShortage } from './open-ended.ts';
import { includesModel } from './price.ts';
import { type CounterState, unlent } from './quantities.ts';
import { type TagRule, type TagText, tagNamed, tagText } from './tags.ts';
import type { ClientGone } from './upstream.ts';
import type { Warning } from './warning.ts';

/** Counters that together must cover a call: one limit, or all usable grants in the order in which they pay. */
export interface Pool {
  id: string;
  /** The same for all windows of the rule: by it the demand is remembered. */
  rule: string;
  meter: Meter;
  /** A rate limit: what is taken comes back by itself, soon, so that no call waits for it. */
  isRateLimit: boolean;
  maxHold: bigint | null;
  counters: CounterSpec[];
}

/** A call that stays charged until there is evidence. */
export interface UnknownCall extends CallSubjects {
  id: EventId;
  keyId: KeyId;
  model: string;
  admittedMs: number;
  charged: PicoUsd;
}

/** What a key may spend from: its team's grants and every limit that may touch its calls. */
export interface Account {
  principal: Principal;
  /** Ordered: earliest expiry first, those without one last. */
  grants: Grant[];
  limits: Limit[];
  /** A team that ever had a grant is prepaid: without a usable one it may spend nothing. */
  prepaid: boolean;
  unlimited: boolean;
  /** Some limit of it does something else than to deny. */
  hasInstead: boolean;
  /** Its team's department, then the one above, … as Postgres writes an array; null: none. It stands in every event. */
  departments: string | null;
  /** Calls go on without the ledger while Postgres is away, if nothing strict binds them. */
  failOpen: boolean;
  /** What becomes of a call whose client leaves; null: as the upstream is set. */
  onClientGone: ClientGone | null;
  /** Of open-ended calls, by the key or else its team; null: neither says. */
  onShortage: OnShortage | null;
  /** What its calls say is kept; missing: it is not. */
  keepsContents?: boolean;
  /** Tags of the key's own; null: none. */
  tags: readonly TagText[] | null;
  /** What admins say of tags; empty: no name is allowed. */
  tagRules: readonly TagRule[];
  /** Thresholds that its grants and limits have reached. */
  warnings: Warning[];
  /** The team's calls of unknown outcome, the latest of them, as Postgres knew them when the key was read. */
  unknown: UnknownCall[];
}

/** What of a call decides which limits touch it. */
export interface CallKind extends CallSubjects {
  model: string;
}

/** The pools of a call at a moment, and until when they stay the same. */
export interface Pools {
  pools: Pool[];
  /** Something bounds what the call may cost, or its team needs no bound. */
  funded: boolean;
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

/** Whether a grant pays for calls that are admitted at a moment. `usableAt` in store/budgets.ts is the same in SQL. */
export function isUsable(grant: Pick<Grant, 'startsAtMs' | 'expiresAtMs'>, atMs: number): boolean {
  return grant.startsAtMs <= atMs && (grant.expiresAtMs === null || grant.expiresAtMs > atMs);
}

/** By what the calls of an account differ, as far as its limits tell them apart: equal texts touch the same counters. */
export function kindKey(account: Account, { model, endUser, tags = null }: CallKind): string {
  let key = '';
  for (const { models, subject } of account.limits) {
    if (models !== null) key += includesModel(models, model) ? '+' : '-';
    if (subject.type === 'user') key += `${endUser ?? ''}\n`;
    else if (subject.type === 'tag') key += `${tagNamed(tags, subject.name) ?? ''}\n`;
  }
  return key;
}

/** Whether a strict limit of end users touches the call, so that it must say whose it is. */
export function needsEndUser({ limits }: Pick<Account, 'limits'>, model: string): boolean {
  return limits.some(
    ({ subject, models, enforcement }) =>
      enforcement === 'strict' && subject.type === 'user' && includesModel(models, model),
  );
}

/** The pools that a call admitted at `atMs` must satisfy. Soft limits deny nothing, so they are not among them. */
export function poolsAt(account: Account, kind: CallKind, atMs: number): Pools {
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
      if (isUsable(grant, atMs)) usable.push(grantCounter(grant));
    }
    const id = `grants:${account.principal.teamId}`;
    pools.push({ id, rule: id, meter: 'cost_usd', isRateLimit: false, maxHold: null, counters: usable });
  }
  let funded = account.unlimited || account.prepaid;
  for (const limit of account.limits) {
    if (!touches(limit, kind)) continue;
    if (
      limit.meter === 'cost_usd' &&
      (limit.teamId !== ORGANIZATION_ID || limit.subject.type === 'department')
    )
      funded = true;
    if (limit.enforcement === 'soft') continue;
    const counter = limitCounter(limit, account.principal.teamId, kind, atMs);
    until(counter.endsAtMs);
    until(limit.resetAtMs);
    const counters = [counter];
    for (const raise of limit.raises) {
      until(raise.startsAtMs);
      until(raise.untilMs);
      if (raise.startsAtMs <= atMs && atMs < raise.untilMs) counters.push(raiseCounter(counter, raise));
    }
    pools.push({
      id: counter.id,
      rule: ruleKey(counter),
      meter: limit.meter,
      isRateLimit: limit.window.type === 'rolling' || limit.meter === 'concurrency',
      maxHold: limit.maxHold,
      counters,
    });
  }
  return { pools, funded, validUntilMs };
}

export function touches({ subject, models }: Limit, { model, endUser, tags = null }: CallKind): boolean {
  if (!includesModel(models, model)) return false;
  if (subject.type === 'tag') {
    const tag = tagNamed(tags, subject.name);
    return tag !== null && (subject.value === null || tag === tagText(subject.name, subject.value));
  }
  return subject.type !== 'user' || (endUser !== null && (subject.id === null || subject.id === endUser));
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
  counterId: CounterId;
  held: bigint;
  settled: bigint;
}

/**
 * Spends `cost` on what one pool held for a call, in the order in which it was taken. A cost above the hold (an
 * overrun) falls on the last part that held something: it is recorded, and no lease paid for it. A grant that held nothing
 * may have no counter yet on which it would be recorded.
 */
export function settleInOrder(held: readonly bigint[], cost: bigint): bigint[] {
  let rest = cost;
  const settled = held.map((part) => {
    const spent = part < rest ? part : rest;
    rest -= spent;
    return spent;
  });
  if (rest > 0n && settled.length > 0) {
    const last = held.findLastIndex((part) => part > 0n);
    const payer = last < 0 ? settled.length - 1 : last;
    settled[payer] = (settled[payer] ?? 0n) + rest;
  }
  return settled;
}

const max = (a: bigint, b: bigint) => (a > b ? a : b);
const min = (a: bigint, b: bigint) => (a < b ? a : b);

/** What one pool of a lease request asks for: at least `min` over its counters in order, at best `want`. */
export interface LeaseNeed {
  counterIds: string[];
  min: bigint;
  want: bigint;
}

/**
 * Grants a whole call over all its pools, all or none: each pool lends up to `want` in order, unless any pool lacks its
 * `min`. Pools without a `min` are prefetches: they neither stop nor depend on the others.
 * Returns the grant by counter id (empty when nothing could be granted) and the counters of which there was too little,
 * where it would do if everyone gave back what is lent to him.
 */
export function grantAllOrNone(
  needs: readonly LeaseNeed[],
  states: ReadonlyMap<string, CounterState>,
): { met: boolean; grants: Map<string, bigint>; lacking: string[] } {
  const left = new Map<string, bigint>();
  for (const [id, state] of states) left.set(id, max(0n, unlent(state)));
  const available = (need: LeaseNeed) => need.counterIds.reduce((sum, id) => sum + (left.get(id) ?? 0n), 0n);
  const unmet = needs.filter((need) => available(need) < need.min);
  const met = unmet.length === 0;
  const grants = new Map<string, bigint>();
  for (const need of needs) {
    if (!met && need.min > 0n) continue;
    let rest = max(need.want, need.min);
    for (const id of need.counterIds) {
      const free = left.get(id) ?? 0n;
      const part = min(free, rest);
      if (part <= 0n) continue;
      left.set(id, free - part);
      grants.set(id, (grants.get(id) ?? 0n) + part);
      rest -= part;
    }
  }
  const lendable = (id: string) => {
    const state = states.get(id);
    return state === undefined ? 0n : max(0n, unlent({ ...state, leased: 0n }));
  };
  const lacking = unmet.filter(
    (need) => need.counterIds.reduce((sum, id) => sum + lendable(id), 0n) >= need.min,
  );
  return { met, grants, lacking: lacking.flatMap((need) => need.counterIds) };
}

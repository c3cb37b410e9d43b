/**
 * Decide: whether a call may spend now, has to wait, or is denied. Pure: the state of the leases, the time and the
 * jitter are arguments, and nothing here changes them. The lease table takes the amounts of an admission in the same
 * synchronous step. Money that is sized here is checked again where it is taken.
 */
import { type Account, type CallKind, takeInOrder } from '../domain/budget.ts';
import type { CounterSpec } from '../domain/counter.ts';
import { type Estimate, smallestClaim } from '../domain/estimate.ts';
import { type LeaseDemand, type LeaseKind, type LeaseView, leaseAim } from '../domain/lease.ts';
import type { Meter } from '../domain/limit.ts';
import { type OpenEndedRoom, openEndedClaim } from '../domain/open-ended.ts';
import { type Claim, claimed, UNIT } from '../domain/quantities.ts';

/** A claim that is known. `outputLimit`: to be written into the request all the same; missing or null: none. */
interface FixedSize {
  type: 'fixed';
  claim: Claim;
  outputLimit?: number | null;
}

/** What a call asks for. */
export interface ReservationRequest {
  account: Account;
  kind: CallKind;
  /** It costs nothing: it needs no budget, but its request and its slot count. */
  isFree: boolean;
  /** `open_ended`: the client set no output limit, so the call holds a share of what its budgets have left. */
  size: FixedSize | { type: 'open_ended'; estimate: Estimate };
  /** How long the call has waited already, before the rules changed. */
  waitedMs: number;
  /** Memory that the call keeps while it waits. */
  bytes: number;
}

/** The leases that together must cover a call, in the order in which they pay. */
export interface PoolView {
  readonly id: string;
  readonly meter: Meter;
  readonly isRateLimit: boolean;
  /** By which rule its leases are sized. */
  readonly kind: LeaseKind;
  readonly maxHold: bigint | null;
  readonly leases: readonly LeaseView[];
  /** The lease of the bucket before this one, of a rolling window. */
  readonly before: LeaseView | null;
  readonly demand: LeaseDemand;
  /** Sums over the leases: what this instance may spend at once, … */
  readonly usable: bigint;
  /** … what some instance can still be given, … */
  readonly room: bigint;
  /** … the counters' amounts, … */
  readonly amount: bigint;
  /** … what may still be spent at best, once all that is only held came back, … */
  readonly ceiling: bigint;
  /** … and what is left for this instance and all others. */
  readonly remaining: bigint;
}

/** A limit said no. */
export type Denial =
  /** It cannot be paid any more, whatever comes back. `ceiling`: what is left; `counter` null: there is no budget. */
  | { kind: 'denial'; reason: 'insufficient'; counter: CounterSpec | null; ceiling: bigint }
  /** Only what calls in flight hold is in the way. */
  | { kind: 'denial'; reason: 'held'; counter: CounterSpec | null; retryAfterMs: number }
  /** A rate limit is full for the moment. */
  | { kind: 'denial'; reason: 'rate_limit'; counter: CounterSpec; remaining: bigint; retryAfterMs: number }
  /** It would hold more than one call may. */
  | { kind: 'denial'; reason: 'too_large'; counter: CounterSpec; maxHold: bigint }
  /** As many end users are counted under this limit as may be. */
  | { kind: 'denial'; reason: 'too_many_users'; counter: CounterSpec };

/** The claim fits now. `amounts`: what to take of each lease of each pool, in their order. */
export interface Admission {
  readonly kind: 'admit';
  readonly claim: Claim;
  /** The output limit to write into the request; null: none. */
  readonly outputLimit: number | null;
  readonly amounts: bigint[];
}

export interface Wait {
  readonly kind: 'wait';
}

const WAIT: Wait = { kind: 'wait' };

/** The state of a call's team at one moment. */
export interface TeamState {
  load: TeamLoad;
  /** The team's calls that wait. */
  waiting: number;
  /** On the monotonic clock. */
  nowMs: number;
  /** In [0, 1). */
  jitter(): number;
}

/**
 * Decides about a call that has just come: admits it, denies it on rules and fresh news alone, or lets it wait.
 * @param funded something bounds what the call may cost, or its team needs no bound
 */
export function decide(
  request: ReservationRequest,
  pools: readonly PoolView[],
  funded: boolean,
  state: TeamState,
): Admission | Denial | Wait {
  const denial = denialByRules(request, pools, funded);
  if (denial !== null) return denial;
  const admission = admit(request, pools, state.load);
  if (admission.kind === 'admit') return admission;
  return denialOfFullRateLimit(request, pools, state) ?? WAIT;
}

/** Without a budget there is nothing to wait for, nor for more than one call may ever hold; null: neither is so. */
function denialByRules(
  request: ReservationRequest,
  pools: readonly PoolView[],
  funded: boolean,
): Denial | null {
  if (!request.isFree && !funded) return NO_BUDGET;
  let smallest: Claim | null = null;
  for (const { meter, maxHold, isRateLimit, leases } of pools) {
    const first = leases[0];
    if (first === undefined) {
      if (request.isFree) continue;
      return NO_BUDGET;
    }
    // What a rate limit never has at once would otherwise be asked to come again for ever.
    const most = maxHold ?? (isRateLimit ? first.spec.amount : null);
    if (most === null) continue;
    smallest ??= leastClaim(request);
    if (claimed(meter, smallest) > most) {
      return { kind: 'denial', reason: 'too_large', counter: first.spec, maxHold: most };
    }
  }
  return null;
}

const NO_BUDGET: Denial = { kind: 'denial', reason: 'insufficient', counter: null, ceiling: 0n };

/** The team's calls when one of them is sized. */
export type TeamLoad = Omit<OpenEndedRoom, 'pools'>;

/**
 * Admits a call if every pool has what it claims.
 */
export function admit(
  { size }: ReservationRequest,
  pools: readonly PoolView[],
  load: TeamLoad,
): Admission | Wait {
  let outputLimit: number | null = null;
  let claim: Claim;
  if (size.type === 'fixed') {
    claim = size.claim;
    outputLimit = size.outputLimit ?? null;
  } else {
    const { estimate } = size;
    const sized = openEndedClaim(estimate, { pools, ...load });
    claim = sized.claim;
    const isModels = estimate.outputCeiling === null && sized.outputTokens === estimate.maxOutputTokens;
    if (!isModels) outputLimit = sized.outputTokens;
  }
  const amounts: bigint[] = [];
  for (const pool of pools) {
    const needed = claimed(pool.meter, claim);
    const first = pool.leases[0];
    // The usual pool has one lease, and its check must cost nothing.
    if (first !== undefined && pool.leases.length === 1) {
      if (first.available < needed) return WAIT;
      amounts.push(needed);
      continue;
    }
    if (pool.usable < needed) return WAIT;
    const parts = takeInOrder(
      pool.leases.map((lease) => lease.available),
      needed,
    );
    if (parts === null) return WAIT;
    amounts.push(...parts);
  }
  return { kind: 'admit', claim, outputLimit, amounts };
}

/** The least with which a call is of use. */
export function leastClaim({ size }: ReservationRequest): Claim {
  return size.type === 'fixed' ? size.claim : smallestClaim(size.estimate);
}

/** What a call would hold now. */
export function claimNow({ size }: ReservationRequest, pools: readonly PoolView[], load: TeamLoad): Claim {
  return size.type === 'fixed' ? size.claim : openEndedClaim(size.estimate, { pools, ...load }).claim;
}

export interface DenialInput {
  /** The call's pools as they are now. */
  pools: readonly PoolView[];
  smallest: Claim;
  /** Postgres was asked after the call's wait was over. */
  isOverdue: boolean;
  /** The leases that the reply was about, under the rules as they are. */
  fresh: ReadonlySet<LeaseView>;
  /** The team's waiting calls. */
  waiting: number;
  jitter: number;
}

/**
 * Decides about a call that Postgres's reply could not serve: denies for good what cannot fit any more, and for now what
 * has waited long enough; everything else waits on.
 */
export function decideDenial(input: DenialInput): Denial | Wait {
  const { pools, smallest, isOverdue, fresh, waiting, jitter } = input;
  // A window or grant that began, or a rule that changed, while the request was under way is not in the reply.
  if (!pools.every((pool) => pool.leases.every((lease) => fresh.has(lease)))) return WAIT;
  const full = pools.find((pool) => pool.leases.some((lease) => lease.isAbsent))?.leases[0];
  if (full) return { kind: 'denial', reason: 'too_many_users', counter: full.spec };

  const budgets = pools.filter((pool) => !pool.isRateLimit);
  const poorest = shortest(budgets, smallest, (pool) => pool.ceiling);
  if (poorest) {
    return { kind: 'denial', reason: 'insufficient', counter: counterOf(poorest), ceiling: poorest.ceiling };
  }

  const rateLimits = pools.filter((pool) => pool.isRateLimit);
  const denial = rateLimitDenial(rateLimits, smallest, jitter);
  if (denial !== null) {
    // What was lent to this instance for a bucket that is over is back in a moment.
    const comesBack = rateLimits.every(
      (pool) => pool.room + comesBackSoon(pool) >= claimed(pool.meter, smallest),
    );
    if (!comesBack) return denial;
    return isOverdue ? { ...denial, retryAfterMs: retryAfterMs(waiting, jitter) } : WAIT;
  }
  if (!isOverdue) return WAIT;
  const short = shortest(budgets, smallest, (pool) => pool.room);
  // What this instance gave back is free again as soon as it is reported to Postgres, in a moment.
  if (short === null && budgets.some((pool) => pool.leases.some((lease) => lease.unreported > 0n))) {
    return WAIT;
  }
  return heldDenial(short ?? shortest(budgets, smallest, () => 0n), waiting, jitter);
}

/** Only what calls in flight hold is in the way: come again. `pool` null: no single budget is to blame. */
export function heldDenial(pool: PoolView | null, waiting: number, jitter: number): Denial {
  const counter = pool && counterOf(pool);
  return { kind: 'denial', reason: 'held', counter, retryAfterMs: retryAfterMs(waiting, jitter) };
}

/** When to try again while money is only held: sooner when few wait; 1–20 s plus jitter in [0, 1). */
export function retryAfterMs(waiting: number, jitter: number): number {
  const seconds = Math.min(20, 1 + waiting / 50);
  return Math.round((seconds + jitter) * 1000);
}

/** How long a full rate limit denies without a request to Postgres. */
export const FULL_MS = 200;

/** The denial of a call for which a rate limit had no room a moment ago; null: Postgres must be asked. */
function denialOfFullRateLimit(
  request: ReservationRequest,
  pools: readonly PoolView[],
  { nowMs, jitter }: TeamState,
): Denial | null {
  const full = pools.filter(
    ({ isRateLimit, leases }) => isRateLimit && nowMs < (leases[0]?.fullUntilMs ?? 0),
  );
  return full.length === 0 ? null : rateLimitDenial(full, leastClaim(request), jitter());
}

/** A call for which a rate limit has no room is denied at once: what it needs comes back by time, not by other calls. */
function rateLimitDenial(pools: readonly PoolView[], smallest: Claim, jitter: number) {
  const full = shortest(pools, smallest, (pool) => pool.room);
  const lease = full?.leases[0];
  if (!full || !lease) return null;
  return {
    kind: 'denial' as const,
    reason: 'rate_limit' as const,
    counter: lease.spec,
    remaining: full.room,
    retryAfterMs: Math.round((lease.freesInMs ?? 1000) + jitter * 500),
  };
}

/** Lent for a bucket that ended before it could be used; other instances may still count it as in use. */
function comesBackSoon({ before }: PoolView): bigint {
  return before ? before.free + before.unreported : 0n;
}

/** The pool that lacks most of what the call needs, as a part of it; null: none lacks anything. */
function shortest(
  pools: readonly PoolView[],
  claim: Claim,
  measure: (pool: PoolView) => bigint,
): PoolView | null {
  let worst: { pool: PoolView; has: bigint; needs: bigint } | null = null;
  for (const pool of pools) {
    const needs = claimed(pool.meter, claim);
    const has = measure(pool);
    // has / needs < worst.has / worst.needs, without a division; needs is above 0 where something lacks.
    if (has < needs && (worst === null || has * worst.needs < worst.has * needs))
      worst = { pool, has, needs };
  }
  return worst?.pool ?? null;
}

/** Which counter a denial names: of a limit its own, which gets a new window, not that of a raise; of grants the last to pay. */
function counterOf(pool: PoolView): CounterSpec | null {
  const own = pool.leases[0]?.spec;
  return own?.source === 'limit' ? own : (pool.leases.at(-1)?.spec ?? null);
}

/** How much of the pool this instance wants to keep, from all of its counters together; nothing while it is contended. */
export function aimOf(pool: PoolView, instances: number, nowMs: number): bigint {
  if (isContended(pool, nowMs)) return 0n;
  const aim = leaseAim(pool.demand, pool.remaining, instances, pool.kind);
  return pool.meter === 'cost_usd' ? aim : aim - (aim % UNIT);
}

export function isContended(pool: PoolView, nowMs: number): boolean {
  for (const lease of pool.leases) if (nowMs < lease.contendedUntilMs) return true;
  return false;
}

/**
 * What of a lease's free money its pool does not need: once there is half more than the aim, all above the aim, and the
 * last to pay gives back first, so that no grant is spent while one that expires earlier lies idle.
 */
export function excessOf(pool: PoolView, lease: LeaseView, instances: number, nowMs: number): bigint {
  const aim = aimOf(pool, instances, nowMs);
  let before = 0n;
  for (const each of pool.leases) {
    if (each === lease) break;
    before += each.free;
  }
  if (before + lease.free <= aim + aim / 2n) return 0n;
  const kept = aim > before ? aim - before : 0n;
  return lease.free > kept ? lease.free - kept : 0n;
}

/** Below three quarters of its aim, and Postgres may have more. */
export function isLow(pool: PoolView, instances: number, nowMs: number): boolean {
  for (const lease of pool.leases) {
    if (lease.room > lease.free) return 4n * pool.usable < 3n * aimOf(pool, instances, nowMs);
  }
  return false;
}

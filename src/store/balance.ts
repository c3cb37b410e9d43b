/**
 * Balances: what a team, and each limit, has, spent and holds, as a projection over counters, leases and rollups; nothing
 * of it is stored. Invariant: all of one answer is read in one snapshot, at one moment of Postgres's clock.
 */

import {
  and,
  asc,
  eq,
  gt,
  inArray,
  isNotNull,
  isNull,
  like,
  ne,
  notExists,
  notLike,
  or,
  type SQL,
  sql,
} from 'drizzle-orm';
import { isUsable } from '../domain/budget.ts';
import {
  type CounterSpec,
  grantCounter,
  limitCounter,
  NO_SUBJECTS,
  raiseCounter,
  rangeOf,
} from '../domain/counter.ts';
import { defined } from '../domain/defined.ts';
import type { LimitId, TeamId } from '../domain/ids.ts';
import {
  countsApart,
  type Grant,
  type Limit,
  ORGANIZATION_ID,
  type Raise,
  subjectOf,
} from '../domain/limit.ts';
import { type PicoUsd, usd } from '../domain/money.ts';
import { MEMBER_TAG, tagText } from '../domain/tags.ts';
import type { OpenTimeRange } from '../domain/window.ts';
import { clock } from './changes.ts';
import { type Database, runOn, type Transaction } from './database.ts';
import type { GrantRow } from './grants.ts';
import type { LimitRow } from './limits.ts';
import type { RaiseRow } from './raises.ts';
import {
  adjustments,
  counters,
  grants,
  instances,
  keys,
  leases,
  limitRaises,
  limits,
  teams,
  usageDays,
  usageEvents,
} from './schema.ts';
import { usedInWindow } from './window-usage.ts';

/** Of a counter: settled, and held by calls in flight (not what is merely leased). */
export interface Spent {
  settled: bigint;
  held: bigint;
}

const NOTHING: Spent = { settled: 0n, held: 0n };

export interface GrantBalance extends Spent {
  grant: GrantRow;
  amount: PicoUsd;
  /** It has begun, has not expired and was not deleted. */
  usable: boolean;
}

export interface LimitBalance extends Spent {
  limit: LimitRow;
  amount: bigint;
  /** The current window; of a rolling one what counts now. */
  span: OpenTimeRange;
  raises: RaiseBalance[];
}

/** A raise that has not ended. */
export interface RaiseBalance extends Spent {
  raise: RaiseRow;
  amount: bigint;
}

export interface Balance {
  /** In the order in which they are spent (no expiry comes last), also expired and deleted ones. */
  grants: GrantBalance[];
  limits: LimitBalance[];
  /** Everything that the ledger ever charged the team, corrections included. */
  charged: PicoUsd;
  /** Charged for calls whose outcome is still unknown. */
  unknown: PicoUsd;
}

/** Limits that do not count end users, or values of a tag, each for itself (`countsApart`). */
const HAS_SUM = and(
  ne(limits.subjectType, 'user'),
  or(ne(limits.subjectType, 'tag'), like(limits.subjectId, '%=%')),
);

/** Reads a team's balance: its grants, and the limits that touch its calls but for those that count each of many subjects. */
export function readBalance(database: Database, teamId: TeamId): Promise<Balance> {
  return snapshot(database, async (tx, now) => {
    const touching = and(
      inArray(limits.teamId, [teamId, ORGANIZATION_ID]),
      HAS_SUM,
      or(ne(limits.subjectType, 'department'), bindsByDepartment(teamId)),
      or(
        ne(limits.teamId, ORGANIZATION_ID),
        isNull(limits.subjectId),
        notLike(limits.subjectId, `${MEMBER}%`),
        isMemberOf(teamId),
      ),
    );
    const limitRows = await tx
      .select()
      .from(limits)
      .where(and(touching, isNull(limits.deletedAt)))
      .orderBy(asc(limits.createdAt), asc(limits.id));
    return {
      grants: await readGrants(tx, [teamId], now),
      limits: await readLimits(tx, limitRows, now),
      charged: await readCharged(tx, teamId),
      unknown: await readUnknown(tx, teamId),
    };
  });
}

/** A limit of the department of a team, or of one above it. */
function bindsByDepartment(teamId: TeamId): SQL {
  return sql`${limits.subjectId} = any((
    select department_path(${teams.departmentId}) from ${teams} where ${teams.id} = ${teamId})::text[])`;
}

const MEMBER = tagText(MEMBER_TAG, '');

/** A limit of a member to whom a key of a team belongs: what members of other teams spend is not this one's to see. */
function isMemberOf(teamId: TeamId): SQL {
  return sql`exists (select from ${keys}
    where ${keys.teamId} = ${teamId} and ${limits.subjectId} = ${MEMBER} || (${keys.tags} ->> ${MEMBER_TAG}))`;
}

/**
 * Reads how far the limits of a list are used, of whatever teams; but for those that count each of many subjects for itself, and
 * those that were deleted: they have no state of their own.
 */
export function readLimitBalances(database: Database, rows: readonly LimitRow[]): Promise<LimitBalance[]> {
  const withState = rows.filter((row) => row.deletedAt === null && !countsApart(toLimit(row).subject));
  return snapshot(database, (tx, now) => readLimits(tx, withState, now));
}

/** Runs reads in one snapshot. */
export function snapshot<Result>(
  database: Database,
  read: (tx: Transaction, now: Date) => Promise<Result>,
): Promise<Result> {
  return database.db.transaction(async (tx) => read(tx, await clock(tx)), {
    isolationLevel: 'repeatable read',
    accessMode: 'read only',
  });
}

/** Reads all grants that these teams ever had, in the order in which they are spent. */
export async function readGrants(tx: Transaction, teamIds: TeamId[], now: Date): Promise<GrantBalance[]> {
  const rows = await tx
    .select()
    .from(grants)
    .where(inArray(grants.teamId, teamIds))
    .orderBy(asc(grants.expiresAt), asc(grants.startsAt), asc(grants.id));
  const specs = rows.map((row) => grantCounter(toGrant(row)));
  const known = await readCounters(tx, specs);
  return rows.map((grant, index) => ({
    grant,
    amount: usd(grant.amountUsd),
    usable: grant.deletedAt === null && isUsable(toGrant(grant), now.getTime()),
    ...(known.get(defined(specs[index], 'a counter for each sum').id) ?? NOTHING),
  }));
}

/** A stored grant as the domain knows it. */
function toGrant(row: GrantRow): Grant {
  return {
    id: row.id,
    teamId: row.teamId,
    amount: usd(row.amountUsd),
    startsAtMs: row.startsAt.getTime(),
    expiresAtMs: row.expiresAt?.getTime() ?? null,
    maxUnknown: row.maxUnknownUsd === null ? null : usd(row.maxUnknownUsd),
    name: row.name,
  };
}

/** Reads limits from their counters, or, where no call needed one in this window, from what the ledger says of it. */
export async function readLimits(
  tx: Transaction,
  rows: readonly LimitRow[],
  now: Date,
): Promise<LimitBalance[]> {
  const specs = rows.map((row) => limitCounter(toLimit(row), row.teamId, NO_SUBJECTS, now.getTime()));
  const known = await readCounters(tx, specs);
  const balances: LimitBalance[] = [];
  for (const [index, limit] of rows.entries()) {
    const spec = defined(specs[index], 'a counter for each sum');
    const rolling = spec.rollingMs;
    const span = rolling === null ? rangeOf(toLimit(limit), now.getTime()) : rollingRange(rolling, now);
    let spent = known.get(spec.id);
    if (rolling !== null && limit.enforcement === 'strict') spent = await readBuckets(tx, limit.id, span);
    spent ??= { ...NOTHING, settled: await usedInWindow(runOn(tx), spec, span.startMs, span.endMs) };
    const raises = await readRaises(tx, spec, limit, now);
    balances.push({ limit, amount: usd(limit.amount), span, raises, ...spent });
  }
  return balances;
}

async function readRaises(
  tx: Transaction,
  spec: CounterSpec,
  limit: LimitRow,
  now: Date,
): Promise<RaiseBalance[]> {
  const rows = await tx
    .select()
    .from(limitRaises)
    .where(and(eq(limitRaises.limitId, limit.id), gt(limitRaises.until, now)))
    .orderBy(asc(limitRaises.until), asc(limitRaises.id));
  const specs = rows.map((row) => raiseCounter(spec, toRaise(row)));
  const known = await readCounters(tx, specs);
  return rows.map((raise, index) => ({
    ...{ raise, amount: usd(raise.amount) },
    ...(known.get(defined(specs[index], 'a counter for each raise').id) ?? NOTHING),
  }));
}

/** A stored raise as the domain knows it. */
export function toRaise(row: RaiseRow): Raise {
  return {
    id: row.id,
    amount: usd(row.amount),
    startsAtMs: row.startsAt.getTime(),
    untilMs: row.until.getTime(),
  };
}

function rollingRange(rollingMs: number, now: Date): OpenTimeRange {
  return { startMs: now.getTime() - rollingMs, endMs: null };
}

/** A stored limit as the domain knows it, without its raises. */
export function toLimit(row: LimitRow): Limit {
  return {
    id: row.id,
    teamId: row.teamId,
    subject: subjectOf(row.subjectType, row.subjectId, row.teamId),
    models: row.models,
    meter: row.meter,
    amount: usd(row.amount),
    window: row.window,
    enforcement: row.enforcement,
    maxHold: row.maxHold === null ? null : usd(row.maxHold),
    maxUnknown: row.maxUnknown === null ? null : usd(row.maxUnknown),
    onExhausted: row.onExhausted,
    name: row.name,
    resetAtMs: row.resetAt?.getTime() ?? null,
    raises: [],
  };
}

/** Undefined: no call has needed the limit in this window. */
async function readBuckets(
  tx: Transaction,
  limitId: LimitId,
  span: OpenTimeRange,
): Promise<Spent | undefined> {
  const [row] = await tx
    .select({
      settled: sql<string>`coalesce(sum(${counters.settled}), 0)`,
      held: sql<string>`coalesce(sum(${counters.held}), 0)`,
      buckets: sql<number>`count(*)::int4`,
    })
    .from(counters)
    .where(
      and(
        eq(counters.sourceId, limitId),
        isNotNull(counters.rollingMs),
        gt(counters.endsAt, new Date(span.startMs)),
      ),
    );
  const { buckets, settled, held } = defined(row, 'the row of the statement');
  return buckets === 0 ? undefined : { settled: usd(settled), held: usd(held) };
}

/**
 * By counter id what is known of these counters; none that no call has needed yet. Holds are in the counter (calls
 * that take long) and in what live instances reported of their leases.
 */
async function readCounters(
  tx: Transaction,
  specs: readonly Pick<CounterSpec, 'teamId' | 'id'>[],
): Promise<Map<string, Spent>> {
  if (specs.length === 0) return new Map();
  const teams = [...new Set(specs.map((spec) => spec.teamId))];
  const lent = tx
    .select({
      teamId: leases.teamId,
      counterId: leases.counterId,
      held: sql<string>`sum(${leases.held})`.as('lent_held'),
    })
    .from(leases)
    .innerJoin(instances, eq(instances.id, leases.instanceId))
    .where(and(inArray(leases.teamId, teams), eq(instances.status, 'live')))
    .groupBy(leases.teamId, leases.counterId)
    .as('lent');
  const named = specs.map((spec) => and(eq(counters.teamId, spec.teamId), eq(counters.id, spec.id)));
  const rows = await tx
    .select({ id: counters.id, settled: counters.settled, held: counters.held, lentHeld: lent.held })
    .from(counters)
    .leftJoin(lent, and(eq(lent.teamId, counters.teamId), eq(lent.counterId, counters.id)))
    .where(or(...named));
  return new Map(
    rows.map((row) => [
      row.id,
      { settled: usd(row.settled), held: usd(row.held) + usd(row.lentHeld ?? '0') },
    ]),
  );
}

async function readCharged(tx: Transaction, teamId: TeamId): Promise<PicoUsd> {
  const [row] = await tx
    .select({ charged: sql<string>`coalesce(sum(${usageDays.costUsd}), 0)` })
    .from(usageDays)
    .where(eq(usageDays.teamId, teamId));
  return usd(defined(row, 'the row of the statement').charged);
}

async function readUnknown(tx: Transaction, teamId: TeamId): Promise<PicoUsd> {
  const released = tx
    .select()
    .from(adjustments)
    .where(and(eq(adjustments.teamId, teamId), eq(adjustments.eventId, usageEvents.id)));
  const [row] = await tx
    .select({ unknown: sql<string>`coalesce(sum(${usageEvents.costUsd}), 0)` })
    .from(usageEvents)
    // Written out, not as a parameter: only so can a prepared statement use the partial index.
    .where(and(eq(usageEvents.teamId, teamId), sql`${usageEvents.outcome} = 'unknown'`, notExists(released)));
  return usd(defined(row, 'the row of the statement').unknown);
}

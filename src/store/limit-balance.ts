/**
 * How far limits are used in their current windows: from their counters, or, where none was needed yet, from what the
 * ledger says of the window.
 */
import { and, asc, eq, gt, inArray, isNotNull, isNull, ne, sql } from 'drizzle-orm';
import { limitCounter, spanOf } from '../domain/counter.ts';
import { type Enforcement, type Meter, ORGANIZATION_ID, type Subject } from '../domain/limit.ts';
import { usd } from '../domain/money.ts';
import type { Window, WindowSpan } from '../domain/window.ts';
import { clock, type Transaction } from './catalog-version.ts';
import { NOTHING, readCounters, type Spent } from './counter-sums.ts';
import type { Database } from './database.ts';
import type { LimitRow } from './limits.ts';
import { counters, limits } from './schema.ts';
import { usedInWindow } from './used-before.ts';

export interface LimitBalance extends Spent {
  limit: LimitRow;
  amount: bigint;
  /** The current window; of a rolling one what counts now. */
  span: WindowSpan;
}

/** The limits that touch a team's calls, but for those that count each end user for itself. */
export async function readLimits(tx: Transaction, teamId: string, now: Date): Promise<LimitBalance[]> {
  const rows = await tx
    .select()
    .from(limits)
    .where(
      and(
        inArray(limits.teamId, [teamId, ORGANIZATION_ID]),
        isNull(limits.deletedAt),
        ne(limits.subjectType, 'user'),
      ),
    )
    .orderBy(asc(limits.createdAt), asc(limits.id));
  return balancesOf(tx, rows, teamId, now);
}

/**
 * The limits of a list, of whatever teams, at this moment of Postgres's clock; but for those that count each end user
 * for itself, and those that were deleted: they have no state of their own.
 */
export function readLimitBalances(database: Database, rows: readonly LimitRow[]): Promise<LimitBalance[]> {
  const ofTeam = Map.groupBy(
    rows.filter((row) => row.deletedAt === null && row.subjectType !== 'user'),
    (row) => row.teamId,
  );
  return database.db.transaction(
    async (tx) => {
      const now = await clock(tx);
      const balances: LimitBalance[] = [];
      for (const [teamId, limits] of ofTeam) balances.push(...(await balancesOf(tx, limits, teamId, now)));
      return balances;
    },
    { isolationLevel: 'repeatable read', accessMode: 'read only' },
  );
}

async function balancesOf(
  tx: Transaction,
  rows: readonly LimitRow[],
  teamId: string,
  now: Date,
): Promise<LimitBalance[]> {
  const specs = rows.map((row) => limitCounter(toLimit(row), teamId, null, now.getTime()));
  const known = await readCounters(tx, specs);
  const balances: LimitBalance[] = [];
  for (const [index, limit] of rows.entries()) {
    const spec = specs[index]!;
    const rolling = spec.rollingMs;
    const span = rolling === null ? spanOf(toLimit(limit), now.getTime()) : rollingSpan(rolling, now);
    let spent = known.get(spec.id);
    if (rolling !== null && limit.enforcement === 'strict') spent = await readBuckets(tx, limit.id, span);
    spent ??= { ...NOTHING, settled: await usedInWindow(tx, spec, span.startMs, span.endMs) };
    balances.push({ limit, amount: usd(limit.amount), span, ...spent });
  }
  return balances;
}

function rollingSpan(rollingMs: number, now: Date): WindowSpan {
  return { startMs: now.getTime() - rollingMs, endMs: null };
}

/** Undefined: no call has needed the limit in this window. */
async function readBuckets(tx: Transaction, limitId: string, span: WindowSpan): Promise<Spent | undefined> {
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
  if (row!.buckets === 0) return undefined;
  return { settled: usd(row!.settled), held: usd(row!.held) };
}

/** A stored limit as the domain knows it. */
export function toLimit(row: LimitRow) {
  return {
    id: row.id,
    teamId: row.teamId,
    subject: { type: row.subjectType, id: row.subjectId ?? row.teamId } as Subject,
    models: row.models,
    meter: row.meter as Meter,
    amount: usd(row.amount),
    window: row.window as Window,
    enforcement: row.enforcement as Enforcement,
    maxHold: row.maxHold === null ? null : usd(row.maxHold),
  };
}

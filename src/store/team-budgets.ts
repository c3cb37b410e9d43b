/** Budgets of many teams at once: what their grants and limits have, and what of it is used in the current window. */
import { and, asc, eq, inArray, isNull } from 'drizzle-orm';
import { grantCounter, limitCounter } from '../domain/counter.ts';
import type { Meter } from '../domain/limit.ts';
import { usd } from '../domain/money.ts';
import type { Window } from '../domain/window.ts';
import { clock, type Transaction } from './catalog-version.ts';
import { readCounters } from './counter-sums.ts';
import type { Database } from './database.ts';
import { toLimit } from './limit-balance.ts';
import { grants, limits } from './schema.ts';
import { usedInWindow } from './used-before.ts';

export interface TeamBudget {
  teamId: string;
  source: 'limit' | 'grant';
  id: string;
  meter: Meter;
  /** It counts some models only. */
  isPartial: boolean;
  amount: bigint;
  settled: bigint;
  /** When a limit's window ends, or a grant expires; null: never. */
  endsAtMs: number | null;
}

export interface TeamBudgets {
  /** Grants that are usable now, and limits of the team itself but for those on flow; grants as they are spent. */
  budgets: TeamBudget[];
  /** Teams that ever had a grant: without a usable one they may spend nothing. */
  prepaid: Set<string>;
}

/** Reads the budgets of these teams at this moment of Postgres's clock. */
export function readTeamBudgets(database: Database, teamIds: string[]): Promise<TeamBudgets> {
  return database.db.transaction(
    async (tx) => {
      const now = await clock(tx);
      const { usable, prepaid } = await readGrants(tx, teamIds, now);
      return { budgets: [...usable, ...(await readLimits(tx, teamIds, now))], prepaid };
    },
    { isolationLevel: 'repeatable read', accessMode: 'read only' },
  );
}

async function readGrants(tx: Transaction, teamIds: string[], now: Date) {
  const rows = await tx
    .select()
    .from(grants)
    .where(inArray(grants.teamId, teamIds))
    .orderBy(asc(grants.expiresAt), asc(grants.startsAt), asc(grants.id));
  const usable = rows
    .filter((row) => !row.deletedAt && row.startsAt <= now && (!row.expiresAt || row.expiresAt > now))
    .map((row) =>
      grantCounter({
        id: row.id,
        teamId: row.teamId,
        amount: usd(row.amountUsd),
        startsAtMs: row.startsAt.getTime(),
        expiresAtMs: row.expiresAt?.getTime() ?? null,
      }),
    );
  const known = await readCounters(tx, usable);
  const prepaid = new Set(rows.map((row) => row.teamId));
  const budgets = usable.map((spec) => ({
    teamId: spec.teamId,
    source: 'grant' as const,
    id: spec.sourceId,
    meter: spec.meter,
    isPartial: false,
    amount: spec.amount,
    settled: known.get(spec.id)?.settled ?? 0n,
    endsAtMs: spec.endsAtMs,
  }));
  return { usable: budgets, prepaid };
}

async function readLimits(tx: Transaction, teamIds: string[], now: Date): Promise<TeamBudget[]> {
  const rows = await tx
    .select()
    .from(limits)
    .where(and(inArray(limits.teamId, teamIds), isNull(limits.deletedAt), eq(limits.subjectType, 'team')))
    .orderBy(asc(limits.createdAt), asc(limits.id));
  const specs = rows
    .filter((row) => row.meter !== 'concurrency' && (row.window as Window).type !== 'rolling')
    .map((row) => limitCounter(toLimit(row), row.teamId, null, now.getTime()));
  const known = await readCounters(tx, specs);
  const budgets: TeamBudget[] = [];
  for (const spec of specs) {
    // No call has needed it yet, or it is soft: then the ledger says what its window has seen.
    const settled =
      known.get(spec.id)?.settled ?? (await usedInWindow(tx, spec, spec.startsAtMs, spec.endsAtMs));
    budgets.push({
      teamId: spec.teamId,
      source: 'limit',
      id: spec.sourceId,
      meter: spec.meter,
      isPartial: spec.models !== null,
      amount: spec.amount,
      settled,
      endsAtMs: spec.endsAtMs,
    });
  }
  return budgets;
}

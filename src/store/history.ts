/** What admins see and decide of the store's history: whether money is lent, what is waited for, what was lost. */
import { asc, eq, sql } from 'drizzle-orm';
import { defined } from '../domain/defined.ts';
import { type ApiError, apiError } from '../domain/errors.ts';
import { usd } from '../domain/money.ts';
import { addAudit } from './audit.ts';
import { changeCatalog } from './changes.ts';
import type { Database, Queries } from './database.ts';
import { instances, leases, lostChanges, storeGaps, storeHistory } from './schema.ts';

/** An instance that has to put back or to be adopted before money is lent. */
export interface AwaitedInstance {
  id: string;
  startedAt: Date;
  heartbeatAt: Date;
  /** The number of the last of its events that is here, and the last that another instance had heard of. */
  flushed: number;
  knownFlushed: number;
  /** What counters have lent it, as far as the store knows, in pico-USD. */
  leased: bigint;
}

export interface HistoryState {
  history: typeof storeHistory.$inferSelect;
  awaited: AwaitedInstance[];
  gaps: (typeof storeGaps.$inferSelect)[];
  /** Entries of the audit log that were forgotten, oldest first. */
  lostChanges: Record<string, unknown>[];
}

/** As many as a page shows. */
const ROWS_MAX = 1_000;

/** Returns the present state of the history. */
export async function readHistoryState({ db }: Database): Promise<HistoryState> {
  const [history] = await db.select().from(storeHistory);
  const { epoch, lendingSince } = defined(history, 'the row of the history');
  const [gaps, changes, awaited] = await Promise.all([
    db.select().from(storeGaps).orderBy(asc(storeGaps.notedAt), asc(storeGaps.firstNumber)).limit(ROWS_MAX),
    db.select().from(lostChanges).where(eq(lostChanges.epoch, epoch)).limit(ROWS_MAX),
    lendingSince === null ? readAwaited(db) : [],
  ]);
  const entries = changes.map(({ entry }) => entry);
  entries.sort((a, b) => (String(a.at) < String(b.at) ? -1 : 1));
  return { history: defined(history, 'the row of the history'), awaited, gaps, lostChanges: entries };
}

/** The condition of `isAwaited` in hot/history.ts. */
const isAwaited = sql`not ${instances.isGivenUp} and case when ${instances.status} = 'live'
  then ${instances.epoch} is distinct from (select epoch from ${storeHistory}) else ${instances.endedAt} is null end`;

async function readAwaited(db: Queries): Promise<AwaitedInstance[]> {
  const rows = await db
    .select({
      id: instances.id,
      startedAt: instances.startedAt,
      heartbeatAt: instances.heartbeatAt,
      flushed: instances.flushed,
      knownFlushed: instances.knownFlushed,
      leased: sql<string>`(select coalesce(sum(l.granted - l.returned - l.settled), 0)::text from ${leases} l
        join counters c on c.team_id = l.team_id and c.id = l.counter_id and c.meter = 'cost_usd'
        where l.instance_id = ${instances}.${sql.identifier('id')})`,
    })
    .from(instances)
    .where(isAwaited)
    .orderBy(asc(instances.startedAt), asc(instances.id))
    .limit(ROWS_MAX);
  return rows.map((row) => ({ ...row, leased: usd(row.leased) }));
}

/**
 * Lets lending resume without the instances that are waited for. What the store has lent them stays charged; events of
 * them that are known to be missing become gaps. Returns an error when nothing is waited for.
 */
export function acceptLoss(
  database: Database,
  { reason, actor }: { reason: string; actor: string },
): Promise<ApiError | 'accepted'> {
  return changeCatalog(database, async (tx, now) => {
    const [history] = await tx.select().from(storeHistory).for('update');
    const { epoch, lendingSince } = defined(history, 'the row of the history');
    if (lendingSince !== null) return apiError('conflict', 'money is lent: no instance is waited for');
    const awaited = await readAwaited(tx);
    for (const { id, flushed, knownFlushed } of awaited) {
      await tx.update(instances).set({ isGivenUp: true }).where(eq(instances.id, id));
      if (knownFlushed <= flushed) continue;
      const gap = { instanceId: id, firstNumber: flushed + 1, lastNumber: knownFlushed, epoch, notedAt: now };
      await tx.insert(storeGaps).values(gap).onConflictDoNothing();
    }
    await tx.update(storeHistory).set({ lendingSince: now, acceptedBy: actor, acceptedReason: reason });
    await addAudit(tx, {
      at: now,
      actor,
      action: 'change',
      resource: 'store',
      resourceId: epoch,
      teamId: null,
      before: { awaited: awaited.map(({ id }) => id) },
      after: { reason },
    });
    return 'accepted';
  });
}

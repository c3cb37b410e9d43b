/**
 * Budget that a window left is carried into the next one, as a raise of its limit until that window ends. Invariant: what is carried
 * leaves the counter of the window that has ended in the same transaction, so nothing is lent of both.
 */

import { randomUUID } from 'node:crypto';
import { and, asc, eq, inArray, isNotNull, isNull, sql } from 'drizzle-orm';
import { limitCounter, NO_SUBJECTS, raiseCounter } from '../domain/counter.ts';
import { asId, type RaiseId, type TeamId } from '../domain/ids.ts';
import { PICO_PER_USD, usd } from '../domain/money.ts';
import { formatUsd } from '../domain/quantities.ts';
import { type OpenTimeRange, windowRange } from '../domain/window.ts';
import { toLimit, toRaise } from './balance.ts';
import { changeCatalog, clock, lockOwner, runAlone } from './changes.ts';
import type { Database, Transaction } from './database.ts';
import { createCounters } from './hot/counters.ts';
import { MAX_SUBJECTS } from './hot/leases.ts';
import { type LimitRow, raiseVersionOf } from './limits.ts';
import type { RaiseRow } from './raises.ts';
import { counters, limitRaises, limits } from './schema.ts';

/** Any number, the same in every version of Tollgate. */
const LOCK = 8_655_428_311;
/** After the end of a window instances return what they had borrowed of it. */
const SETTLE_MS = 30_000;
const REASON = 'carried over from the window before';

/**
 * Carries over what is due. What comes back later to a window that has ended (a call ends below its hold, an outcome is corrected) is
 * carried by a later run. Returns for how many limits something was carried; null while another replica does so.
 */
export function carryOver(database: Database): Promise<number | null> {
  return runAlone(database, LOCK, async () => {
    const rows = await database.db
      .select()
      .from(limits)
      .where(and(isNotNull(limits.carryOver), isNull(limits.deletedAt)))
      .orderBy(asc(limits.id));
    let carried = 0;
    for (const row of rows) if (await carryInto(database, row)) carried++;
    return carried;
  });
}

async function carryInto(database: Database, row: LimitRow): Promise<boolean> {
  const { window } = row;
  if (window.type !== 'calendar') return false;
  const nowMs = (await clock(database.db)).getTime();
  const range = windowRange(window, nowMs);
  if (nowMs - range.startMs < SETTLE_MS || row.createdAt.getTime() >= range.startMs) return false;
  const before = limitCounter(toLimit(row), row.teamId, NO_SUBJECTS, range.startMs - 1);
  // Without one a late call could still make it, with all of the amount.
  await createCounters(database.sql, [before], MAX_SUBJECTS);
  return changeCatalog(database, async (tx, now) => {
    if (await lockOwner(tx, row.teamId)) return false;
    const [limit] = await tx.select().from(limits).where(eq(limits.id, row.id)).for('update');
    if (!limit || limit.deletedAt || limit.carryOver === null) return false;
    const earlier = await raiseOf(tx, limit, windowRange(window, range.startMs - 1));
    const present = await raiseOf(tx, limit, range);
    if (present?.deletedAt) return false;
    let wanted = mostOf(limit) - usd(present?.amount ?? '0');
    const earlierId = earlier && raiseCounter(before, toRaise(earlier)).id;
    const left = await lockLeft(tx, limit.teamId, earlierId === null ? [before.id] : [before.id, earlierId]);
    const take = (available: bigint) => {
      const part = available < wanted ? available : wanted;
      const taken = part > 0n ? part : 0n;
      wanted -= taken;
      return taken;
    };
    const ofLimit = take(left.get(before.id) ?? 0n);
    const ofEarlier =
      earlier && earlierId && !earlier.deletedAt ? take(left.get(earlierId) ?? usd(earlier.amount)) : 0n;
    if (ofLimit + ofEarlier <= 0n) return false;
    await addTo(tx, limit.teamId, before.id, -ofLimit);
    if (earlier && earlierId && ofEarlier > 0n) {
      await addTo(tx, limit.teamId, earlierId, -ofEarlier);
      await tx
        .update(limitRaises)
        .set({ amount: sql`${limitRaises.amount} - ${formatUsd(ofEarlier)}::numeric` })
        .where(eq(limitRaises.id, earlier.id));
    }
    await addToRaise(tx, limit, range, present, ofLimit + ofEarlier, now);
    await raiseVersionOf(tx, limit);
    return true;
  });
}

/**
 * The most that may be carried into a window: never more than the amount, or what was carried would be carried again, and add up from
 * window to window. There is no half of a request or a token.
 */
function mostOf({ carryOver: rule, meter, amount }: LimitRow): bigint {
  if (rule === null) return 0n;
  const all = usd(amount);
  const part = 'maxUsd' in rule ? usd(rule.maxUsd) : (all * BigInt(rule.maxPercent)) / 100n;
  const most = meter === 'cost_usd' ? part : part - (part % PICO_PER_USD);
  return most < all ? most : all;
}

/** What was carried into a window; null: nothing was. */
async function raiseOf(
  tx: Transaction,
  limit: LimitRow,
  { startMs }: OpenTimeRange,
): Promise<RaiseRow | null> {
  const [row] = await tx
    .select()
    .from(limitRaises)
    .where(and(eq(limitRaises.limitId, limit.id), eq(limitRaises.carriedInto, new Date(startMs))))
    .for('update');
  return row ?? null;
}

/** Locks those of these counters that exist. Returns what each could still lend. */
async function lockLeft(
  tx: Transaction,
  teamId: TeamId,
  ids: readonly string[],
): Promise<Map<string, bigint>> {
  const rows = await tx
    .select()
    .from(counters)
    .where(and(eq(counters.teamId, teamId), inArray(counters.id, ids.map(asId<never>))))
    .orderBy(asc(counters.id))
    .for('update');
  return new Map(
    rows.map((row) => [row.id, usd(row.amount) - usd(row.settled) - usd(row.held) - usd(row.leased)]),
  );
}

async function addTo(tx: Transaction, teamId: TeamId, id: string, amount: bigint): Promise<void> {
  await tx
    .update(counters)
    .set({ amount: sql`${counters.amount} + ${formatUsd(amount)}::numeric` })
    .where(and(eq(counters.teamId, teamId), eq(counters.id, asId(id))));
}

async function addToRaise(
  tx: Transaction,
  limit: LimitRow,
  range: OpenTimeRange,
  present: RaiseRow | null,
  amount: bigint,
  now: Date,
): Promise<void> {
  if (present === null) {
    await tx.insert(limitRaises).values({
      ...{ id: asId<RaiseId>(randomUUID()), limitId: limit.id, amount: formatUsd(amount), reason: REASON },
      ...{
        startsAt: now,
        until: new Date(range.endMs ?? 0),
        carriedInto: new Date(range.startMs),
        createdAt: now,
      },
    });
    return;
  }
  const more = formatUsd(amount);
  await tx
    .update(limitRaises)
    .set({ amount: sql`${limitRaises.amount} + ${more}::numeric` })
    .where(eq(limitRaises.id, present.id));
  await tx
    .update(counters)
    .set({ amount: sql`${counters.amount} + ${more}::numeric` })
    .where(and(eq(counters.teamId, limit.teamId), eq(counters.sourceId, present.id)));
}

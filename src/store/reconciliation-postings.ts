/**
 * Posting differences of a day: which calls and teams they are about, and that each was posted. Does not own: how much each of
 * them bears (admin/post-difference.ts). Invariant: a difference is posted once.
 */
import { and, eq } from 'drizzle-orm';
import type { EventId, TeamId } from '../domain/ids.ts';
import { type PicoUsd, usd } from '../domain/money.ts';
import type { ServiceTier } from '../domain/price.ts';
import { DAY_MS } from '../domain/window.ts';
import { addAccess } from './audit.ts';
import { changeCatalog, raiseVersion } from './changes.ts';
import type { Database } from './database.ts';
import { POSTING_OPERATION, type PostingRow, stateOf, tierNamed } from './reconciliation.ts';
import { reconciliationPostings } from './schema.ts';

/** A call of the day whose cost the ledger does not know. */
export interface OpenCall {
  id: EventId;
  teamId: TeamId;
  model: string;
  tier: ServiceTier;
  state: string;
  cost: PicoUsd;
  /** Null: it was not corrected. */
  corrected: PicoUsd | null;
}

/** Returns the calls of a day that are not settled at reported usage, oldest first. */
export async function readOpenCalls(
  { sql }: Database,
  dayMs: number,
  upstream: string | null,
): Promise<OpenCall[]> {
  const rows = await sql<
    {
      id: EventId;
      team_id: TeamId;
      model: string;
      tier: string | null;
      outcome: string;
      provenance: string;
      is_gone: boolean;
      cost: string;
      corrected: string | null;
    }[]
  >`
    select e.id, e.team_id, coalesce(nullif(e.response_model, ''), e.model) as model, coalesce(p.tier, e.service_tier) as tier,
      e.outcome, e.provenance, coalesce(e.reason = 'client_gone', false) as is_gone, e.cost_usd::text as cost,
      (select sum(c.delta_usd) from adjustments c where c.team_id = e.team_id and c.event_id = e.id)::text as corrected
    from usage_events e left join prices p on p.id = e.price_id
    where e.created_at >= ${new Date(dayMs).toISOString()} and e.created_at < ${new Date(dayMs + DAY_MS).toISOString()}
      and e.upstream is not distinct from ${upstream} and e.operation <> ${POSTING_OPERATION}
      and (e.outcome = 'unknown' or (e.outcome = 'settled' and e.provenance = 'estimated'))
    order by e.created_at, e.id`;
  return rows.map((row) => ({
    id: row.id,
    teamId: row.team_id,
    model: row.model,
    tier: tierNamed(row.tier),
    state: stateOf(row),
    cost: usd(row.cost),
    corrected: row.corrected === null ? null : usd(row.corrected),
  }));
}

/** What a team's calls of one model and tier cost on a day. */
export interface TeamCost {
  teamId: TeamId;
  model: string;
  tier: ServiceTier;
  cost: PicoUsd;
}

export async function readTeamCosts(
  { sql }: Database,
  dayMs: number,
  upstream: string | null,
): Promise<TeamCost[]> {
  const rows = await sql<{ team_id: TeamId; model: string; tier: string | null; cost: string }[]>`
    select e.team_id, coalesce(nullif(e.response_model, ''), e.model) as model, coalesce(p.tier, e.service_tier) as tier,
      sum(e.cost_usd)::text as cost
    from usage_events e left join prices p on p.id = e.price_id
    where e.created_at >= ${new Date(dayMs).toISOString()} and e.created_at < ${new Date(dayMs + DAY_MS).toISOString()}
      and e.upstream is not distinct from ${upstream} and e.operation <> ${POSTING_OPERATION}
      and e.outcome = 'settled' and e.provenance = 'reported'
    group by 1, 2, 3 having sum(e.cost_usd) > 0 order by 1, 2, 3`;
  return rows.map((row) => ({
    teamId: row.team_id,
    model: row.model,
    tier: tierNamed(row.tier),
    cost: usd(row.cost),
  }));
}

/** Returns the departments that a team belongs to now, as events name them; null: it belongs to none. */
export async function departmentsOf({ sql }: Database, teamId: TeamId): Promise<string | null> {
  const [row] = await sql<{ departments: string | null }[]>`
    select department_path(department_id)::text as departments from teams where id = ${teamId}`;
  return row?.departments ?? null;
}

type Which = Pick<PostingRow, 'day' | 'upstream' | 'difference'>;

export async function findPosting(
  { db }: Database,
  { day, upstream, difference }: Which,
): Promise<PostingRow | null> {
  const [row] = await db
    .select()
    .from(reconciliationPostings)
    .where(
      and(
        eq(reconciliationPostings.day, day),
        eq(reconciliationPostings.upstream, upstream),
        eq(reconciliationPostings.difference, difference),
      ),
    );
  return row ?? null;
}

/** Notes that a difference was posted; the first one stays. */
export async function notePosting(
  database: Database,
  posting: Omit<PostingRow, 'postedAt'>,
  teamIds: readonly TeamId[],
): Promise<PostingRow> {
  const made = await changeCatalog(database, async (tx, now) => {
    const [row] = await tx
      .insert(reconciliationPostings)
      .values({ ...posting, postedAt: now })
      .onConflictDoNothing()
      .returning();
    if (row === undefined) return null;
    const { day, difference, amountUsd, reason, events } = posting;
    await addAccess(tx, {
      actor: posting.actor,
      action: 'create',
      resource: 'reconciliation',
      resourceId: `${day} ${difference}`,
      teamId: null,
      after: { amount_usd: amountUsd, events, reason },
    });
    await raiseVersion(tx, teamIds, 'reread');
    return row;
  });
  const row = made ?? (await findPosting(database, posting));
  if (row === null) throw new Error('a posting is there once it was made');
  return row;
}

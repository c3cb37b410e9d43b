/**
 * Budgets: what a team's grants and limits leave it, in the windows of this moment. Owns: which grants are usable and
 * which limits are budgets, in SQL. Does not own: what one team holds in detail (balance.ts), forecasts (admin).
 */

import { and, asc, eq, gt, inArray, isNull, lte, ne, or, type SQL, sql } from 'drizzle-orm';
import { asId, type DepartmentId, type TeamId } from '../domain/ids.ts';
import type { Meter } from '../domain/limit.ts';
import { ORGANIZATION_ID } from '../domain/limit.ts';
import { type PicoUsd, toFloatUsd, usd } from '../domain/money.ts';
import { QUARTER_HOUR_MS } from '../domain/window.ts';
import { type LimitBalance, readGrants, readLimits, snapshot } from './balance.ts';
import { clock } from './changes.ts';
import { type Database, type Queries, runOn } from './database.ts';
import { counters, grants, limits, teams, usageRollups } from './schema.ts';

const NOW = sql`tollgate_now()`;
const HOUR_MS = 4 * QUARTER_HOUR_MS;

/** A grant that was not deleted and pays for calls at a moment: `isUsable` of domain/budget.ts in SQL. */
function usableAt(now: SQL): SQL | undefined {
  return and(
    isNull(grants.deletedAt),
    lte(grants.startsAt, now),
    or(isNull(grants.expiresAt), gt(grants.expiresAt, now)),
  );
}

/** A counter whose window contains a moment. */
function openAt(now: SQL): SQL | undefined {
  return and(lte(counters.startsAt, now), or(isNull(counters.endsAt), gt(counters.endsAt, now)));
}

/** A limit of which something can be left: rate limits come back by themselves. */
const isBudget = and(
  isNull(limits.deletedAt),
  ne(limits.meter, 'concurrency'),
  sql`${limits.window} ->> 'type' <> 'rolling'`,
);

/** A budget of money for all calls of a team, or of the organization, that is never exceeded. */
const isStrictBudget = and(
  isBudget,
  eq(limits.meter, 'cost_usd'),
  isNull(limits.models),
  eq(limits.enforcement, 'strict'),
  inArray(limits.subjectType, ['team', 'org']),
);

export interface TeamBudget {
  teamId: TeamId;
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
  /** Grants that are usable now, as they are spent, then the team's own limits but for those on flow. */
  budgets: TeamBudget[];
  /** Teams that ever had a grant: without a usable one they may spend nothing. */
  prepaid: Set<string>;
}

/** Reads the budgets of these teams at this moment of Postgres's clock. */
export function readTeamBudgets(database: Database, teamIds: TeamId[]): Promise<TeamBudgets> {
  return snapshot(database, async (tx, now) => {
    const credit = await readGrants(tx, teamIds, now);
    const rows = await tx
      .select()
      .from(limits)
      .where(and(inArray(limits.teamId, teamIds), isBudget, eq(limits.subjectType, 'team')))
      .orderBy(asc(limits.createdAt), asc(limits.id));
    const ofGrants = credit
      .filter(({ usable }) => usable)
      .map(({ grant, amount, settled }): TeamBudget => {
        const { id, teamId, expiresAt } = grant;
        const endsAtMs = expiresAt?.getTime() ?? null;
        return {
          teamId,
          source: 'grant',
          id,
          meter: 'cost_usd',
          isPartial: false,
          amount,
          settled,
          endsAtMs,
        };
      });
    const ofLimits = (await readLimits(tx, rows, now)).map(budgetOf);
    return {
      budgets: [...ofGrants, ...ofLimits],
      prepaid: new Set(credit.map(({ grant }) => grant.teamId)),
    };
  });
}

function budgetOf({ limit, amount, settled, span }: LimitBalance): TeamBudget {
  const { id, teamId, meter, models } = limit;
  const isPartial = models !== null;
  return { teamId, source: 'limit', id, meter, isPartial, amount, settled, endsAtMs: span.endMs };
}

/** Reads the limits of these departments at this moment of Postgres's clock, but for those on flow. */
export function readDepartmentBudgets(
  database: Database,
  ids: readonly DepartmentId[],
): Promise<Map<DepartmentId, TeamBudget[]>> {
  return snapshot(database, async (tx, now) => {
    const rows = await tx
      .select()
      .from(limits)
      .where(and(eq(limits.subjectType, 'department'), inArray(limits.subjectId, [...ids]), isBudget))
      .orderBy(asc(limits.createdAt), asc(limits.id));
    const balances = await readLimits(tx, rows, now);
    const budgets = new Map(ids.map((id): [DepartmentId, TeamBudget[]] => [id, []]));
    for (const balance of balances) budgets.get(asId(balance.limit.subjectId ?? ''))?.push(budgetOf(balance));
    return budgets;
  });
}

/** Reads what is left of the usable grants of these teams, or of all; null: there are none. */
export async function readCredit(queries: Queries, teamIds: TeamId[] | null): Promise<PicoUsd | null> {
  const [row] = await queries
    .select({
      left: sql<string | null>`sum(greatest(${grants.amountUsd} - coalesce(${counters.settled}, 0), 0))`,
    })
    .from(grants)
    .leftJoin(counters, and(eq(counters.teamId, grants.teamId), eq(counters.sourceId, grants.id)))
    .where(and(usableAt(NOW), teamIds === null ? undefined : inArray(grants.teamId, teamIds)));
  return row?.left == null ? null : usd(row.left);
}

/** A team's tightest budget: its grants together, or one of its cost limits. */
export interface TightestBudget {
  team: string;
  amount: PicoUsd;
  /** Amount less all that was settled; what calls hold is not subtracted. Below zero after an overrun. */
  remaining: PicoUsd;
  /** At the pace of the last hour; null: nothing was spent in it. */
  exhaustedInSeconds: number | null;
  /** When the limit's window ends, or the last grant; null: never, or its window has not been used yet. */
  endsAtMs: number | null;
  /** When the first grant that has money left expires; null: none does. */
  grantExpiresAtMs: number | null;
}

type TightestRow = {
  team_id: TeamId;
  team: string;
  amount: string;
  remaining: string;
  ends_at_ms: number | null;
  grant_expires_at_ms: number | null;
};

/**
 * Reads the tightest budget of each team, those closest to their end first. Grants add up to one budget; a team whose
 * grants are all spent or expired still has that budget, of which nothing is left. What no call needed yet is whole.
 *
 * `credit` has a row a team that ever had a grant, `budgets` also one for each limit, `tightest` one a team:
 *
 *     credit    ada  33.00 usd, 11.00 remaining   (grants of 18, 10 and 5, of which 18, 4 and 0 are spent)
 *     budgets   ada  33.00, 11.00 | ada  50.00, 9.50 (a limit by month) | bob  20.00, 20.00
 *     tightest  ada  50.00,  9.50 | bob  20.00, 20.00
 */
export async function readTightestBudgets(queries: Queries, budgetsMax: number): Promise<TightestBudget[]> {
  const rows = await runOn(queries)<TightestRow>(sql`
    with moment as materialized (select tollgate_now() as now),
    paid as (
      select ${grants.teamId} as team_id, ${grants.amountUsd} as amount, ${grants.expiresAt} as expires_at,
        ${grants.amountUsd} - coalesce(${counters.settled}, 0) as remaining, (${usableAt(sql`now`)}) as usable
      from ${grants} cross join moment
      left join ${counters} on ${counters.teamId} = ${grants.teamId} and ${counters.sourceId} = ${grants.id}
      where ${grants.deletedAt} is null),
    credit as (
      select team_id, coalesce(sum(amount) filter (where usable), 0) as amount,
        coalesce(sum(remaining) filter (where usable), 0) as remaining,
        case when not bool_or(usable and expires_at is null) then max(expires_at) filter (where usable) end as ends_at,
        min(expires_at) filter (where usable and remaining > 0) as grant_expires_at
      from paid group by team_id),
    budgets as (
      select team_id, amount, remaining, ends_at from credit
      union all
      select ${limits.teamId}, ${limits.amount}, ${limits.amount} - coalesce(${counters.settled}, 0), ${counters.endsAt}
      from ${limits} cross join moment
      left join ${counters} on ${counters.teamId} = ${limits.teamId} and ${counters.sourceId} = ${limits.id}
        and ${openAt(sql`now`)}
      where ${isStrictBudget}),
    tightest as (select distinct on (team_id) * from budgets order by team_id, remaining)
    select b.team_id, ${teams.name} as team, b.amount::text, b.remaining::text,
      (extract(epoch from b.ends_at) * 1000)::float8 as ends_at_ms,
      (extract(epoch from credit.grant_expires_at) * 1000)::float8 as grant_expires_at_ms
    from tightest b join ${teams} on ${teams.id} = b.team_id left join credit on credit.team_id = b.team_id
    where ${teams.deletedAt} is null or ${teams.id} = ${ORGANIZATION_ID}
    order by b.remaining / nullif(b.amount, 0) nulls last, ${teams.name}
    limit ${budgetsMax}`);
  const usdPerSecond = await readPaces(queries);
  return rows.map((row) => {
    const remaining = usd(row.remaining);
    const pace = usdPerSecond.get(row.team_id);
    return {
      team: row.team,
      amount: usd(row.amount),
      remaining,
      exhaustedInSeconds: pace === undefined ? null : Math.max(0, toFloatUsd(remaining)) / pace,
      endsAtMs: row.ends_at_ms,
      grantExpiresAtMs: row.grant_expires_at_ms,
    };
  });
}

/**
 * Reads how fast each team spends, in USD a second since the quarter of an hour that was an hour ago; the organization as
 * fast as all together. Teams that spent nothing are left out.
 */
async function readPaces(queries: Queries): Promise<Map<string, number>> {
  const now = await clock(queries);
  const hourAgoMs = Math.floor((now.getTime() - HOUR_MS) / QUARTER_HOUR_MS) * QUARTER_HOUR_MS;
  const rows = await runOn(queries)<{ team_id: TeamId; usd_per_second: number }>(sql`
    select r.team_id, sum(r.cost_usd)::float8 / ${(now.getTime() - hourAgoMs) / 1000}::float8 as usd_per_second
    from ${usageRollups} r
    -- By the index that begins with the team.
    where r.team_id in (select id from ${teams}) and r.bucket_start >= ${new Date(hourAgoMs).toISOString()}::timestamptz
    group by r.team_id having sum(r.cost_usd) > 0`);
  const paces = new Map(rows.map((row) => [row.team_id, row.usd_per_second]));
  const total = rows.reduce((sum, row) => sum + row.usd_per_second, 0);
  return total > 0 ? paces.set(ORGANIZATION_ID, total) : paces;
}

/** What a team spent beyond a limit: soft ones let it happen, strict ones were lowered below it. */
export interface OverLimit {
  team: string;
  excess: PicoUsd;
}

/** Reads the most that each team is beyond one of its cost limits in a window that is open, the farthest first. */
export async function readOverLimits(queries: Queries, teamsMax: number): Promise<OverLimit[]> {
  const rows = await runOn(queries)<{ team: string; excess: string }>(sql`
    with moment as materialized (select tollgate_now() as now)
    select ${teams.name} as team, max(${counters.settled} - ${counters.amount})::text as excess
    from ${counters} cross join moment
    join ${teams} on ${teams.id} = ${counters.teamId} join ${limits} on ${limits.id} = ${counters.sourceId}
    where ${counters.source} = 'limit' and ${counters.meter} = 'cost_usd' and ${openAt(sql`now`)}
      and ${counters.settled} > ${counters.amount} and ${teams.deletedAt} is null and ${limits.deletedAt} is null
    group by ${teams.name} order by max(${counters.settled} - ${counters.amount}) desc, ${teams.name}
    limit ${teamsMax}`);
  return rows.map((row) => ({ team: row.team, excess: usd(row.excess) }));
}

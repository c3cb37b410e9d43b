/** Route: the overview. What was spent, what is left, and when it runs out. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import { defined } from '../domain/defined.ts';
import type { PicoUsd } from '../domain/money.ts';
import { type BurnRate, type Outlook, outlookOf, paceRange, spentUntil } from '../domain/outlook.ts';
import { formatUsd } from '../domain/quantities.ts';
import { windowRange } from '../domain/window.ts';
import { readCredit, readTeamBudgets, type TeamBudgets } from '../store/budgets.ts';
import { clock } from '../store/changes.ts';
import { type OverviewRanges, readSpend, type TeamSpend } from '../store/overview.ts';
import { Overview, OverviewQuery } from './contract.ts';
import type { AdminOptions } from './options.ts';
import { route } from './route.ts';

const TEAMS_SHOWN = 20;

export function overviewRoute(app: OpenAPIHono, { database, settleNow }: AdminOptions): void {
  const summary = 'Show what was spent, what is left, and when it ends';
  route(
    app,
    { method: 'get', path: '/overview', summary, query: OverviewQuery, response: Overview },
    async ({ query, teams: reached }) => {
      await settleNow();
      const nowMs = (await clock(database.db)).getTime();
      const { ranges, monthEndMs } = rangesAt(nowMs, query.time_zone);
      const named = query.team_id === undefined ? query.team_ids : [query.team_id];
      const teamIds = named && reached ? named.filter((id) => reached.includes(id)) : (named ?? reached);
      const teams = await readSpend(database.readSql, ranges, teamIds ?? null);
      const shown = named ? teams : teams.toSorted(byMonth).slice(0, TEAMS_SHOWN);
      const budgets = await readTeamBudgets(
        database,
        shown.map((team) => team.id),
      );
      const inMs = nowMs - ranges.recent.startMs;
      const rows = shown.map((team) => ({ team, outlook: outlookFor(team, budgets, inMs, nowMs) }));
      const total = (pick: (team: TeamSpend) => PicoUsd) => teams.reduce((sum, team) => sum + pick(team), 0n);
      const burnRate = { spent: total((team) => team.recent), inMs };
      const month = total((team) => team.month);
      const remaining =
        query.team_id === undefined && reached?.length !== 1
          ? await readCredit(database.db, teamIds ?? null)
          : rows[0]?.outlook.remaining;
      const count = (pick: (team: TeamSpend) => number) => teams.reduce((sum, team) => sum + pick(team), 0);
      const ends = rows.flatMap(({ outlook }) => outlook.exhaustsAtMs ?? []);
      return {
        month_to_date_usd: formatUsd(month),
        previous_month_usd: formatUsd(total((team) => team.previousMonth)),
        today_usd: formatUsd(total((team) => team.today)),
        forecast_month_usd: formatUsd(month + spentUntil(burnRate, nowMs, monthEndMs)),
        remaining_usd: usdOrNull(remaining ?? null),
        unknown_usd: formatUsd(total((team) => team.unknown)),
        calls_today: count((team) => team.callsToday),
        denied_today: count((team) => team.deniedToday),
        errors_today: count((team) => team.errorsToday),
        exhausts_at: momentOrNull(ends.length === 0 ? null : Math.min(...ends)),
        teams: rows.map(({ team, outlook }) => toRow(team, outlook)),
      };
    },
  );
}

/** Returns the time ranges of the overview; days and months begin at midnight in the query's time zone. */
function rangesAt(nowMs: number, timeZone: string): { ranges: OverviewRanges; monthEndMs: number } {
  const recent = paceRange(nowMs);
  const { endMs } = recent;
  const month = windowRange({ type: 'calendar', unit: 'month', timeZone }, nowMs);
  const previous = windowRange({ type: 'calendar', unit: 'month', timeZone }, month.startMs - 1);
  const today = windowRange({ type: 'calendar', unit: 'day', timeZone }, nowMs);
  const ranges = {
    month: { startMs: month.startMs, endMs },
    previousMonth: { startMs: previous.startMs, endMs: month.startMs },
    today: { startMs: today.startMs, endMs },
    recent,
  };
  return { ranges, monthEndMs: defined(month.endMs, 'the end of the month') };
}

function outlookFor(
  team: TeamSpend,
  { budgets, prepaid }: TeamBudgets,
  inMs: number,
  nowMs: number,
): Outlook {
  const own = budgets.filter((budget) => budget.teamId === team.id);
  const burnRate: BurnRate = { spent: team.recent, inMs };
  return outlookOf(own, prepaid.has(team.id), burnRate, nowMs);
}

function byMonth(a: TeamSpend, b: TeamSpend): number {
  if (a.month !== b.month) return a.month > b.month ? -1 : 1;
  return a.name < b.name ? -1 : 1;
}

const usdOrNull = (amount: PicoUsd | null) => (amount === null ? null : formatUsd(amount));
const momentOrNull = (ms: number | null) => (ms === null ? null : new Date(ms).toISOString());

function toRow(team: TeamSpend, { remaining, exhaustsAtMs, tightest }: Outlook) {
  const row: z.input<typeof Overview>['teams'][number] = {
    id: team.id,
    name: team.name,
    spent_month_usd: formatUsd(team.month),
    remaining_usd: usdOrNull(remaining),
    exhausts_at: momentOrNull(exhaustsAtMs),
    tightest: tightest && {
      source: tightest.source,
      id: tightest.id,
      used_ratio: tightest.usedRatio,
      resets_at: momentOrNull(tightest.resetsAtMs),
    },
  };
  return row;
}

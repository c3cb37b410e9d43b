/** Route: the overview. What was spent, what is left, and when it ends, on one page. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import { formatUsd, type PicoUsd } from '../domain/money.ts';
import { DAY_MS, QUARTER_HOUR_MS, windowRange } from '../domain/window.ts';
import { readCredit, readTeamBudgets, type TeamBudgets } from '../store/budgets.ts';
import { clock } from '../store/changes.ts';
import { readSpend, type Spans, type TeamSpend } from '../store/overview.ts';
import { Overview, OverviewQuery } from './contract.ts';
import type { AdminOptions } from './options.ts';
import { type Outlook, outlookOf, type Pace, spentUntil } from './outlook.ts';
import { serve } from './route.ts';

const RECENT_MS = 7 * DAY_MS;
const TEAMS_SHOWN = 20;

export function serveOverview(app: OpenAPIHono, { database, settleNow }: AdminOptions): void {
  const summary = 'Show what was spent, what is left, and when it ends';
  serve(
    app,
    { method: 'get', path: '/overview', summary, query: OverviewQuery, answer: Overview, team: 'query' },
    async ({ query }) => {
      await settleNow();
      const nowMs = (await clock(database.db)).getTime();
      const { spans, monthEndMs } = spansAt(nowMs, query.time_zone);
      const asked = query.team_id === undefined ? query.team_ids : [query.team_id];
      const teams = await readSpend(database.readSql, spans, asked ?? null);
      const shown = asked ? teams : teams.toSorted(byMonth).slice(0, TEAMS_SHOWN);
      const budgets = await readTeamBudgets(
        database,
        shown.map((team) => team.id),
      );
      const inMs = nowMs - spans.recent.fromMs;
      const rows = shown.map((team) => ({ team, outlook: outlookFor(team, budgets, inMs, nowMs) }));
      const total = (pick: (team: TeamSpend) => PicoUsd) => teams.reduce((sum, team) => sum + pick(team), 0n);
      const pace = { spent: total((team) => team.recent), inMs };
      const month = total((team) => team.month);
      const remaining =
        query.team_id === undefined
          ? await readCredit(database.db, asked ?? null)
          : rows[0]?.outlook.remaining;
      const count = (pick: (team: TeamSpend) => number) => teams.reduce((sum, team) => sum + pick(team), 0);
      const ends = rows.flatMap(({ outlook }) => outlook.exhaustsAtMs ?? []);
      return {
        month_to_date_usd: formatUsd(month),
        previous_month_usd: formatUsd(total((team) => team.previousMonth)),
        today_usd: formatUsd(total((team) => team.today)),
        forecast_month_usd: formatUsd(month + spentUntil(pace, nowMs, monthEndMs)),
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

/** Days and months begin at the midnights of the time zone that is asked for. */
function spansAt(nowMs: number, timeZone: string): { spans: Spans; monthEndMs: number } {
  const toMs = Math.ceil((nowMs + 1) / QUARTER_HOUR_MS) * QUARTER_HOUR_MS;
  const month = windowRange({ type: 'calendar', unit: 'month', timeZone }, nowMs);
  const previous = windowRange({ type: 'calendar', unit: 'month', timeZone }, month.startMs - 1);
  const today = windowRange({ type: 'calendar', unit: 'day', timeZone }, nowMs);
  const recentMs = Math.floor((nowMs - RECENT_MS) / QUARTER_HOUR_MS) * QUARTER_HOUR_MS;
  const spans = {
    month: { fromMs: month.startMs, toMs },
    previousMonth: { fromMs: previous.startMs, toMs: month.startMs },
    today: { fromMs: today.startMs, toMs },
    recent: { fromMs: recentMs, toMs },
  };
  return { spans, monthEndMs: month.endMs! };
}

function outlookFor(
  team: TeamSpend,
  { budgets, prepaid }: TeamBudgets,
  inMs: number,
  nowMs: number,
): Outlook {
  const own = budgets.filter((budget) => budget.teamId === team.id);
  const pace: Pace = { spent: team.recent, inMs };
  return outlookOf(own, prepaid.has(team.id), pace, nowMs);
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

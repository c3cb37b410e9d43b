/** Every query that a dashboard asks of Postgres, with its goal; admin-pages.ts has what the console asks. */
import { dashboardQueries, expandSql } from '../../grafana/expand.ts';

export interface PageQuery {
  /** `spend: Top callers`. */
  name: string;
  text: string;
  goalMs: number;
}

const GOAL_MS = 300;

/** The dashboards' queries over thirty days, all teams and models. */
export function dashboardPages(now: Date): PageQuery[] {
  const time = { from: new Date(now.getTime() - 30 * 86_400_000), to: now };
  return dashboardQueries()
    .filter(({ language }) => language === 'sql')
    .map(({ name, text }) => ({ name, text: expandSql(text, time), goalMs: GOAL_MS }));
}

/**
 * Every query of the dashboards, with Grafana's variables and macros expanded, to run them without Grafana. Supports
 * only what these queries use; any other syntax of Grafana is an error.
 */
import type { Panel, RowPanel } from '@grafana/grafana-foundation-sdk/dashboard';
import { DASHBOARDS } from './dashboards.ts';
import { ALL, type SqlQuery } from './queries.ts';

export interface DashboardQuery {
  /** `spend: Top callers`, and the target's letter where there are several. */
  name: string;
  language: 'promql' | 'sql';
  text: string;
  /** An instant query, not a range. */
  instant: boolean;
}

type Target = Partial<SqlQuery> & { expr?: string; instant?: boolean };

export function isRow(panel: Panel | RowPanel): panel is RowPanel {
  return panel.type === 'row';
}

/** Those of panels, then those of variables and annotations. */
export function dashboardQueries(): DashboardQuery[] {
  return Object.entries(DASHBOARDS).flatMap(([file, dashboard]) => {
    const ofPanels = dashboard.panels!.flatMap((panel) => {
      if (isRow(panel)) return [];
      const targets = (panel.targets ?? []) as Target[];
      return targets.map((target) =>
        queryOf(`${file}: ${panel.title}${targets.length > 1 ? ` ${target.refId}` : ''}`, target),
      );
    });
    const ofAnnotations = dashboard.annotations!.list!.map(({ name, target }) =>
      queryOf(`${file}: ${name}`, target as unknown as Target),
    );
    return [...ofPanels, ...ofAnnotations];
  });
}

function queryOf(name: string, { expr, rawSql, instant }: Target): DashboardQuery {
  if (expr !== undefined) return { name, language: 'promql', text: expr, instant: instant === true };
  return { name, language: 'sql', text: rawSql!, instant: false };
}

export interface Expansion {
  from: Date;
  to: Date;
  /** Values of the variables; one that is missing is set to all. */
  variables?: Record<string, string[]>;
}

/** PromQL as Prometheus gets it; a step of 15 seconds. */
export function expandPromql(text: string, { from, to, variables = {} }: Expansion): string {
  const range = Math.ceil((to.getTime() - from.getTime()) / 1000);
  return finished(
    text
      .replaceAll('$__rate_interval', '1m')
      .replaceAll('$__range', `${range}s`)
      .replaceAll(/\$\{(\w+):regex\}/g, (_, name: string) => {
        const chosen = variables[name];
        return chosen
          ? `(${chosen.map((value) => value.replaceAll(/[\\^$*+?.()|[\]{}]/g, '\\\\$&')).join('|')})`
          : ALL;
      }),
  );
}

/** SQL as Postgres gets it. */
export function expandSql(text: string, { from, to, variables = {} }: Expansion): string {
  const at = (moment: Date) => `'${moment.toISOString()}'`;
  return finished(
    text
      .replaceAll(
        /\$__timeFilter\((\w+)\)/g,
        (_, column: string) => `${column} BETWEEN ${at(from)} AND ${at(to)}`,
      )
      .replaceAll('$__timeFrom()', () => at(from))
      .replaceAll('$__timeTo()', () => at(to))
      .replaceAll(/\$\{(\w+):pipe\}/g, (_, name: string) => variables[name]?.join('|') ?? ALL),
  );
}

function finished(text: string): string {
  const left = /\$__\w+|\$\{\w+[^}]*\}/.exec(text);
  if (left) throw new Error(`not expanded: ${left[0]} in ${text}`);
  return text;
}

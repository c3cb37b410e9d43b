/** From panels to a dashboard: places without gaps, ids in reading order, the variables and annotations of all. */
import {
  AnnotationQueryBuilder,
  type Dashboard,
  DashboardBuilder,
  DashboardCursorSync,
  DashboardLinkBuilder,
  DashboardLinkType,
  QueryVariableBuilder,
  RowBuilder,
  VariableRefresh,
  VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboard';
import type { Placed } from './panels.ts';
import { ALL, POSTGRES, PROMETHEUS, sqlQuery } from './queries.ts';

/** Grafana's grid is this wide. */
const COLUMNS = 24;
const TAG = 'tollgate';

/** Panels side by side, each as wide as the others; a heading over them. */
export interface DashboardRow {
  heading: string;
  height: number;
  panels: readonly Placed[];
}

export interface DashboardSpec {
  uid: string;
  title: string;
  description: string;
  /** Where its time begins: `now-6h`, `now/M`. */
  from: string;
  /** Where it ends; default: now. */
  to?: string;
  refresh: string;
  rows: readonly DashboardRow[];
}

export function dashboard(spec: DashboardSpec): Dashboard {
  const builder = new DashboardBuilder(spec.title)
    .uid(spec.uid)
    .description(spec.description)
    .tags([TAG])
    .timezone('utc')
    .time({ from: spec.from, to: spec.to ?? 'now' })
    .refresh(spec.refresh)
    .tooltip(DashboardCursorSync.Crosshair)
    .readonly()
    .link(
      new DashboardLinkBuilder('Tollgate')
        .type(DashboardLinkType.Dashboards)
        .tags([TAG])
        .keepTime(false)
        .includeVars(true),
    )
    .variables([teamVariable(), modelVariable()])
    .annotation(changes());
  let id = 1;
  let y = 0;
  for (const { heading, height, panels } of spec.rows) {
    builder.withRow(new RowBuilder(heading).id(id++).gridPos({ x: 0, y, w: COLUMNS, h: 1 }));
    y += 1;
    const width = Math.floor(COLUMNS / panels.length);
    for (const [index, panel] of panels.entries()) {
      const last = index === panels.length - 1;
      const w = last ? COLUMNS - width * index : width;
      builder.withPanel(panel(id++, { x: width * index, y, w, h: height }));
    }
    y += height;
  }
  return builder.build();
}

function teamVariable(): QueryVariableBuilder {
  return choice('team', 'Team', 'Teams; all of them, unless chosen')
    .datasource(POSTGRES)
    .query('select name from teams where deleted_at is null order by name');
}

function modelVariable(): QueryVariableBuilder {
  return choice(
    'model',
    'Model',
    'Models of the price list; tables from SQL know calls by the name they asked for',
  )
    .datasource(PROMETHEUS)
    .query('label_values(tollgate_model_cost_usd_total, model)');
}

function choice(name: string, label: string, description: string): QueryVariableBuilder {
  return new QueryVariableBuilder(name)
    .label(label)
    .description(description)
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .sort(VariableSort.AlphabeticalAsc)
    .multi(true)
    .includeAll(true)
    .allValue(ALL)
    .current({ text: 'All', value: '$__all' });
}

/** Annotations: changes of budgets, on every chart. */
function changes(): AnnotationQueryBuilder {
  const rawSql = `
select at as time, concat_ws(' ', actor, action, resource) as title,
  coalesce(after, before)::text as text, resource as tags
from audit_log
where $__timeFilter(at) and resource in ('limit', 'grant', 'plan', 'price')
order by at`;
  return new AnnotationQueryBuilder()
    .name('Changes of budgets')
    .datasource(POSTGRES)
    .enable(true)
    .iconColor('purple')
    .target({ build: () => sqlQuery('Anno', 'table', rawSql) });
}

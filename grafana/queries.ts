/** What panels ask: PromQL of Prometheus, SQL of Postgres. Data only: Grafana fills in times and variables. */
import type { Dataquery as AnyQuery, Builder } from '@grafana/grafana-foundation-sdk/cog';
import type { DataSourceRef } from '@grafana/grafana-foundation-sdk/common';
import { DataqueryBuilder, PromQueryFormat } from '@grafana/grafana-foundation-sdk/prometheus';

/** The uids under which provisioning/datasources makes them. */
export const PROMETHEUS: DataSourceRef = { type: 'prometheus', uid: 'tollgate-prometheus' };
export const POSTGRES: DataSourceRef = { type: 'grafana-postgresql-datasource', uid: 'tollgate-postgres' };

/** One query before it knows its place in a panel. */
export type Query = (refId: string) => Builder<AnyQuery>;

/** How Grafana writes what a variable chose: `format` is its own word. */
const value = (variable: string, format: string) => `\${${variable}:${format}}`;

/** What the variable for all chooses. Grafana puts it in as it is, quoted nowhere, so queries must know it. */
export const ALL = '.*';

/** Teams and models that the variables choose, in PromQL and in SQL. */
export const TEAM = `team=~"${value('team', 'regex')}"`;
export const MODEL = `model=~"${value('model', 'regex')}"`;
export const teamIs = (column: string) => chosen(column, value('team', 'pipe'));
export const modelIs = (column: string) => chosen(column, value('model', 'pipe'));

/** Dollar quotes, because a name may have an apostrophe; constants that Postgres folds where all are chosen. */
function chosen(column: string, names: string): string {
  return `($v$${names}$v$ = '${ALL}' or ${column} = any(string_to_array($v$${names}$v$, '|')))`;
}

/** A range of values over the dashboard's time. */
export function prom(expr: string, legend = ''): Query {
  return (refId) => promQuery(refId, expr, legend).range().format(PromQueryFormat.TimeSeries);
}

/** The present value. */
export function promNow(expr: string, legend = ''): Query {
  return (refId) => promQuery(refId, expr, legend).instant().format(PromQueryFormat.TimeSeries);
}

/** The present value as rows of a table, with a column per label. */
export function promTable(expr: string): Query {
  return (refId) => promQuery(refId, expr, '').instant().format(PromQueryFormat.Table);
}

/** Histogram buckets over the dashboard's time; the expression must keep `le`. */
export function promBuckets(expr: string): Query {
  return (refId) => promQuery(refId, expr, '{{le}}').range().format(PromQueryFormat.Heatmap);
}

function promQuery(refId: string, expr: string, legend: string): DataqueryBuilder {
  return new DataqueryBuilder().datasource(PROMETHEUS).refId(refId).expr(expr).legendFormat(legend);
}

/** A query of Postgres: its first column `time` for a series, any columns for a table. */
export interface SqlQuery extends AnyQuery {
  refId: string;
  datasource: DataSourceRef;
  editorMode: 'code';
  format: 'table' | 'time_series';
  rawQuery: true;
  rawSql: string;
}

export function sqlTable(rawSql: string): Query {
  return (refId) => ({ build: () => sqlQuery(refId, 'table', rawSql) });
}

export function sqlSeries(rawSql: string): Query {
  return (refId) => ({ build: () => sqlQuery(refId, 'time_series', rawSql) });
}

/** The SDK has no type of its own for Postgres. */
export function sqlQuery(refId: string, format: SqlQuery['format'], rawSql: string): SqlQuery {
  return {
    refId,
    datasource: POSTGRES,
    editorMode: 'code',
    format,
    rawQuery: true,
    rawSql: rawSql.trim(),
    _implementsDataqueryVariant() {},
  };
}

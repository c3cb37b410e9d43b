/**
 * Exposition: the present values of metrics, and Prometheus' text format for them.
 * https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
 */
import { type PicoUsd, toFloatUsd } from '../domain/money.ts';
import { METRICS, type MergeRule, type MetricKey } from './names.ts';

/** The present value of one series. Money is exact. */
export interface Point {
  suffix: '' | '_bucket' | '_sum' | '_count';
  labels: Readonly<Record<string, string>>;
  value: number | PicoUsd;
}

/** One metric with the present values of all its series: workers send it to each other, and the page shows it. */
export interface Family {
  name: string;
  type: 'counter' | 'gauge' | 'histogram';
  help: string;
  merge: MergeRule;
  points: Point[];
}

interface Readable {
  read(): Iterable<Point>;
}

/** Returns a metric of Tollgate with the present values of its series. */
export function familyOf(name: MetricKey, samples: Iterable<Readable>): Family {
  const metric: { type: Family['type']; help: string; merge?: MergeRule } = METRICS[name];
  const { type, help, merge = 'sum' } = metric;
  const points: Point[] = [];
  for (const sample of samples) points.push(...sample.read());
  return { name, type, help, merge, points };
}

/** Returns the page for Prometheus. A metric without series is left out. */
export function pageText(families: Iterable<Family>): string {
  let text = '';
  for (const { name, type, help, points } of families) {
    if (points.length === 0) continue;
    text += `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;
    for (const { suffix, labels, value } of points) {
      const number = typeof value === 'bigint' ? toFloatUsd(value) : value;
      text += `${name}${suffix}${labelText(labels)} ${number}\n`;
    }
  }
  return text;
}

/** The same page as OpenMetrics 1.0: counters are declared without `_total`, and the page says where it ends. */
export function openMetricsText(page: string): string {
  const counters = new Set([...page.matchAll(/^# TYPE (\S+)_total counter$/gm)].map(([, name]) => name));
  const lines = page.replace(/^# (HELP|TYPE) (\S+)_total /gm, (line, kind, name) =>
    counters.has(name) ? `# ${kind} ${name} ` : line,
  );
  return `${lines}# EOF\n`;
}

/** What a scraper asks for: OpenMetrics, if it takes that. */
export const OPEN_METRICS_TYPE = 'application/openmetrics-text; version=1.0.0; charset=utf-8';

function labelText(labels: Readonly<Record<string, string>>): string {
  let text = '';
  for (const [name, value] of Object.entries(labels)) {
    // Prometheus 3 writes bounds as floats, version 2 as they come: so written they are the same on both.
    const written = name === 'le' && /^\d+$/.test(value) ? `${value}.0` : value;
    text += `${text === '' ? '{' : ','}${name}="${escapeLabel(written)}"`;
  }
  return text === '' ? '' : `${text}}`;
}

function escapeLabel(value: string): string {
  return /[\\\n"]/.test(value)
    ? value.replace(/\\/g, '\\\\').replace(/\n/g, '\\n').replace(/"/g, '\\"')
    : value;
}

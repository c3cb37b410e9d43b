/**
 * Metrics. Owns: what one call adds to them, the bounds of their labels, and the page for Prometheus.
 * Does not own: names (names.ts), series (series.ts), the page (page.ts), who may read the page (main/http).
 * Invariants: fewer than 2,000 series at the default caps; recording never throws, never waits, and costs a call less
 * than 2 µs; money is summed exactly and becomes a float only as text.
 */

import { collectDefaultMetrics, Registry } from 'prom-client';
import type { ContentEnd } from '../domain/contents.ts';
import { defined } from '../domain/defined.ts';
import { ERRORS, type ErrorCode } from '../domain/errors.ts';
import type { PicoUsd } from '../domain/money.ts';
import type { RecipientKind } from '../domain/notice.ts';
import { type Family, type Point, pageText } from './exposition.ts';
import { MODEL_CAP, OTHER, TEAM_CAP } from './labels.ts';
import type {
  CallMeasurement,
  DeliveryOutcome,
  Gauges,
  LedgerWork,
  UpstreamWebhookKind,
  UpstreamWebhookOutcome,
} from './measurement.ts';
import type { MergeRule } from './names.ts';
import { counterFamilies, gaugeFamilies } from './page.ts';
import { callRecorder, createSeries } from './series.ts';

export interface MetricsOptions {
  version: string;
  /** Teams with a label of their own; the rest share `other`. */
  teamCap?: number;
  modelCap?: number;
  /** Operations with a label of their own: as many as there are. */
  operationCap?: number;
}

export interface Metrics {
  /** A call that was forwarded, whatever came of it. */
  recordCall(call: CallMeasurement): void;
  /** A request that was not forwarded: a denial or an error, by its code. Operation null: none of the known ones. */
  recordError(code: ErrorCode, operation: string | null, isRetry: boolean): void;
  /** Something that the ledger asked of Postgres. */
  recordLedgerWork(work: LedgerWork, durationUs: number, failed: boolean): void;
  recordDroppedLogLines(count: number): void;
  /** A successful reconciliation; `atMs`: its end, in milliseconds since the epoch. */
  recordReconcileRun(atMs: number): void;
  /** What a reconciliation gave back. */
  recordRelease(releasedPicoUsd: PicoUsd): void;
  /** The database went back, and this instance has put back what was its own. */
  recordPutBack(): void;
  /** What calls said was stored, or was not. */
  recordContent(end: ContentEnd): void;
  /** An input was counted before its money was held: by its encoding here, or by the upstream. */
  recordInputCount(by: 'encoding' | 'upstream'): void;
  /** A bill was above what earlier calls had bounded it by. */
  recordAnchorBreak(): void;
  recordWarning(thresholdPercent: number): void;
  /** An attempt to send a warning. */
  recordDelivery(outcome: DeliveryOutcome): void;
  /** An attempt to send a notice. */
  recordNotice(channel: RecipientKind, outcome: DeliveryOutcome): void;
  /** A webhook of an upstream came. */
  recordUpstreamWebhook(kind: UpstreamWebhookKind, outcome: UpstreamWebhookOutcome): void;
  /** Where {@link Gauges} are read from at each scrape. */
  readGaugesFrom(source: () => Gauges): void;
  /** Every metric with its series as they are now, those of the process last. */
  families(): Promise<Family[]>;
  /** The page for Prometheus. */
  render(): Promise<string>;
  readonly contentType: string;
}

/**
 * How often the lag of the event loop is sampled. Every sample wakes an idle process: at 10 ms, prom-client's own
 * choice, that is 0.4 % of a core.
 */
const LAG_SAMPLE_MS = 200;
/** What is read from the samples; they count the time between two, of which all but the interval is lag. */
const LAG_SAMPLED = /^nodejs_eventloop_lag_(min|max|mean|p\d+)_seconds$/;

/** Makes metrics of their own; one per process is meant, because the process metrics watch the garbage collector. */
export function createMetrics({
  version,
  teamCap = TEAM_CAP,
  modelCap = MODEL_CAP,
  operationCap = 16,
}: MetricsOptions): Metrics {
  const series = createSeries(version, { teamCap, modelCap, operationCap });
  const { operations } = series;
  const processMetrics = new Registry();
  collectDefaultMetrics({ register: processMetrics, eventLoopMonitoringPrecision: LAG_SAMPLE_MS });
  let readGauges: (() => Gauges) | null = null;

  function recordError(code: ErrorCode, operation: string | null, isRetry: boolean): void {
    const isDenial = ERRORS[code].kind === 'denial';
    defined((isDenial ? series.denials : series.errors).get(code), 'a series').value++;
    const { requests, retries } = operations.get(operation ?? OTHER);
    requests[isDenial ? 'denied' : 'error'].value++;
    if (isRetry) retries.value++;
  }

  async function families(): Promise<Family[]> {
    const gauges = readGauges === null ? [] : gaugeFamilies(series, readGauges());
    return [...counterFamilies(series), ...gauges, ...(await processFamilies(processMetrics))];
  }

  return {
    recordCall: callRecorder(series),
    recordError,
    recordLedgerWork: (work, durationUs, failed) => {
      const { duration, failures } = defined(series.ledgerWork.get(work), 'a series');
      duration.observe(durationUs);
      if (failed) failures.value++;
    },
    recordDroppedLogLines: (count) => {
      series.droppedLogLines.value += count;
    },
    recordReconcileRun: (atMs) => {
      series.reconcileRun.value = atMs / 1000;
    },
    recordRelease: (releasedPicoUsd) => {
      series.released.valuePicoUsd += releasedPicoUsd;
    },
    recordInputCount: (by) => {
      series.inputCounts[by].value++;
    },
    recordAnchorBreak: () => {
      series.anchorBreaks.value++;
    },
    recordPutBack: () => {
      series.putBacks.value++;
    },
    recordContent: (end) => {
      const sample = series.contents.get(end);
      if (sample !== undefined) sample.value++;
    },
    recordWarning: (thresholdPercent) => {
      series.warnings.get(String(thresholdPercent)).value++;
    },
    recordNotice: (channel, outcome) => {
      series.noticeDeliveries[channel][outcome].value++;
    },
    recordDelivery: (outcome) => {
      series.deliveries[outcome].value++;
    },
    recordUpstreamWebhook: (kind, outcome) => {
      defined(series.upstreamWebhooks.get(`${kind} ${outcome}`), 'a series').value++;
    },
    readGaugesFrom: (source) => {
      readGauges = source;
    },
    families,
    render: async () => pageText(await families()),
    contentType: processMetrics.contentType,
  };
}

/** What prom-client says of one of its metrics; its types leave these out. */
interface ProcessMetric {
  name: string;
  help: string;
  type: string;
  aggregator?: string;
  values: { value: number; labels: Record<string, string | number>; metricName?: string }[];
}

/** An average over workers says of none of them how it is; of the slowest the maximum does. */
const PROCESS_MERGE: Record<string, MergeRule> = {
  sum: 'sum',
  min: 'min',
  max: 'max',
  average: 'max',
  omit: 'min',
  first: 'max',
};

async function processFamilies(registry: Registry): Promise<Family[]> {
  const metrics = (await registry.getMetricsAsJSON()) as unknown as ProcessMetric[];
  // Three gauges of the library are named like counters; each is the sum of another's series.
  const own = metrics.filter(({ name, type }) => type !== 'gauge' || !name.endsWith('_total'));
  return own.map(({ name, help, type, aggregator = 'sum', values }) => ({
    name,
    help,
    type: type === 'counter' || type === 'histogram' ? type : 'gauge',
    merge: PROCESS_MERGE[aggregator] ?? 'sum',
    points: values.map(({ value, labels, metricName = name }) => ({
      suffix: metricName.slice(name.length) as Point['suffix'],
      labels: Object.fromEntries(Object.entries(labels).map(([label, text]) => [label, String(text)])),
      value: LAG_SAMPLED.test(name) ? Math.max(0, value - LAG_SAMPLE_MS / 1000) : value,
    })),
  }));
}

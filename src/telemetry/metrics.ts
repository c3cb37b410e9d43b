/**
 * Metrics. Owns: what one call adds to them, the bounds of their labels, and the page for Prometheus.
 * Does not own: names (names.ts), series (series.ts), text (page.ts), who may read the page (gateway).
 * Invariants: fewer than 2,000 series at the default caps; recording never throws, never waits, and costs a call less
 * than 2 µs; money is summed exactly and becomes a float only as text.
 */
import { collectDefaultMetrics, Registry } from 'prom-client';
import { ERRORS, type ErrorCode } from '../domain/errors.ts';
import type { PicoUsd } from '../domain/money.ts';
import type { OperationName } from '../domain/operation.ts';
import { OTHER } from './labels.ts';
import { type CallMeasurement, type Gauges, STAGES } from './measurement.ts';
import { countersText, gaugesText } from './page.ts';
import { addTokens, createSeries } from './series.ts';

export interface MetricsOptions {
  version: string;
  /** Teams with a label of their own; the rest share `other`. */
  teamCap?: number;
  modelCap?: number;
}

export interface Metrics {
  /** A call that was forwarded, whatever came of it. */
  recordCall(call: CallMeasurement): void;
  /** A request that was not forwarded. Operation null: it was none that we know. */
  recordDenial(reason: ErrorCode, operation: OperationName | null): void;
  recordDroppedLogLines(count: number): void;
  /** A reconciliation that ended well, at this moment in milliseconds since the epoch. */
  recordReconcileRun(atMs: number): void;
  /** What a reconciliation gave back. */
  recordRelease(releasedPicoUsd: PicoUsd): void;
  /** Where {@link Gauges} are read from at each scrape. */
  readGaugesFrom(source: () => Gauges): void;
  /** The page for Prometheus. */
  render(): Promise<string>;
  readonly contentType: string;
}

/** Makes metrics of their own; one per process is meant, because the process metrics watch the garbage collector. */
export function createMetrics({ version, teamCap = 100, modelCap = 32 }: MetricsOptions): Metrics {
  const series = createSeries(version, teamCap, modelCap);
  const { teams, models, operations, stages } = series;
  const processMetrics = new Registry();
  collectDefaultMetrics({ register: processMetrics });
  let readGauges: (() => Gauges) | null = null;

  function recordCall(call: CallMeasurement): void {
    const operation = operations.get(call.operation);
    operation.requests[call.outcome].value++;
    if (call.upstreamUs !== null) operation.upstream.observe(call.upstreamUs);

    const team = teams.get(call.team);
    team.calls.value++;
    team.cost.valuePicoUsd += call.costPicoUsd;
    if (call.outcome === 'unknown') team.unknown.valuePicoUsd += call.costPicoUsd;
    if (call.usage !== null) addTokens(team.tokens, call.usage);
    if (call.overrunPicoUsd > 0n) series.overrun.valuePicoUsd += call.overrunPicoUsd;

    if (call.model !== null) {
      const model = models.get(call.model);
      model.cost.valuePicoUsd += call.costPicoUsd;
      if (call.usage !== null) addTokens(model.tokens, call.usage);
      if (call.firstByteUs !== null) model.firstByte.observe(call.firstByteUs);
    }
    for (let index = 0; index < STAGES.length; index++) {
      const durationUs = call.stageUs[STAGES[index]!];
      if (durationUs !== undefined) stages[index]!.observe(durationUs);
    }
  }

  function recordDenial(reason: ErrorCode, operation: OperationName | null): void {
    series.denials.get(reason)!.value++;
    const outcome = ERRORS[reason].status === 429 ? 'denied' : 'refused';
    operations.get(operation ?? OTHER).requests[outcome].value++;
  }

  return {
    recordCall,
    recordDenial,
    recordDroppedLogLines: (count) => {
      series.droppedLogLines.value += count;
    },
    recordReconcileRun: (atMs) => {
      series.reconcileRun.value = atMs / 1000;
    },
    recordRelease: (releasedPicoUsd) => {
      series.released.valuePicoUsd += releasedPicoUsd;
    },
    readGaugesFrom: (source) => {
      readGauges = source;
    },
    render: async () => {
      const gauges = readGauges === null ? '' : gaugesText(series, readGauges());
      return `${countersText(series)}${gauges}${await processMetrics.metrics()}`;
    },
    contentType: processMetrics.contentType,
  };
}

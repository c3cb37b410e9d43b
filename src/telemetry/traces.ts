/**
 * Spans and metrics of calls for OpenTelemetry, by its own SDK and the conventions for generative AI
 * (https://opentelemetry.io/docs/specs/semconv/gen-ai/). Loaded only where OTEL_EXPORTER_OTLP_ENDPOINT is set. Invariants:
 * noting a call never waits and never throws; a collector that is away costs spans, not calls.
 */
import { once } from 'node:events';
import {
  type Attributes,
  type Context,
  DiagLogLevel,
  diag,
  type Histogram,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-http';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import { callFields, FIELDS } from './fields.ts';
import {
  type CallEntry,
  type CallTraces,
  STAGES,
  type StageDurationsUs,
  type StoppedCall,
  type TracedCall,
} from './measurement.ts';

export interface TracesOptions {
  /** Base URL of a collector: `/v1/traces` and `/v1/metrics` are below it. */
  endpoint: string;
  /** The share of calls that get a span, from 0 to 1, where the caller's own trace does not say. */
  ratio: number;
  version: string;
  instanceId: string;
  /** What else is said of this gateway; `service.name` among it. */
  attributes: Readonly<Record<string, string>>;
  onError(message: string): void;
}

/** Spans that wait for the collector; above it they are dropped. */
const QUEUE_SPANS = 8_192;
const SEND_EVERY_MS = 2_000;
const METRICS_EVERY_MS = 15_000;
const TIMEOUT_MS = 5_000;
/** How long the end of the process may wait for the collector. */
const LAST_MS = 2_000;

/** The buckets that the conventions ask for. */
const TOKEN_BUCKETS = Array.from({ length: 14 }, (_, power) => 4 ** power);
const SECOND_BUCKETS = Array.from({ length: 14 }, (_, power) => 2 ** power / 100);
const FIRST_TOKEN_BUCKETS = [
  0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10,
];

/** Starts the SDK; nothing is sent before the first call. */
export function openTraces(options: TracesOptions): CallTraces {
  const { endpoint, ratio, version, instanceId, attributes, onError } = options;
  const ignore = () => {};
  diag.setLogger(
    { error: onError, warn: onError, info: ignore, debug: ignore, verbose: ignore },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
  const resource = resourceFromAttributes({
    'service.name': 'tollgate',
    'service.version': version,
    ...attributes,
    'service.instance.id': instanceId,
  });
  const base = endpoint.replace(/\/$/, '');
  const spans = new BatchSpanProcessor({
    exporter: new OTLPTraceExporter({ url: `${base}/v1/traces`, timeoutMillis: TIMEOUT_MS }),
    maxQueueSize: QUEUE_SPANS,
    scheduledDelayMillis: SEND_EVERY_MS,
    exportTimeoutMillis: TIMEOUT_MS,
  });
  const tracers = new TracerProvider({
    resource,
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratio) }),
    spanProcessors: [spans],
  });
  const reader = new PeriodicExportingMetricReader({
    exporter: new OTLPMetricExporter({ url: `${base}/v1/metrics`, timeoutMillis: TIMEOUT_MS }),
    exportIntervalMillis: METRICS_EVERY_MS,
    exportTimeoutMillis: TIMEOUT_MS,
  });
  const meters = new MeterProvider({ resource, readers: [reader] });
  const meter = meters.getMeter('tollgate', version);
  const histogram = (name: string, unit: string, buckets: number[]) =>
    meter.createHistogram(name, { unit, advice: { explicitBucketBoundaries: buckets } });
  return new Traces(
    tracers.getTracer('tollgate', version),
    {
      tokens: histogram('gen_ai.client.token.usage', '{token}', TOKEN_BUCKETS),
      duration: histogram('gen_ai.client.operation.duration', 's', SECOND_BUCKETS),
      firstToken: histogram('gen_ai.server.time_to_first_token', 's', FIRST_TOKEN_BUCKETS),
    },
    async () => {
      // What the collector does not take in time is lost, as if it were away.
      const sent = Promise.allSettled([tracers.shutdown(), meters.shutdown({ timeoutMillis: LAST_MS })]);
      await Promise.race([sent, once(AbortSignal.timeout(LAST_MS), 'abort')]);
    },
  );
}

interface Histograms {
  tokens: Histogram;
  duration: Histogram;
  firstToken: Histogram;
}

class Traces implements CallTraces {
  readonly #tracer: Tracer;
  readonly #histograms: Histograms;
  readonly close: () => Promise<void>;

  constructor(tracer: Tracer, histograms: Histograms, close: () => Promise<void>) {
    this.#tracer = tracer;
    this.#histograms = histograms;
    this.close = close;
  }

  add(
    entry: CallEntry,
    { pricedModel, firstByteUs, upstreamUs, upstreamError, stream, traceparent }: TracedCall,
  ): void {
    const endedMs = entry.endedMs;
    const span = this.#tracer.startSpan(
      spanName(entry.operation.otel, entry.requestModel),
      {
        kind: SpanKind.CLIENT,
        startTime: startedAt(endedMs, entry.stageUs),
        attributes: { ...callFields(entry), ...stageAttributes(entry.stageUs) },
      },
      parentOf(traceparent),
    );
    if (upstreamError !== null) {
      span.setAttribute(FIELDS.errorType, upstreamError);
      span.setStatus({ code: SpanStatusCode.ERROR });
    }
    span.end(endedMs);
    const labels: Attributes = {
      [FIELDS.provider]: 'openai',
      [FIELDS.operation]: entry.operation.otel,
      ...(pricedModel === null ? {} : { [FIELDS.requestModel]: pricedModel }),
    };
    const { tokens, duration, firstToken } = this.#histograms;
    const failed = upstreamError === null ? labels : { ...labels, [FIELDS.errorType]: upstreamError };
    if (upstreamUs !== null) duration.record(upstreamUs / 1e6, failed);
    // Any other response arrives whole: its first byte is no first token. And what failed has none.
    if (firstByteUs !== null && stream && upstreamError === null)
      firstToken.record(firstByteUs / 1e6, labels);
    const { input_tokens: input, output_tokens: output } = entry.usage ?? {};
    if (input !== undefined) tokens.record(input, { ...labels, 'gen_ai.token.type': 'input' });
    if (output !== undefined) tokens.record(output, { ...labels, 'gen_ai.token.type': 'output' });
  }

  addStopped({ operation, code, status, team, stageUs, traceparent }: StoppedCall): void {
    const endedMs = Date.now();
    const span = this.#tracer.startSpan(
      operation === null ? 'unknown operation' : spanName(operation.otel, null),
      {
        kind: SpanKind.CLIENT,
        startTime: startedAt(endedMs, stageUs),
        attributes: {
          [FIELDS.provider]: 'openai',
          [FIELDS.errorType]: code,
          [FIELDS.status]: status,
          ...(operation === null ? {} : { [FIELDS.operation]: operation.otel, [FIELDS.api]: operation.name }),
          ...(team === null ? {} : { [FIELDS.team]: team }),
          ...stageAttributes(stageUs),
        },
      },
      parentOf(traceparent),
    );
    span.setStatus({ code: SpanStatusCode.ERROR });
    span.end(endedMs);
  }
}

function spanName(operation: string, model: string | null): string {
  return model === null ? operation : `${operation} ${model}`;
}

/** The stages follow each other without a gap. */
function startedAt(endedMs: number, stageUs: StageDurationsUs): number {
  return endedMs - STAGES.reduce((sum, stage) => sum + (stageUs[stage] ?? 0), 0) / 1000;
}

function stageAttributes(stageUs: StageDurationsUs): Attributes {
  return Object.fromEntries(Object.entries(stageUs).map(([stage, us]) => [`${FIELDS.stageUs}.${stage}`, us]));
}

const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-|$)/;

/** The caller's span, by W3C Trace Context; a header that is wrong counts as none. */
function parentOf(traceparent: string | undefined): Context {
  const [, traceId, spanId, flags] = TRACEPARENT.exec(traceparent ?? '') ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return ROOT_CONTEXT;
  return trace.setSpanContext(ROOT_CONTEXT, {
    traceId,
    spanId,
    traceFlags: Number.parseInt(flags, 16) & 1,
    isRemote: true,
  });
}

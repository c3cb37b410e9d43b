/**
 * Every field name of a call's log line, in one file, because OpenTelemetry's GenAI conventions still move.
 * https://opentelemetry.io/docs/specs/semconv/gen-ai/ (where those have no name: `tollgate.`). All are names of release 1.45, by
 * `@opentelemetry/semantic-conventions` 1.45.0.
 */

import { METER_NAMES, type MeterName, meterDefinition } from '../domain/quantities.ts';

/** By meter, the field of what a call used of it, in its unit. */
export const USAGE_FIELDS: ReadonlyMap<MeterName, string> = new Map(
  METER_NAMES.map((meter) => [meter, meterDefinition(meter).attribute ?? `tollgate.usage.${meter}`]),
);

export const FIELDS = {
  provider: 'gen_ai.provider.name',
  operation: 'gen_ai.operation.name',
  requestModel: 'gen_ai.request.model',
  responseModel: 'gen_ai.response.model',
  status: 'http.response.status_code',
  errorType: 'error.type',
  eventId: 'tollgate.event.id',
  team: 'tollgate.team.name',
  keyId: 'tollgate.key.id',
  api: 'tollgate.operation',
  outcome: 'tollgate.outcome',
  costUsd: 'tollgate.cost_usd',
  holdUsd: 'tollgate.hold_usd',
  upstreamRequestId: 'tollgate.upstream_request_id',
  stageUs: 'tollgate.stage_us',
  suppressedLines: 'tollgate.suppressed_lines',
} as const;

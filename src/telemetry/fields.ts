/**
 * Every field of a call's log line and span, in one file, because OpenTelemetry's GenAI conventions still move.
 * https://opentelemetry.io/docs/specs/semconv/gen-ai/ (where those have no name: `tollgate.`). All are names of release 1.45, by
 * `@opentelemetry/semantic-conventions` 1.45.0.
 */

import { formatUsd, inUnits, METER_NAMES, type MeterName, meterDefinition } from '../domain/quantities.ts';
import type { CallEntry } from './measurement.ts';

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

/** Returns what the line of a call and its span both say. Amounts of money are text, as everywhere: a float would not be exact. */
export function callFields(call: CallEntry): Record<string, string | number> {
  const fields: Record<string, string | number> = {
    [FIELDS.provider]: 'openai',
    [FIELDS.operation]: call.operation.otel,
    [FIELDS.api]: call.operation.name,
    [FIELDS.eventId]: call.eventId,
    [FIELDS.team]: call.team,
    [FIELDS.keyId]: call.keyId,
    [FIELDS.outcome]: call.outcome,
    [FIELDS.status]: call.status,
    [FIELDS.costUsd]: formatUsd(call.costPicoUsd),
    [FIELDS.holdUsd]: formatUsd(call.holdPicoUsd),
  };
  if (call.requestModel !== null) fields[FIELDS.requestModel] = call.requestModel;
  if (call.responseModel !== null) fields[FIELDS.responseModel] = call.responseModel;
  if (call.upstreamRequestId !== null) fields[FIELDS.upstreamRequestId] = call.upstreamRequestId;
  for (const [meter, field] of USAGE_FIELDS) {
    const amount = call.usage?.[meter];
    if (amount !== undefined) fields[field] = inUnits(meter, amount);
  }
  return fields;
}

/**
 * Every field name of a call's log line, in one file, because OpenTelemetry's GenAI conventions still move.
 * https://opentelemetry.io/docs/specs/semconv/gen-ai/ (where those have no name: `tollgate.`)
 */

import { METERS, type MeterName } from '../domain/quantities.ts';

/** Returns the field of what a call used of a meter, in its unit. */
export function usageField(meter: MeterName): string {
  return METERS[meter].attribute ?? `tollgate.usage.${meter}`;
}

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

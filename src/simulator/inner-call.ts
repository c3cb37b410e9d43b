/** Calls of models that the upstream makes for a job: each is planned like one of a client, and has its own line on the invoice. */
import { type ApiError, invalidRequest, isApiError } from './errors.ts';
import type { Exchange } from './exchange.ts';
import type { JsonObject } from './fields.ts';
import { OPERATIONS, readCall } from './operations.ts';
import { composeOutput } from './output.ts';
import { planCall } from './plan.ts';
import type { Tier, Usage } from './prices.ts';

export interface InnerCall {
  url: string;
  body: JsonObject;
  tier: Extract<Tier, 'batch' | 'default'>;
  /** What its operation is called on the invoice after. */
  prefix: string;
  requestId: string;
  /** Which of the job's calls it is. */
  at: number;
}

export interface InnerAnswer {
  json: JsonObject;
  servedName: string;
  usage: Usage;
}

/** Serves a call of the job that an exchange began, and bills it; an error is not billed. */
export function answerOf(
  exchange: Exchange,
  { url, body, tier, prefix, requestId, at }: InnerCall,
): InnerAnswer | ApiError {
  const operation = OPERATIONS[url];
  if (operation === undefined) return invalidRequest(`Invalid url: ${url}`);
  const { state, random, entry } = exchange;
  const call = readCall(exchange, operation, Buffer.from(JSON.stringify(body)));
  if (isApiError(call)) return call;
  const { mode, profile, containers } = state;
  const plan = planCall(call, { mode, profile, directives: { tier }, random, containers });
  if (isApiError(plan)) return plan;
  const id = `${requestId}${String(at).padStart(8, '0')}`;
  const output = composeOutput(call, plan, random, profile, {}, true, id);
  const { usage, tools } = plan;
  const billed = { model: call.servedName, usage, tools, service_tier: tier, status: 200 };
  const line = { ...entry, operation: `${prefix}.${operation.name}`, ...billed, request_id: requestId };
  state.invoice.add(line, plan.costPicoUsd);
  return { json: JSON.parse(operation.json(output)) as JsonObject, servedName: call.servedName, usage };
}

/** Background responses: made at once, shown when they are done, and billed then. */

import { invalidRequest } from './errors.ts';
import type { Exchange } from './exchange.ts';
import type { JsonObject } from './fields.ts';
import type { Output } from './output.ts';
import { billPart } from './plan.ts';
import { announce } from './webhooks.ts';

/** Responds that a response is under way, and finishes it in its time. */
export function startBackground(
  exchange: Exchange,
  output: Output,
  render: (output: Output) => string,
): void {
  const { state, entry } = exchange;
  const done = JSON.parse(render(output)) as JsonObject;
  const { usage, tools, tier, costPicoUsd } = output.plan;
  const json: JsonObject = {
    ...done,
    background: true,
    status: 'queued',
    output: [],
    usage: null,
    tool_usage: undefined,
    incomplete_details: null,
  };
  const line = {
    ...entry,
    operation: 'responses.background',
    usage,
    tools,
    service_tier: tier,
    status: null,
    fault: null,
  };
  const timer = setTimeout(() => {
    Object.assign(json, done, { background: true });
    state.invoice.add(line, costPicoUsd);
    announce(state, 'response', String(json.status), json.id);
  }, state.profile.jobMs);
  timer.unref();
  const input = { json: () => json, input: () => [], metadata: json.metadata ?? {} };
  const cancel = () => {
    if (json.status !== 'queued') return invalidRequest('Cannot cancel a completed response.');
    clearTimeout(timer);
    json.status = 'cancelled';
    // What it had written by then is billed, and not said.
    const part = billPart(output.plan, Math.floor(usage.output_tokens / 2));
    state.invoice.add({ ...line, usage: part.usage }, part.costPicoUsd);
    announce(state, 'response', 'cancelled', json.id);
    return json;
  };
  state.stored.responses.add({ id: String(json.id), ...input, cancel });
  exchange.send(200, 'application/json', JSON.stringify(json), 0n);
}

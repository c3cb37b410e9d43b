/** Meter: from the answer's bytes to its usage. A stream's meter has read along (forward); the rest is read here. */
import type { MeteredResponse } from '../domain/usage.ts';
import { meterJson } from '../openai/response.ts';
import { StreamMeter } from '../openai/stream.ts';
import type { Answer } from './answer.ts';
import type { Call } from './call.ts';

const NOTHING: MeteredResponse = { usage: null, serviceTier: null, model: null };

export function meter(call: Call, answer: Answer): MeteredResponse {
  if (answer.metered) return answer.metered;
  const { operation } = call.request!;
  if (!answer.readable || !operation.billable || answer.status >= 300 || answer.ending !== 'complete')
    return NOTHING;
  if (!String(answer.headers['content-type'] ?? '').startsWith('text/event-stream')) {
    return meterJson(operation.name, answer.readable);
  }
  // A stream that came compressed was passed on as it is; its copy is read now.
  const stream = new StreamMeter(operation.name, { stripUsage: false });
  stream.push(answer.readable);
  stream.end();
  return stream.result();
}

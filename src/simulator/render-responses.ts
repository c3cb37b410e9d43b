/** The Responses API on the wire: the response object, and the events of its stream. */
import { isObject, type JsonObject } from './fields.ts';
import { conversationOf, type KeptState } from './kept.ts';
import { type Output, saysUsage } from './output.ts';

type Status = 'in_progress' | 'completed' | 'incomplete';

/** Fields of the request that the response repeats, with the API's defaults. */
const ECHOED: Record<string, unknown> = {
  background: false,
  instructions: null,
  max_output_tokens: null,
  max_tool_calls: null,
  parallel_tool_calls: true,
  previous_response_id: null,
  prompt_cache_key: null,
  safety_identifier: null,
  store: true,
  temperature: 1,
  text: { format: { type: 'text' }, verbosity: 'medium' },
  tool_choice: 'auto',
  tools: [],
  top_logprobs: 0,
  top_p: 1,
  truncation: 'disabled',
  user: null,
  metadata: {},
};

function finalStatus(output: Output): Status {
  return output.choices[0]?.candidate.cut ? 'incomplete' : 'completed';
}

function text(output: Output): string {
  return output.choices[0]?.pieces.join('') ?? '';
}

function responseUsage({ plan }: Output): object {
  const { usage } = plan;
  return {
    input_tokens: usage.input_tokens,
    input_tokens_details: {
      cached_tokens: usage.cached_input_tokens,
      cache_write_tokens: usage.cache_write_tokens,
    },
    output_tokens: usage.output_tokens,
    output_tokens_details: { reasoning_tokens: usage.reasoning_tokens },
    total_tokens: usage.input_tokens + usage.output_tokens,
  };
}

/** Usage in the middle is no part of this API's streams: a server that reports a part of it reports none at the end. */
function usageAtEnd(output: Output): object | null {
  return saysUsage(output) && !(output.call.stream && output.usageReports === 'partly')
    ? responseUsage(output)
    : null;
}

function reasoningItem(output: Output): JsonObject {
  const sealed = output.sealed === null ? {} : { encrypted_content: output.sealed };
  return { id: `rs_${output.id}`, type: 'reasoning', summary: [], ...sealed };
}

/** A page is opened after each search, which is no search and costs nothing. */
function searchItems({ id, plan }: Output): JsonObject[] {
  return Array.from({ length: plan.searches }, (_, index) => [
    {
      id: `ws_${id}_${index}`,
      type: 'web_search_call',
      status: 'completed',
      action: { type: 'search', query: 'x' },
    },
    {
      id: `wo_${id}_${index}`,
      type: 'web_search_call',
      status: 'completed',
      action: { type: 'open_page', url: 'https://a.example' },
    },
  ]).flat();
}

function outputText(value: string): object {
  return { type: 'output_text', annotations: [], logprobs: [], text: value };
}

function messageItem(output: Output, status: Status): JsonObject {
  const content = status === 'in_progress' ? [] : [outputText(text(output))];
  return { id: `msg_${output.id}`, type: 'message', status, content, role: 'assistant' };
}

function responseObject(output: Output, status: Status): object {
  const { call, plan } = output;
  const echoed: Record<string, unknown> = {};
  for (const name in ECHOED) echoed[name] = call.body[name] ?? ECHOED[name];
  const done = status !== 'in_progress';
  const conversation = conversationOf(call.body);
  const reasoning = isObject(call.body.reasoning) ? call.body.reasoning : {};
  return {
    id: `resp_${output.id}`,
    object: 'response',
    created_at: output.created,
    status,
    completed_at: status === 'completed' ? output.created : null,
    error: null,
    incomplete_details: status === 'incomplete' ? { reason: 'max_output_tokens' } : null,
    model: call.servedName,
    output: done ? outputItems(output, status) : [],
    ...echoed,
    ...(done && call.searches !== null
      ? { tool_usage: { web_search: { num_requests: plan.searches } } }
      : {}),
    conversation: conversation === null ? null : { id: conversation },
    reasoning: { effort: null, summary: null, ...reasoning, context: call.reasoningContext },
    service_tier: done ? plan.tier : (call.body.service_tier ?? 'auto'),
    usage: done ? (output.withUsage ? usageAtEnd(output) : undefined) : null,
  };
}

function outputItems(output: Output, status: Status): JsonObject[] {
  return [
    ...(output.call.model.reasoning ? [reasoningItem(output)] : []),
    ...searchItems(output),
    messageItem(output, status),
  ];
}

/** Keeps what the response leaves, as the API does whether its client hears of it or not. */
export function keepResponse(state: KeptState, output: Output): void {
  const { call, plan, id, sealed } = output;
  if (call.items === null) return;
  const { reasoning_tokens: tokens } = plan.usage;
  if (sealed !== null) state.seal(sealed, tokens);
  const items = outputItems(output, finalStatus(output)).map((item) => ({
    item,
    reasoningTokens: item.type === 'reasoning' ? tokens : 0,
  }));
  state.addResponse(`resp_${id}`, call.body, call.items, items);
}

export function responseJson(output: Output): string {
  return JSON.stringify(responseObject(output, finalStatus(output)), null, 2);
}

/** The events of a stream, numbered from 0. Without usage it stops before its terminal event. */
export function responseEvents(output: Output): string[] {
  const events: string[] = [];
  const add = (type: string, fields: object): void => {
    const json = JSON.stringify({ type, sequence_number: events.length, ...fields });
    events.push(`event: ${type}\ndata: ${json}\n\n`);
  };
  const status = finalStatus(output);
  const started = responseObject(output, 'in_progress');
  add('response.created', { response: started });
  add('response.in_progress', { response: started });
  if (output.call.model.reasoning) {
    const place = { output_index: 0, item: reasoningItem(output) };
    add('response.output_item.added', place);
    add('response.output_item.done', place);
  }
  const output_index = output.call.model.reasoning ? 1 : 0;
  add('response.output_item.added', { output_index, item: messageItem(output, 'in_progress') });
  const place = { item_id: `msg_${output.id}`, output_index, content_index: 0 };
  add('response.content_part.added', { ...place, part: outputText('') });
  for (const delta of output.choices[0]?.pieces ?? []) {
    add('response.output_text.delta', { ...place, delta, logprobs: [] });
  }
  add('response.output_text.done', { ...place, text: text(output), logprobs: [] });
  add('response.content_part.done', { ...place, part: outputText(text(output)) });
  add('response.output_item.done', { output_index, item: messageItem(output, status) });
  if (output.withUsage) add(`response.${status}`, { response: responseObject(output, status) });
  if (output.withUsage && output.usageReports === 'twice')
    add(`response.${status}`, { response: responseObject(output, status) });
  return events;
}

/** The Responses API on the wire: the response object, and the events of its stream. */
import { isObject, type JsonObject } from './fields.ts';
import { hostedItem } from './hosted.ts';
import { imageUsageJson } from './hosted-images.ts';
import { conversationOf, type KeptState } from './kept.ts';
import { FAILED_MESSAGE, type Output, saysUsage, type WrittenCall } from './output.ts';
import type { KeptItem } from './reading.ts';

type Status = 'in_progress' | 'completed' | 'incomplete' | 'failed';

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
  return output.choices[0]?.candidate.cut && !output.completesAtLimit ? 'incomplete' : 'completed';
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

/** A summary is written where the request asks for one. */
function summaryOf({ call: { body } }: Output): object[] {
  const asked = isObject(body.reasoning) ? body.reasoning.summary : null;
  return typeof asked === 'string' ? [{ type: 'summary_text', text: SUMMARY.join('') }] : [];
}

const SUMMARY = ['**Looking at', ' the question**', '\n\nIt is', ' a simple one.'];

function reasoningItem(output: Output): JsonObject {
  const sealed = output.sealed === null ? {} : { encrypted_content: output.sealed };
  return { id: `rs_${output.id}`, type: 'reasoning', summary: summaryOf(output), ...sealed };
}

/** A page is opened after each search of the web, which is no search and costs nothing. */
function hostedItems({ id, plan }: Output): JsonObject[] {
  return plan.hosted.flatMap((tool, index) => {
    const opened = { status: 'completed', action: { type: 'open_page', url: 'https://a.example' } };
    const item = hostedItem(tool, `tl_${id}_${index}`);
    return tool.item === 'web_search_call'
      ? [item, { id: `wo_${id}_${index}`, type: tool.item, ...opened }]
      : [item];
  });
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
  const done = status === 'completed' || status === 'incomplete';
  const conversation = conversationOf(call.body);
  const reasoning = isObject(call.body.reasoning) ? call.body.reasoning : {};
  return {
    id: `resp_${output.id}`,
    object: 'response',
    created_at: output.created,
    status,
    completed_at: status === 'completed' ? output.created : null,
    error: status === 'failed' ? { code: 'server_error', message: FAILED_MESSAGE } : null,
    incomplete_details: status === 'incomplete' ? { reason: 'max_output_tokens' } : null,
    model: call.servedName,
    output: done ? outputItems(output, status) : [],
    ...echoed,
    ...(done ? toolUsage(output) : null),
    conversation: conversation === null ? null : { id: conversation },
    reasoning: { effort: null, summary: null, ...reasoning, context: call.reasoningContext },
    service_tier: done ? plan.tier : (call.body.service_tier ?? 'auto'),
    usage: done ? (output.withUsage ? usageAtEnd(output) : undefined) : null,
  };
}

/** Families of tools without calls have zeros; it is left out where none of them is offered, or usage is. */
function toolUsage({ call, plan, withUsage, hidesImageUsage }: Output): object | null {
  const offers = (name: string) => call.hosted?.tools.some(({ item }) => item === name) ?? false;
  const makesImages = offers('image_generation_call');
  if (!withUsage || !(makesImages || offers('web_search_call'))) return null;
  const made = plan.hosted.flatMap(({ made: image }) => (image === undefined ? [] : [image]));
  const image_gen = makesImages && !hidesImageUsage ? { image_gen: imageUsageJson(made) } : null;
  return { tool_usage: { ...image_gen, web_search: { num_requests: searchesOf(plan) } } };
}

function searchesOf({ hosted }: Output['plan']): number {
  return hosted.filter(({ item }) => item === 'web_search_call').length;
}

/** What came before, as one item that no client can read. */
export function compactionJson(output: Output): string {
  const { id, created, call, plan } = output;
  const sealed = Buffer.from(text(output)).toString('base64');
  return JSON.stringify({
    id: `resp_${id}`,
    object: 'response.compaction',
    created_at: created,
    model: call.servedName,
    output: [{ id: `cmp_${id}`, type: 'compaction', encrypted_content: sealed }],
    service_tier: plan.tier,
    usage: output.withUsage ? responseUsage(output) : undefined,
  });
}

function outputItems(output: Output, status: Status): JsonObject[] {
  const calls = output.choices[0]?.calls ?? [];
  return [
    ...(output.call.model.reasoning ? [reasoningItem(output)] : []),
    ...hostedItems(output),
    ...(calls.length === 0 ? [messageItem(output, status)] : calls.map((call) => callItem(call, status))),
  ];
}

/** The fields of a function call and of a custom tool's; of tools that have no name, the type and what they are given. */
const CALL_ITEMS = {
  function: { type: 'function_call', prefix: 'fc', field: 'arguments' },
  legacy: { type: 'function_call', prefix: 'fc', field: 'arguments' },
  custom: { type: 'custom_tool_call', prefix: 'ctc', field: 'input' },
} as const;

/** An item that calls a tool. In progress its arguments are empty. */
function callItem({ tool, id, pieces }: WrittenCall, status: Status): JsonObject {
  const call_id = `call_${id}`;
  const text = status === 'in_progress' ? '' : pieces.join('');
  if (tool.kind === 'other') {
    const fields: unknown = status === 'completed' ? JSON.parse(text) : {};
    return {
      id: `tc_${id}`,
      type: `${tool.name}_call`,
      status,
      call_id,
      ...(isObject(fields) ? fields : {}),
    };
  }
  const { type, prefix, field } = CALL_ITEMS[tool.kind];
  const namespace = tool.namespace === null ? {} : { namespace: tool.namespace };
  return { id: `${prefix}_${id}`, type, status, call_id, name: tool.name, ...namespace, [field]: text };
}

/** Keeps what the response leaves, as the API does whether its client hears of it or not. */
export function keepResponse(state: KeptState, output: Output): void {
  const { call, plan, id, sealed } = output;
  if (call.items === null) return;
  if (sealed !== null) state.seal(sealed, plan.usage.reasoning_tokens);
  state.addResponse(`resp_${id}`, call.body, call.items, outputItemsOf(output));
}

/** What a response leaves, with what its reasoning weighs. */
export function outputItemsOf(output: Output): KeptItem[] {
  return outputItems(output, finalStatus(output)).map((item) => ({
    item,
    reasoningTokens: item.type === 'reasoning' ? output.plan.usage.reasoning_tokens : 0,
  }));
}

export function responseJson(output: Output): string {
  return JSON.stringify(responseObject(output, finalStatus(output)), null, 2);
}

/** The response that failed, or the event that says so after so many others. Its usage is not known. */
export function responseFailure(output: Output, eventsBefore: number | null): string {
  const response = responseObject(output, 'failed');
  if (eventsBefore === null) return JSON.stringify(response, null, 2);
  const json = JSON.stringify({ type: 'response.failed', sequence_number: eventsBefore, response });
  return `event: response.failed\ndata: ${json}\n\n`;
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
  const calls = output.choices[0]?.calls ?? [];
  for (const [output_index, item] of outputItems(output, status).entries()) {
    const call = calls.find(({ id }) => String(item.call_id) === `call_${id}`);
    if (item.type === 'message') addMessage(add, output, output_index);
    else if (call !== undefined) addCall(add, call, status, output_index);
    else if (item.type === 'reasoning') addReasoning(add, item, output_index);
    else if (item.type === 'image_generation_call') addImage(add, output, item, output_index);
    else {
      add('response.output_item.added', { output_index, item });
      add('response.output_item.done', { output_index, item });
    }
  }
  if (output.withUsage) add(`response.${status}`, { response: responseObject(output, status) });
  if (output.withUsage && output.usageReports === 'twice')
    add(`response.${status}`, { response: responseObject(output, status) });
  return events;
}

type Add = (type: string, fields: object) => void;

function addReasoning(add: Add, item: JsonObject, output_index: number): void {
  add('response.output_item.added', { output_index, item: { ...item, summary: [] } });
  for (const [summary_index, part] of (Array.isArray(item.summary) ? item.summary : []).entries()) {
    const place = { item_id: item.id, output_index, summary_index };
    add('response.reasoning_summary_part.added', { ...place, part: { ...part, text: '' } });
    for (const delta of SUMMARY) add('response.reasoning_summary_text.delta', { ...place, delta });
    add('response.reasoning_summary_text.done', { ...place, text: part.text });
    add('response.reasoning_summary_part.done', { ...place, part });
  }
  add('response.output_item.done', { output_index, item });
}

function addImage(add: Add, output: Output, item: JsonObject, output_index: number): void {
  const { id, result, size, quality, background, output_format, ...rest } = item;
  const { images } = output.plan.hosted.find((tool) => tool.made !== undefined) ?? {};
  const shown = { size, quality, background, output_format };
  const open = { id, ...rest, ...shown, status: 'in_progress', result: null };
  const place = { item_id: id, output_index };
  add('response.output_item.added', { output_index, item: open });
  add('response.image_generation_call.in_progress', place);
  add('response.image_generation_call.generating', place);
  for (let partial = 0; partial < Number(images?.tool.partial_images ?? 0); partial++)
    add('response.image_generation_call.partial_image', {
      ...{ ...place, ...shown, partial_image_index: partial, partial_image_b64: result },
    });
  add('response.image_generation_call.completed', place);
  add('response.output_item.done', { output_index, item });
}

function addMessage(add: Add, output: Output, output_index: number): void {
  add('response.output_item.added', { output_index, item: messageItem(output, 'in_progress') });
  const place = { item_id: `msg_${output.id}`, output_index, content_index: 0 };
  add('response.content_part.added', { ...place, part: outputText('') });
  for (const delta of output.choices[0]?.pieces ?? []) {
    add('response.output_text.delta', { ...place, delta, logprobs: [] });
  }
  add('response.output_text.done', { ...place, text: text(output), logprobs: [] });
  add('response.content_part.done', { ...place, part: outputText(text(output)) });
  add('response.output_item.done', { output_index, item: messageItem(output, finalStatus(output)) });
}

function addCall(add: Add, call: WrittenCall, status: Status, output_index: number): void {
  const item = callItem(call, status);
  add('response.output_item.added', { output_index, item: callItem(call, 'in_progress') });
  if (call.tool.kind !== 'other') {
    const { type, field } = CALL_ITEMS[call.tool.kind];
    // `function_call` has `function_call_arguments`, and `custom_tool_call` has `custom_tool_call_input`.
    const name = `response.${type}_${field}`;
    const place = { item_id: item.id, output_index };
    for (const delta of call.pieces) add(`${name}.delta`, { ...place, delta });
    add(`${name}.done`, { ...place, name: call.tool.name, [field]: item[field] });
  }
  add('response.output_item.done', { output_index, item });
}

/**
 * A call as an example for fine-tuning: `{messages, tools?}`, the chat format. Owns: what of a request and its answer stands in it,
 * of chat completions and responses, as JSON or as a stream. Pure. A call that the format cannot say (stored input, media,
 * tools of the upstream) is no example.
 */
import { isObject, type Json, type JsonObject, parseJson } from './body.ts';
import { dataLines, parseLine } from './wire/sse.ts';

interface SaidCall {
  /** JSON. */
  request: string;
  /** JSON, or server-sent events. */
  response: string;
}

/**
 * Returns the example.
 * @param edited the answer as it was changed; null: as the model wrote it
 * @returns null when the call is none
 */
export function chatExample({ request, response }: SaidCall, edited: string | null) {
  const asked = parseJson(request);
  if (!isObject(asked)) return null;
  const said = Array.isArray(asked.messages) ? ofChat(asked, response) : ofResponse(asked, response);
  if (said === null) return null;
  const { messages, tools, answer } = said;
  const last = edited === null ? answer : { role: 'assistant', content: edited };
  return { messages: [...messages, last], ...(tools.length === 0 ? {} : { tools }) };
}

interface Said {
  messages: Json[];
  tools: Json[];
  answer: JsonObject;
}

function ofChat({ messages, tools }: JsonObject, response: string): Said | null {
  if (!Array.isArray(messages)) return null;
  const answer = isStream(response) ? streamedMessage(response) : wholeMessage(response);
  if (answer === null) return null;
  const known = ['content', 'refusal', 'tool_calls'] as const;
  const kept: JsonObject = { role: 'assistant' };
  for (const name of known)
    if (answer[name] !== undefined && answer[name] !== null) kept[name] = answer[name];
  return known.some((name) => kept[name] !== undefined)
    ? { messages, tools: Array.isArray(tools) ? tools : [], answer: kept }
    : null;
}

function isStream(response: string): boolean {
  return !response.trimStart().startsWith('{');
}

function wholeMessage(response: string): JsonObject | null {
  const json = parseJson(response);
  const choices = isObject(json) ? json.choices : undefined;
  const [first] = Array.isArray(choices) ? choices : [];
  return isObject(first) && isObject(first.message) ? first.message : null;
}

function* eventsOf(response: string): Generator<JsonObject> {
  const bytes = Buffer.from(response);
  for (const at of dataLines(bytes, 0)) {
    const event = parseLine(bytes, at);
    if (event !== null) yield event;
  }
}

/** Puts the pieces of the first choice together. */
function streamedMessage(response: string): JsonObject | null {
  let content = '';
  const calls: { id: string; type: string; function: { name: string; arguments: string } }[] = [];
  let isWhole = false;
  for (const { choices } of eventsOf(response)) {
    for (const choice of Array.isArray(choices) ? choices : []) {
      if (!isObject(choice) || (choice.index ?? 0) !== 0) continue;
      isWhole ||= typeof choice.finish_reason === 'string';
      const delta = isObject(choice.delta) ? choice.delta : {};
      if (typeof delta.content === 'string') content += delta.content;
      for (const piece of Array.isArray(delta.tool_calls) ? delta.tool_calls : []) addCall(calls, piece);
    }
  }
  if (!isWhole) return null;
  return {
    ...(content === '' ? {} : { content }),
    ...(calls.length === 0 ? {} : { tool_calls: calls as unknown as Json[] }),
  };
}

type Calls = { id: string; type: string; function: { name: string; arguments: string } }[];

function addCall(calls: Calls, piece: Json): void {
  if (!isObject(piece)) return;
  const at = typeof piece.index === 'number' && piece.index >= 0 && piece.index < 128 ? piece.index : 0;
  while (calls.length <= at) calls.push({ id: '', type: 'function', function: { name: '', arguments: '' } });
  const call = calls[at];
  if (call === undefined) return;
  if (typeof piece.id === 'string') call.id = piece.id;
  const made = isObject(piece.function) ? piece.function : {};
  if (typeof made.name === 'string') call.function.name += made.name;
  if (typeof made.arguments === 'string') call.function.arguments += made.arguments;
}

/** Whether an answer that ended at its limit is good says its label. */
const ENDED = new Set(['completed', 'incomplete']);
const LAST_EVENTS = new Set(['response.completed', 'response.incomplete']);

/** What a response reads that is not in its request cannot be in an example. */
const ELSEWHERE = ['previous_response_id', 'conversation', 'prompt'];

function ofResponse(asked: JsonObject, response: string): Said | null {
  if (ELSEWHERE.some((name) => asked[name] !== undefined && asked[name] !== null)) return null;
  const whole = isStream(response) ? completedIn(response) : parseJson(response);
  const output = isObject(whole) && ENDED.has(String(whole.status)) ? whole.output : undefined;
  const messages = messagesOf(asked.input);
  const tools = toolsOf(asked.tools);
  const answered = Array.isArray(output) ? messagesOf(output.filter(isSaid)) : null;
  if (messages === null || tools === null || answered === null || answered.length === 0) return null;
  const { instructions } = asked;
  const system = typeof instructions === 'string' ? [{ role: 'system', content: instructions }] : [];
  return { messages: [...system, ...messages], tools, answer: joined(answered) };
}

/** Reasoning is not what the model learns to say. */
function isSaid(item: Json): boolean {
  return !isObject(item) || item.type !== 'reasoning';
}

function completedIn(response: string): Json | undefined {
  let last: Json | undefined;
  for (const event of eventsOf(response)) if (LAST_EVENTS.has(String(event.type))) last = event.response;
  return last;
}

/** Text and calls of one answer are one message. */
function joined(answered: JsonObject[]): JsonObject {
  const texts = answered.flatMap(({ content }) => (typeof content === 'string' ? [content] : []));
  const calls = answered.flatMap(({ tool_calls }) => (Array.isArray(tool_calls) ? tool_calls : []));
  return {
    role: 'assistant',
    ...(texts.length === 0 ? {} : { content: texts.join('') }),
    ...(calls.length === 0 ? {} : { tool_calls: calls }),
  };
}

/** Returns items as messages; null: there is one that no message says. */
function messagesOf(input: Json | undefined): JsonObject[] | null {
  if (typeof input === 'string') return [{ role: 'user', content: input }];
  if (!Array.isArray(input)) return null;
  const messages: JsonObject[] = [];
  for (const item of input) {
    const message = isObject(item) ? messageOf(item) : null;
    if (message === null) return null;
    messages.push(message);
  }
  return messages;
}

function messageOf(item: JsonObject): JsonObject | null {
  const { type = 'message', role, content, call_id: id, name } = item;
  if (type === 'message' && typeof role === 'string') {
    const text = textOf(content);
    return text === null ? null : { role, content: text };
  }
  if (type === 'function_call' && typeof id === 'string' && typeof name === 'string') {
    const call = { id, type: 'function', function: { name, arguments: String(item.arguments ?? '') } };
    return { role: 'assistant', tool_calls: [call] };
  }
  if (type === 'function_call_output' && typeof id === 'string') {
    const text = textOf(item.output);
    return text === null ? null : { role: 'tool', tool_call_id: id, content: text };
  }
  return null;
}

function textOf(content: Json | undefined): string | null {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return null;
  let text = '';
  for (const part of content) {
    if (!isObject(part) || typeof part.text !== 'string') return null;
    text += part.text;
  }
  return text;
}

function toolsOf(tools: Json | undefined): Json[] | null {
  if (tools === undefined || tools === null) return [];
  if (!Array.isArray(tools)) return null;
  const made: Json[] = [];
  for (const tool of tools) {
    if (!isObject(tool) || tool.type !== 'function') return null;
    const { type: _, ...definition } = tool;
    made.push({ type: 'function', function: definition });
  }
  return made;
}

/**
 * A call as an example for fine-tuning: `{messages, tools?, parallel_tool_calls?, functions?}`, the chat format. Owns: what of a
 * request and its answer stands in it, of chat completions and responses, as JSON or as a stream. Pure. A call that the format cannot
 * say is no example: the API refuses a whole file for one line. The format's fields and roles are those of `FineTuneChatRequestInput`
 * in OpenAI's OpenAPI description (2.3.0).
 */
import { isObject, type Json, type JsonObject, parseJson } from './body.ts';
import { inputMessages, outputMessage } from './chat-items.ts';
import { chatMessage, functionCall, functionTools } from './chat-message.ts';
import { dataLines, parseLine } from './wire/sse.ts';

interface SaidCall {
  /** JSON. */
  request: string;
  /** JSON, or server-sent events. */
  response: string;
}

interface ChatExample extends JsonObject {
  messages: JsonObject[];
}

/**
 * Returns the example.
 * @param edited the answer as it was changed; null: as the model wrote it
 * @returns null when the call is none
 */
export function chatExample({ request, response }: SaidCall, edited: string | null): ChatExample | null {
  const asked = parseJson(request);
  if (!isObject(asked)) return null;
  const isChat = Array.isArray(asked.messages);
  const said = isChat ? chatRequest(asked) : responseRequest(asked);
  if (said === null) return null;
  const answer =
    edited !== null
      ? { role: 'assistant', content: edited }
      : isChat
        ? chatAnswer(response)
        : responseAnswer(response);
  return answer === null ? null : { messages: [...said.messages, answer], ...said.more };
}

/** What was asked; null: the format cannot say it. */
type Asked = { messages: JsonObject[]; more: JsonObject } | null;

function chatRequest({ messages, tools, functions, ...asked }: JsonObject): Asked {
  const said = Array.isArray(messages) ? messages.map(chatMessage) : [];
  const whole = said.filter((message) => message !== null);
  const more = toolsOf(tools, asked);
  if (whole.length < said.length || more === null) return null;
  return { messages: whole, more: Array.isArray(functions) ? { ...more, functions } : more };
}

/** What a response reads that is not in its request cannot be in an example. */
const ELSEWHERE = ['previous_response_id', 'conversation', 'prompt'];

function responseRequest(asked: JsonObject): Asked {
  if (ELSEWHERE.some((name) => asked[name] !== undefined && asked[name] !== null)) return null;
  const messages = inputMessages(asked.input);
  const more = toolsOf(asked.tools, asked);
  if (messages === null || more === null) return null;
  const { instructions } = asked;
  const system = typeof instructions === 'string' ? [{ role: 'system', content: instructions }] : [];
  return { messages: [...system, ...messages], more };
}

/** That calls may be made together is the default. */
function toolsOf(tools: Json | undefined, { parallel_tool_calls: parallel }: JsonObject): JsonObject | null {
  const functions = functionTools(tools);
  if (functions === null || functions.length === 0) return functions && {};
  return { tools: functions, ...(parallel === false ? { parallel_tool_calls: false } : {}) };
}

function isStream(response: string): boolean {
  return !response.trimStart().startsWith('{');
}

/** Of several choices it is not known which one the label is about. */
function chatAnswer(response: string): JsonObject | null {
  const message = isStream(response) ? streamedMessage(response) : wholeMessage(response);
  return message === null ? null : chatMessage({ ...message, role: 'assistant' });
}

function wholeMessage(response: string): JsonObject | null {
  const json = parseJson(response);
  const choices = isObject(json) && Array.isArray(json.choices) ? json.choices : [];
  const [first] = choices;
  return choices.length === 1 && isObject(first) && isObject(first.message) ? first.message : null;
}

function* eventsOf(response: string): Generator<JsonObject> {
  const bytes = Buffer.from(response);
  for (const at of dataLines(bytes, 0)) {
    const event = parseLine(bytes, at);
    if (event !== null) yield event;
  }
}

/** Puts the pieces of the only choice together. */
function streamedMessage(response: string): JsonObject | null {
  const texts = new Map<string, string>();
  const calls: JsonObject[] = [];
  let isWhole = false;
  for (const { choices } of eventsOf(response)) {
    for (const choice of Array.isArray(choices) ? choices : []) {
      if (!isObject(choice)) continue;
      if ((choice.index ?? 0) !== 0) return null;
      isWhole ||= typeof choice.finish_reason === 'string';
      const delta = isObject(choice.delta) ? choice.delta : {};
      for (const name of ['content', 'refusal'] as const)
        if (typeof delta[name] === 'string') texts.set(name, (texts.get(name) ?? '') + delta[name]);
      for (const piece of Array.isArray(delta.tool_calls) ? delta.tool_calls : []) addCall(calls, piece);
    }
  }
  if (!isWhole) return null;
  return {
    ...Object.fromEntries([...texts].filter(([, text]) => text !== '')),
    ...(calls.length === 0 ? {} : { tool_calls: calls }),
  };
}

function addCall(calls: JsonObject[], piece: Json): void {
  if (!isObject(piece)) return;
  const at = typeof piece.index === 'number' && piece.index >= 0 && piece.index < 128 ? piece.index : 0;
  while (calls.length <= at) calls.push(functionCall('', '', ''));
  const call = calls[at] ?? {};
  if (typeof piece.id === 'string') call.id = piece.id;
  if (typeof piece.type === 'string') call.type = piece.type;
  const made = isObject(piece.function) ? piece.function : {};
  const before = isObject(call.function) ? call.function : {};
  const joined = (name: 'name' | 'arguments') =>
    `${before[name] ?? ''}${typeof made[name] === 'string' ? made[name] : ''}`;
  call.function = { name: joined('name'), arguments: joined('arguments') };
}

/** Whether an answer that ended at its limit is good says its label. */
const ENDED = new Set(['completed', 'incomplete']);
const LAST_EVENTS = new Set(['response.completed', 'response.incomplete']);

function responseAnswer(response: string): JsonObject | null {
  const whole = isStream(response) ? completedIn(response) : parseJson(response);
  return isObject(whole) && ENDED.has(String(whole.status)) ? outputMessage(whole.output) : null;
}

function completedIn(response: string): Json | undefined {
  let last: Json | undefined;
  for (const event of eventsOf(response)) if (LAST_EVENTS.has(String(event.type))) last = event.response;
  return last;
}

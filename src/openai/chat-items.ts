/**
 * Items of the Responses API as messages of an example for fine-tuning. Owns: which items are one message together (what an assistant
 * says and calls in one turn: the chat format wants the results of all calls right behind them), and that reasoning is left
 * out, which is not what a model learns to say. Pure.
 */
import { isObject, type Json, type JsonObject } from './body.ts';
import { functionCall, partsOf } from './chat-message.ts';

/** Returns the messages of an input; null: there is an item that no message says. */
export function inputMessages(input: Json | undefined): JsonObject[] | null {
  if (typeof input === 'string') return [{ role: 'user', content: input }];
  return Array.isArray(input) ? messagesOf(input) : null;
}

/** Returns what a response says and calls, as one message; null: nothing, or what no message says. */
export function outputMessage(output: Json | undefined): JsonObject | null {
  const messages = Array.isArray(output) ? messagesOf(output) : null;
  return messages?.length === 1 && messages[0]?.role === 'assistant' ? messages[0] : null;
}

function messagesOf(items: readonly Json[]): JsonObject[] | null {
  const messages: JsonObject[] = [];
  for (const item of items) {
    if (!isObject(item)) return null;
    if (item.type === 'reasoning') continue;
    const message = messageOf(item);
    if (message === null) return null;
    const last = messages.at(-1);
    if (message.role === 'assistant' && last?.role === 'assistant')
      messages[messages.length - 1] = joined(last, message);
    else messages.push(message);
  }
  return messages;
}

/** Texts of one turn are paragraphs. */
function joined(before: JsonObject, after: JsonObject): JsonObject {
  const texts = [before.content, after.content].filter((text) => typeof text === 'string');
  const calls = [before.tool_calls, after.tool_calls].flatMap((some) => (Array.isArray(some) ? some : []));
  return {
    role: 'assistant',
    ...(texts.length === 0 ? {} : { content: texts.join('\n\n') }),
    ...(calls.length === 0 ? {} : { tool_calls: calls }),
  };
}

function messageOf(item: JsonObject): JsonObject | null {
  const { type = 'message', role, call_id: id, name } = item;
  if (type === 'message' && typeof role === 'string') return said(role, item.content);
  if (type === 'function_call' && typeof id === 'string' && typeof name === 'string')
    return { role: 'assistant', tool_calls: [functionCall(id, name, String(item.arguments ?? ''))] };
  if (type === 'function_call_output' && typeof id === 'string') {
    const content = contentOf(item.output, false);
    return content === null ? null : { role: 'tool', tool_call_id: id, content };
  }
  return null;
}

const ROLES: Record<string, string> = {
  ...{ system: 'system', developer: 'system', user: 'user', assistant: 'assistant' },
};

function said(role: string, given: Json | undefined): JsonObject | null {
  const known = ROLES[role];
  const content = known === undefined ? null : contentOf(given, known === 'user');
  if (known === undefined || content === null) return null;
  const isTexts = known === 'assistant' && typeof content !== 'string';
  return { role: known, content: isTexts ? content.map(({ text }) => text).join('') : content };
}

/** One text is a text, several parts stay parts. */
function contentOf(content: Json | undefined, mayHaveImages: boolean): string | JsonObject[] | null {
  if (typeof content === 'string') return content;
  const parts = Array.isArray(content) ? partsOf(content.map(chatPart), mayHaveImages) : null;
  const [first] = parts ?? [];
  if (parts === null || first === undefined) return null;
  return parts.length === 1 && typeof first.text === 'string' ? first.text : parts;
}

/** An image by its address, as chat completions have it. */
function chatPart(part: Json): Json {
  if (!isObject(part) || part.type !== 'input_image' || typeof part.image_url !== 'string') return part;
  const { image_url: url, detail } = part;
  return { type: 'image_url', image_url: { url, ...(typeof detail === 'string' ? { detail } : {}) } };
}

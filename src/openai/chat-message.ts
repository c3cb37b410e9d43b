/**
 * Messages, calls and tools as examples for fine-tuning have them: only fields of that format, and none that is null (clients send back
 * the whole of a response, with what the format does not know). Each function returns null for what the format cannot say: audio, files,
 * refusals, tools that are no functions. Pure.
 */
import { isObject, type Json, type JsonObject } from './body.ts';

const ROLES = new Set(['system', 'user', 'assistant', 'tool', 'function']);
/** The format has no such role; what it says is what the system says. */
const DEVELOPER = 'developer';

/** What models say in place of an answer, and their voice. */
const UNSAID = ['refusal', 'audio'];

/** Returns a message of a chat completion as one of an example. */
export function chatMessage(message: Json): JsonObject | null {
  if (!isObject(message)) return null;
  const role = message.role === DEVELOPER ? 'system' : String(message.role);
  if (!ROLES.has(role) || UNSAID.some((name) => isGiven(message[name]))) return null;
  const content = isGiven(message.content) ? contentOf(message.content, role === 'user') : undefined;
  const calls = isGiven(message.tool_calls) ? callsOf(message.tool_calls) : undefined;
  if (content === null || calls === null) return null;
  const said: JsonObject = { role };
  // Empty beside calls is as none; what a tool returned may be nothing.
  if (content !== undefined && (content !== '' || role === 'tool')) said.content = content;
  if (calls !== undefined && calls.length > 0) said.tool_calls = calls;
  for (const name of ['name', 'tool_call_id', 'function_call'])
    if (isGiven(message[name])) said[name] = message[name] as Json;
  const isSaid = ['content', 'tool_calls', 'function_call'].some((name) => said[name] !== undefined);
  return isSaid ? said : null;
}

function isGiven(value: Json | undefined): value is Exclude<Json, null> {
  return value !== undefined && value !== null;
}

function contentOf(content: Json, mayHaveImages: boolean): Json | null {
  if (typeof content === 'string') return content;
  return Array.isArray(content) ? partsOf(content, mayHaveImages) : null;
}

/** Parts of text, and of what users show: images. */
export function partsOf(parts: readonly Json[], mayHaveImages: boolean): JsonObject[] | null {
  const made: JsonObject[] = [];
  for (const part of parts) {
    if (!isObject(part)) return null;
    if (part.type !== 'refusal' && typeof part.text === 'string')
      made.push({ type: 'text', text: part.text });
    else if (mayHaveImages && isObject(part.image_url) && typeof part.image_url.url === 'string') {
      const { url, detail } = part.image_url;
      made.push({ type: 'image_url', image_url: { url, ...(isGiven(detail) ? { detail } : {}) } });
    } else return null;
  }
  return made;
}

export function functionCall(id: string, name: string, text: string): JsonObject {
  return { id, type: 'function', function: { name, arguments: text } };
}

function callsOf(calls: Json): JsonObject[] | null {
  if (!Array.isArray(calls)) return null;
  const made: JsonObject[] = [];
  for (const call of calls) {
    if (!isObject(call) || (call.type ?? 'function') !== 'function' || !isObject(call.function)) return null;
    const { name, arguments: text } = call.function;
    if (typeof call.id !== 'string' || typeof name !== 'string' || typeof text !== 'string') return null;
    made.push(functionCall(call.id, name, text));
  }
  return made;
}

/** What defines a function. */
const DEFINITION = ['name', 'description', 'parameters', 'strict'];

/** Returns functions of a chat completion or a response as tools of an example; empty: there are none. */
export function functionTools(tools: Json | undefined): JsonObject[] | null {
  if (!isGiven(tools)) return [];
  if (!Array.isArray(tools)) return null;
  const made: JsonObject[] = [];
  for (const tool of tools) {
    if (!isObject(tool) || tool.type !== 'function') return null;
    const given = isObject(tool.function) ? tool.function : tool;
    if (typeof given.name !== 'string') return null;
    const known = DEFINITION.filter((name) => isGiven(given[name])).map((name) => [name, given[name]]);
    made.push({ type: 'function', function: Object.fromEntries(known) });
  }
  return made;
}

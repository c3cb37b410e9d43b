/**
 * The parts of a prompt: messages, their content, tools. Text costs no more tokens than it has bytes; everything else
 * either is bounded by the model (inline images) or refused. Unknown types are refused: they may be anything.
 */

import { isObject, type Json, type JsonObject } from '../wire/json.ts';
import type { Fields } from './fields.ts';

/** Cache writes that are kept for longer have a price of their own, twice the usual one, that no rate card holds. */
export function readPromptCache(fields: Fields): void {
  const ttl = fields.object('prompt_cache_options')?.ttl;
  if (ttl === undefined || ttl === null || ttl === '30m') return;
  fields.unbounded('prompt_cache_options.ttl', "only what is cached for '30m' has a known price");
}

/** Parts of a prompt that are text, in the words of both chat completions and responses. */
const TEXT_PARTS = new Set(['text', 'refusal', 'input_text', 'output_text']);
/**
 * Tools whose definition stands in the request and which the client runs itself. All others run or fetch upstream, or
 * bring hidden instructions that no byte of the request stands for.
 */
const CLIENT_TOOLS = new Set<unknown>(['function', 'custom']);

/** Refuses tools that cost more than the tokens of their definition. */
export function readTools(fields: Fields): void {
  const tools = fields.json.tools ?? [];
  if (!Array.isArray(tools)) {
    fields.invalid('tools', "'tools' must be an array.");
    return;
  }
  for (let index = 0; index < tools.length && !fields.error; index++) {
    const tool = tools[index];
    const param = `tools[${index}]`;
    if (!isObject(tool)) fields.invalid(param, `'${param}' must be an object.`);
    else if (!CLIENT_TOOLS.has(tool.type)) {
      fields.unbounded(param, `tools of type ${JSON.stringify(tool.type ?? null)} cost more than they say`);
    }
  }
}

/** Refuses models of audio and of web search: they are billed by more than text tokens. */
export function readTextModel(fields: Fields): void {
  const model = fields.json.model;
  if (typeof model !== 'string') return;
  if (model.includes('-search')) fields.unbounded('model', 'search models add fees and tokens of their own');
  else if (/audio|realtime/.test(model)) fields.unbounded('model', 'audio is not billed as text tokens');
}

/** Text, or a list of parts: the `content` of messages, the `output` of tool calls. */
export function readContent(fields: Fields, content: Json | undefined, param: string): void {
  if (typeof content === 'string' || content === undefined || content === null) return;
  if (!Array.isArray(content)) {
    fields.invalid(param, `'${param}' must be a string or an array of parts.`);
    return;
  }
  for (let index = 0; index < content.length && !fields.error; index++) {
    const part = content[index];
    const partParam = `${param}[${index}]`;
    if (isObject(part)) readPart(fields, part, partParam);
    else fields.invalid(partParam, `'${partParam}' must be an object.`);
  }
}

function readPart(fields: Fields, part: JsonObject, param: string): void {
  const { type } = part;
  if (typeof type === 'string' && TEXT_PARTS.has(type)) return;
  if (type === 'image_url') {
    const url = isObject(part.image_url) ? part.image_url.url : undefined;
    readImage(fields, url, `${param}.image_url`);
  } else if (type !== 'input_image') {
    const name = JSON.stringify(type ?? null);
    fields.unbounded(param, `content of type ${name} may cost more tokens than it has bytes`);
  } else if (part.file_id !== undefined && part.file_id !== null) {
    fields.unbounded(`${param}.file_id`, 'a stored file is not part of the request');
  } else readImage(fields, part.image_url, `${param}.image_url`);
}

function readImage(fields: Fields, url: Json | undefined, param: string): void {
  if (typeof url !== 'string') fields.invalid(param, `'${param}' must hold the image's URL as a string.`);
  else if (url.startsWith('data:')) fields.inputBoundParam ??= param;
  else fields.unbounded(param, 'a remote image is not part of the request; send it inline as a data: URL');
}

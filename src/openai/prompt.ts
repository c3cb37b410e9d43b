/**
 * The parts of a prompt that are more than text in messages: content parts, tools, and the items of a response's input.
 * What a client runs or writes itself costs no more tokens than it has bytes; images cost what their pixels say; what
 * only the model's window bounds says so; what the upstream runs, fetches or keeps, and nothing here bounds, is refused.
 * Unknown types are refused: they may be anything.
 */
import { IMAGE_DETAILS, type ImageDetail } from '../domain/images.ts';
import { Fields, isObject, type Json, type JsonObject, MAX_TOKENS } from './body.ts';
import { readApproval, readHostedTool } from './hosted-tools.ts';
import { imageSizeOf } from './image-size.ts';
import { readImageTool } from './image-tool.ts';
import { inlineSeconds } from './inline-audio.ts';
import { HOSTED_ITEMS } from './named.ts';
import { type PdfSize, pdfSizeOf } from './pdf.ts';

/** Parts that are text, in the words of both chat completions and responses. */
const TEXT_PARTS = new Set<unknown>([
  'text',
  'refusal',
  'input_text',
  'output_text',
  'summary_text',
  'reasoning_text',
]);
/** Tools that stand in the request whole, definition and all. */
const OWN_TOOLS = new Set<unknown>(['function', 'custom']);
/**
 * Tools that the client runs, but whose definition the upstream writes. No source says how long it is; the definitions
 * that are published for tools of this kind stay below this many tokens.
 */
const CLIENT_TOOLS = new Set<unknown>([
  'local_shell',
  'apply_patch',
  'computer',
  'computer_use_preview',
  'computer-preview',
]);
const BUILT_IN_TOOL_TOKENS = 1024;

/** Reads the `tools` of a request, or those that an item brings. */
export function readTools(fields: Fields, tools: Json | undefined, param = 'tools'): void {
  if (tools === undefined || tools === null) return;
  if (!Array.isArray(tools)) {
    fields.invalid(param, `'${param}' must be an array.`);
    return;
  }
  for (let index = 0; index < tools.length && !fields.error; index++) {
    const tool = tools[index];
    const toolParam = `${param}[${index}]`;
    if (isObject(tool)) readTool(fields, tool, toolParam);
    else fields.invalid(toolParam, `'${toolParam}' must be an object.`);
  }
}

/**
 * Tools that an item brings are "made available at this item" (OpenAPI specification 2.3.0): where the upstream keeps the
 * item, later calls have them too and name them nowhere. So those that the upstream runs stand in items that are not kept.
 */
function readItemTools(fields: Fields, tools: Json | undefined, param: string, kept: boolean): void {
  const alone = new Fields(fields.json);
  readTools(alone, tools, param);
  if (alone.hosted !== null && kept) {
    const why = 'the upstream keeps this item, and later calls could have its tools run without naming them';
    fields.unbounded(alone.hosted.param, why, KEPT_TOOLS_REMEDY);
  }
  readTools(fields, tools, param);
}

const KEPT_TOOLS_REMEDY =
  "Send it in the 'tools' of each response, or in an item of a response with 'store': false and no 'conversation'.";

function isKept({ json: { store, conversation } }: Fields): boolean {
  return store !== false || (conversation !== undefined && conversation !== null);
}

/** Reads the tools among the items that a conversation is to keep. */
export function readKeptTools(fields: Fields): void {
  const { items } = fields.json;
  if (!Array.isArray(items)) return;
  for (const [index, item] of items.entries())
    if (isObject(item) && TOOL_ITEMS.has(item.type))
      readItemTools(fields, item.tools, `items[${index}].tools`, true);
}

const TOOL_ITEMS = new Set<unknown>(['additional_tools', 'tool_search_output']);

function readTool(fields: Fields, tool: JsonObject, param: string): void {
  const { type } = tool;
  if (OWN_TOOLS.has(type)) return;
  if (type === undefined || type === null) {
    fields.invalid(`${param}.type`, `'${param}.type' must say what kind of tool it is.`);
  } else if (CLIENT_TOOLS.has(type)) fields.beyondText.moreTokens += BUILT_IN_TOOL_TOKENS;
  else if (type === 'namespace') {
    if (Array.isArray(tool.tools)) readTools(fields, tool.tools, `${param}.tools`);
    else fields.invalid(`${param}.tools`, `'${param}.tools' must be an array: the tools of the namespace.`);
  } else if (type === 'shell' && isObject(tool.environment) && tool.environment.type === 'local') {
    fields.beyondText.moreTokens += BUILT_IN_TOOL_TOKENS;
  } else if (type === 'tool_search' && tool.execution === 'client') {
    fields.beyondText.moreTokens += BUILT_IN_TOOL_TOKENS;
  } else if (type === 'image_generation' && fields.json.messages === undefined) {
    readImageTool(fields, tool, param);
    const mask = tool.input_image_mask;
    if (isObject(mask))
      readImage(fields, mask.image_url, 'auto', `${param}.input_image_mask.image_url`, mask.file_id);
  } else if (!isHostedAllowed(fields, tool, param)) {
    const name = JSON.stringify(type).slice(0, 100);
    fields.unbounded(param, `the upstream runs tools of type ${name}, and bills more than the request says`);
  }
}

/** Chat completions run no tools: what their list may have of this kind has no bound there. */
function isHostedAllowed(fields: Fields, tool: JsonObject, param: string): boolean {
  return fields.json.messages === undefined && readHostedTool(fields, tool, param);
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

/** What stands for the variables of a prompt template: text, or a part of content. */
export function readPromptVariables(fields: Fields, { variables }: JsonObject): void {
  if (!isObject(variables)) return;
  for (const name of Object.keys(variables)) {
    const value = variables[name];
    if (isObject(value)) readPart(fields, value, `prompt.variables.${name}`);
  }
}

function readPart(fields: Fields, part: JsonObject, param: string): void {
  const { type } = part;
  if (TEXT_PARTS.has(type)) return;
  switch (type) {
    case 'image_url': {
      const image = part.image_url;
      if (isObject(image)) readImage(fields, image.url, image.detail, `${param}.image_url`);
      else
        fields.invalid(`${param}.image_url`, `'${param}.image_url' must be an object with the field 'url'.`);
      break;
    }
    case 'input_image':
    case 'computer_screenshot':
      readImage(fields, part.image_url, part.detail, `${param}.image_url`, part.file_id);
      break;
    case 'input_audio':
      readAudio(fields, part.input_audio, `${param}.input_audio`);
      break;
    case 'file':
      if (isObject(part.file)) readFile(fields, part.file, `${param}.file`);
      else fields.invalid(`${param}.file`, `'${param}.file' must be an object.`);
      break;
    case 'input_file':
      readFile(fields, part, param);
      break;
    default:
      fields.unbounded(
        param,
        `content of type ${JSON.stringify(type ?? null)} may cost more tokens than it has bytes`,
      );
  }
}

function readImage(
  fields: Fields,
  url: Json | undefined,
  detail: Json | undefined,
  param: string,
  fileId: Json | undefined = null,
): void {
  const known =
    detail === undefined || detail === null ? 'auto' : IMAGE_DETAILS.find((each) => each === detail);
  if (known === undefined) {
    fields.invalid(`${param}.detail`, `'detail' must be one of ${IMAGE_DETAILS.join(', ')}.`);
  } else if (fileId !== undefined && fileId !== null) {
    const fileParam = param.replace(/image_url$/, 'file_id');
    if (ownFile(fields, fileId, fileParam)) addStoredImage(fields, known, fileParam);
  } else if (typeof url !== 'string') {
    fields.invalid(param, `'${param}' must hold the image's URL as a string.`);
  } else addImage(fields, url, known, param);
}

/** Tokens of a second of audio: 10, as OpenAI's guide to realtime sessions says; twice as many are held. */
const AUDIO_TOKENS_PER_SECOND = 20;
const AUDIO_FRAME_TOKENS = 64;

/** Audio that stands in the request; where its length cannot be read, as much as the model reads. */
function readAudio(fields: Fields, audio: Json | undefined, param: string): void {
  const { data, format } = isObject(audio) ? audio : {};
  if (typeof data !== 'string' || typeof format !== 'string') {
    fields.invalid(param, `'${param}' must have the audio's base64 in 'data' and its 'format'.`);
    return;
  }
  const { beyondText } = fields;
  const seconds = inlineSeconds(data, format);
  const tokens = AUDIO_FRAME_TOKENS + Math.ceil((seconds ?? 0) * AUDIO_TOKENS_PER_SECOND);
  if (seconds === null) fields.boundByWindow(`${param}.data`);
  beyondText.audioTokens += seconds === null ? MAX_TOKENS : tokens;
  beyondText.moreTokens += tokens;
  beyondText.imageBytes += data.length;
}

function addImage(fields: Fields, url: string, detail: ImageDetail, param: string): void {
  const { beyondText } = fields;
  const isInline = url.startsWith('data:');
  // The bytes of an inline image are no text; what JSON adds to them by escapes stays counted.
  const bytes = isInline ? url.length : 0;
  beyondText.images.push({ size: isInline ? imageSizeOf(url) : null, detail, item: fields.item, bytes });
  beyondText.imageParam ??= param;
  beyondText.imageBytes += bytes;
}

/** Its pixels are not in the request: the family's largest image counts. */
function addStoredImage(fields: Fields, detail: ImageDetail, param: string): void {
  const { beyondText } = fields;
  beyondText.images.push({ size: null, detail, item: fields.item });
  beyondText.imageParam ??= param;
}

/** Notes a stored file, which its team must own. Returns whether it is named by an id. */
function ownFile(fields: Fields, id: Json, param: string): boolean {
  const isId = typeof id === 'string' && OBJECT_ID.test(id);
  if (isId) fields.own('file', id, param);
  else fields.invalid(param, `'${param}' must be the id of a file.`);
  return isId;
}

/**
 * A document: the upstream reads its text and an image of each page. A PDF that stands in the request is counted so, where every
 * reader sees the same in it; all else is bounded by the window alone.
 */
function readFile(fields: Fields, file: JsonObject, param: string): void {
  const { file_id, file_data, file_url } = file;
  if (file_id !== undefined && file_id !== null) {
    if (!ownFile(fields, file_id, `${param}.file_id`)) return;
    fields.beyondText.hasFiles = true;
    fields.boundByWindow(`${param}.file_id`);
  } else if (typeof file_data !== 'string' && typeof file_url !== 'string') {
    fields.invalid(
      param,
      `'${param}' must hold the file in 'file_data', its address in 'file_url' or its id in 'file_id'.`,
    );
  } else {
    fields.beyondText.hasFiles = true;
    const pdf = typeof file_data === 'string' && file_url === undefined ? pdfSizeOf(file_data) : null;
    if (pdf !== null && PAGE_DETAILS.has(file.detail)) {
      addPages(fields, pdf, String(file_data).length, `${param}.file_data`);
      return;
    }
    if (typeof file_url === 'string') fields.beyondText.hasRemoteFiles = true;
    fields.boundByWindow(`${param}.${typeof file_data === 'string' ? 'file_data' : 'file_url'}`);
  }
}

/** `low` is not believed: what it saves is not published. */
const PAGE_DETAILS = new Set<unknown>([undefined, null, 'auto', 'low', 'high']);

function addPages({ beyondText }: Fields, { pages, textBytes }: PdfSize, bytes: number, param: string): void {
  beyondText.pages += pages;
  beyondText.imageParam ??= param;
  beyondText.imageBytes += bytes;
  beyondText.documentTokens += textBytes + pages * PAGE_TOKENS;
}

/** Around a page's text: its number, and where its image stands. */
const PAGE_TOKENS = 32;

/** Ids of objects and items, as the API makes them. */
const OBJECT_ID = /^[\w.:-]{1,256}$/;

/** Notes an object or item of which only the id stands in the request. */
export function readReference(
  fields: Fields,
  kind: 'response' | 'conversation' | 'item',
  id: Json | undefined,
  param: string,
  isSent = false,
): void {
  if (typeof id === 'string' && OBJECT_ID.test(id)) fields.refer(kind, id, param, isSent);
  else fields.invalid(param, `'${param}' must be the id of ${kind === 'item' ? 'an' : 'a'} ${kind}.`);
}

/** Items whose cost is their bytes: what the client wrote, ran, or was sent. */
const PLAIN_ITEMS = new Set<unknown>([
  'function_call',
  'custom_tool_call',
  'local_shell_call',
  'local_shell_call_output',
  'shell_call',
  'shell_call_output',
  'apply_patch_call',
  'apply_patch_call_output',
  'computer_call',
  'mcp_list_tools',
  'mcp_call',
  'mcp_approval_request',
  'mcp_approval_response',
  'tool_search_call',
  'program',
  'program_output',
]);

/** Reads the input of a response. */
export function readInput(fields: Fields): void {
  const input = fields.json.input;
  if (typeof input === 'string') return;
  // What is kept may be all there is to answer.
  if ((input === undefined || input === null) && fields.maybeBeyondText !== null) return;
  if (!Array.isArray(input) || input.length === 0) {
    fields.invalid('input', "'input' must be a string or an array with at least one item.");
    return;
  }
  for (let index = 0; index < input.length && !fields.error; index++) {
    const item = input[index];
    fields.item = index;
    if (isObject(item)) readItem(fields, item, `input[${index}]`);
    else fields.invalid(`input[${index}]`, `'input[${index}]' must be an object.`);
  }
}

function readItem(fields: Fields, item: JsonObject, param: string): void {
  // An item without a type is a message if it has a role, otherwise a reference to a stored item.
  const type = item.type ?? (typeof item.role === 'string' ? 'message' : 'item_reference');
  if (type === 'mcp_approval_response' && item.approve !== false) readApproval(fields, param);
  if (PLAIN_ITEMS.has(type)) return;
  if (HOSTED_ITEMS.has(type)) {
    readShown(fields, item, param);
    return;
  }
  switch (type) {
    case 'message':
    case 'agent_message':
      readContent(fields, item.content, `${param}.content`);
      break;
    case 'function_call_output':
    case 'custom_tool_call_output':
      readContent(fields, item.output, `${param}.output`);
      break;
    case 'computer_call_output':
      if (isObject(item.output)) readPart(fields, item.output, `${param}.output`);
      else fields.invalid(`${param}.output`, `'${param}.output' must be an object.`);
      break;
    case 'additional_tools':
    case 'tool_search_output':
      readItemTools(fields, item.tools, `${param}.tools`, isKept(fields));
      break;
    case 'image_generation_call':
      if (typeof item.result === 'string') addImage(fields, dataUrl(item.result), 'auto', `${param}.result`);
      else readShown(fields, item, param);
      break;
    case 'reasoning':
    case 'compaction':
      readSealed(fields, item, param);
      break;
    case 'compaction_trigger':
      fields.boundByWindow(param);
      fields.beyondText.compactions = 1;
      break;
    case 'item_reference':
      readReference(fields, 'item', item.id, `${param}.id`);
      break;
    default:
      fields.unbounded(
        param,
        `input items of type ${JSON.stringify(type)} may cost more tokens than they have bytes`,
      );
  }
}

function dataUrl(base64: string): string {
  return base64.startsWith('data:') ? base64 : `data:image/png;base64,${base64}`;
}

/**
 * Earlier reasoning, or a summary: without its encrypted content the upstream reads the stored one. The encrypted content
 * is a text of unknown encoding, perhaps compressed: its bytes bound nothing.
 */
function readSealed(fields: Fields, item: JsonObject, param: string): void {
  const { encrypted_content, id } = item;
  if (typeof encrypted_content === 'string' && encrypted_content !== '') {
    fields.refer('sealed', encrypted_content, `${param}.encrypted_content`, true);
  } else readReference(fields, 'item', id, `${param}.id`, true);
}

function readShown(fields: Fields, item: JsonObject, param: string): void {
  const { id } = item;
  if (typeof id === 'string' && OBJECT_ID.test(id)) fields.refer('shown', id, `${param}.id`, true);
  else fields.boundByWindow(param);
}

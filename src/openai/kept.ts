/**
 * What the upstream keeps of a call, as it stands on the wire: of the request, what its response keeps of the input; of the
 * response, its id and its items, by their ids and by the encrypted content that clients send back.
 */
import { hash } from 'node:crypto';
import type { Hidden, KeptAnswer, KeptInput, KeptItem } from '../domain/kept.ts';
import type { Operation } from '../domain/operation.ts';
import { type Bounds, isObject, type Json, type JsonObject } from './body.ts';
import { imageSizeOf } from './image-size.ts';
import { isPlainMessage } from './named.ts';

/** What has no plain id is not remembered: it could not be asked for, or not be written to a database. */
const PLAIN_ID = /^[\w.:-]{1,256}$/;
/** No answer that is known has as many items. */
const ITEMS_MAX = 1000;

/** Items all of which stands in the response. */
const SHOWN_ITEMS = new Set<unknown>([
  'message',
  'function_call',
  'custom_tool_call',
  'local_shell_call',
  'shell_call',
  'apply_patch_call',
  'computer_call',
  'tool_search_call',
  'mcp_approval_request',
]);

/** What of the request later calls may come back to. */
export function keptInput(
  { isStored, isCut, reasoningContext }: NonNullable<Bounds['keeps']>,
  { inputTokensBound, beyondText }: Operation,
): KeptInput {
  return {
    isStored,
    isCut,
    reasoningContext,
    bytes: inputTokensBound,
    images: beyondText?.images.map(({ size, detail }) => ({ size, detail })) ?? NO_IMAGES,
    // What another model reads of a document's pages is not recorded.
    hasHidden: beyondText !== null && (beyondText.windowParam !== null || beyondText.pages > 0),
    isOpen: beyondText?.hasRemoteFiles ?? false,
    recalled: null,
    conversation: null,
  };
}

const NO_IMAGES: KeptInput['images'] = [];

/** The name of encrypted content: 128 bits of its SHA-256, so that no other content takes its weight. */
export function sealOf(content: string): string {
  return `seal:${hash('sha256', content, 'base64url').slice(0, 22)}`;
}

/** Returns the id with which a response's JSON begins; null: it begins otherwise. */
export function idAtStart(bytes: Buffer): string | null {
  return /^\s*\{\s*"id"\s*:\s*"([\w.:-]{1,256})"/.exec(bytes.toString('latin1', 0, 512))?.[1] ?? null;
}

export function readAnswer(response: JsonObject): KeptAnswer {
  const { id, store, output, reasoning } = response;
  const context = isObject(reasoning) ? reasoning.context : null;
  const items = Array.isArray(output) ? output.slice(0, ITEMS_MAX).filter(isObject).map(readItem) : [];
  return {
    id: typeof id === 'string' && PLAIN_ID.test(id) ? id : null,
    isStored: store !== false,
    items,
    reasoningContext: context === 'all_turns' || context === 'current_turn' ? context : null,
  };
}

/**
 * Returns the items that were put into a conversation, as the upstream lists them. Messages of text weigh their bytes; nothing says
 * what others do.
 */
export function readPutItems(list: JsonObject): KeptItem[] {
  const items = Array.isArray(list.data) ? list.data.slice(0, ITEMS_MAX).filter(isObject) : [];
  return items.flatMap((item) => {
    const read = readItem(item);
    if (read.names.length === 0) return [];
    return [isPlainMessage(item) ? read : { ...read, hidden: 'input' }];
  });
}

function readItem(item: JsonObject): KeptItem {
  const { id, type, encrypted_content: sealed, result } = item;
  const names: string[] = [];
  if (typeof id === 'string' && PLAIN_ID.test(id)) names.push(id);
  if (typeof sealed === 'string' && sealed !== '') names.push(sealOf(sealed));
  const shown = { ...item };
  delete shown.encrypted_content;
  if (type === 'image_generation_call') delete shown.result;
  return {
    names,
    bytes: Buffer.byteLength(JSON.stringify(shown)),
    hidden: hiddenOf(type),
    images: type === 'image_generation_call' ? [{ size: sizeOf(result), detail: 'auto' }] : [],
  };
}

function sizeOf(base64: Json | undefined): ReturnType<typeof imageSizeOf> {
  return typeof base64 === 'string' ? imageSizeOf(`data:image/png;base64,${base64}`) : null;
}

function hiddenOf(type: Json | undefined): Hidden {
  if (SHOWN_ITEMS.has(type)) return 'nothing';
  if (type === 'reasoning') return 'reasoning';
  // A summary is written by the model, so it is no longer than what was written.
  return type === 'compaction' ? 'output' : 'input';
}

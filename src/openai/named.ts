/**
 * Objects that the body of an operation names which costs nothing. Where a body moves a cost, its reader names them
 * (prompt.ts). Invariant: a member of one of these names is an object's id wherever it stands and in whatever letters, but for
 * what the client names itself, and for what is shown of an earlier answer.
 */
import type { NamedObject } from '../domain/objects.ts';
import { isObject, type Json, type JsonObject } from './body.ts';

/** The members that name objects (OpenAPI specification 2.3.0): one id, a list of ids, or an object with the id. */
export const BODY_OBJECTS: Readonly<Record<string, NamedObject['kind']>> = {
  file_id: 'file',
  file_ids: 'file',
  input_file_id: 'file',
  training_file: 'file',
  validation_file: 'file',
  previous_response_id: 'response',
  conversation: 'conversation',
  conversation_id: 'conversation',
  vector_store_id: 'vector_store',
  vector_store_ids: 'vector_store',
  container: 'container',
  container_id: 'container',
  skill_id: 'skill',
  part_ids: 'upload_part',
};
/** What stands in these is the client's, or text of an earlier answer. */
const OPAQUE = new Set(
  'annotations attributes filters headers item logprobs metadata outputs parameters results sample schema variables'.split(
    ' ',
  ),
);
/** Where a call of a tool has run, which its item shows. */
const OF_CALLS = new Set(['container_id', 'environment']);
/** Items that the upstream reads from what it keeps when their encrypted content is missing. */
const SEALED_ITEMS = new Set<unknown>(['reasoning', 'compaction']);
/** Calls of tools that the upstream ran: what these read may be kept with the item, and is not sent. */
export const HOSTED_ITEMS = new Set<unknown>([
  'web_search_call',
  'file_search_call',
  'code_interpreter_call',
]);
/** Lists of items. One of them without a type and a role is a reference: of it, the specification asks for the id alone. */
const ITEM_LISTS = new Set(['input', 'items']);

/** Returns the objects of the path, and those that the body names; null: none. */
export function namedObjects(
  ofPath: readonly NamedObject[] | null,
  json: JsonObject,
): readonly NamedObject[] | null {
  const found = [...(ofPath ?? [])];
  addNamed(found, json, '');
  return found.length === 0 ? null : found;
}

function addNamed(found: NamedObject[], value: Json | undefined, path: string): void {
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) addNamed(found, item, `${path}[${index}]`);
    return;
  }
  if (!isObject(value)) return;
  const idParam = path === '' ? 'id' : `${path}.id`;
  if (isReference(value)) add(found, 'item', value.id, idParam);
  else if (isShownCall(value)) found.push({ kind: 'item', id: value.id, param: idParam, isSent: true });
  // The rows of a run of an eval.
  if (value.type === 'file_id') add(found, 'file', value.id, idParam);
  const isCall = typeof value.type === 'string' && value.type.endsWith('_call');
  for (const name of Object.keys(value)) {
    if (isCall && OF_CALLS.has(name)) continue;
    const member = value[name];
    const param = path === '' ? name : `${path}.${name}`;
    const kind = kindNamedBy(name);
    if (kind !== undefined) addIds(found, kind, member, param);
    if (ITEM_LISTS.has(name) && Array.isArray(member)) addBare(found, member, param);
    if (name === 'variables' && isObject(member)) {
      // The client names them; what they stand for may be a file.
      for (const own of Object.keys(member)) addNamed(found, member[own], `${param}.${own}`);
    } else if (!OPAQUE.has(name)) addNamed(found, member, param);
  }
}

/** Servers written in Go read a name in any letters as the name itself; they know the long s and the Kelvin sign for what they are. */
function kindNamedBy(name: string): NamedObject['kind'] | undefined {
  const usual = Object.hasOwn(BODY_OBJECTS, name) ? name : name.toUpperCase().toLowerCase();
  return Object.hasOwn(BODY_OBJECTS, usual) ? BODY_OBJECTS[usual] : undefined;
}

function addIds(
  found: NamedObject[],
  kind: NamedObject['kind'],
  value: Json | undefined,
  param: string,
): void {
  if (Array.isArray(value)) {
    for (const [index, id] of value.entries()) add(found, kind, id, `${param}[${index}]`);
  } else if (isObject(value)) add(found, kind, value.id, `${param}.id`);
  else add(found, kind, value, param);
}

/** The items of a list that stand for kept ones by their ids alone. */
function addBare(found: NamedObject[], items: readonly Json[], param: string): void {
  for (const [index, item] of items.entries()) {
    if (!isObject(item) || typeof item.role === 'string') continue;
    if (item.type === undefined || item.type === null) add(found, 'item', item.id, `${param}[${index}].id`);
  }
}

function add(found: NamedObject[], kind: NamedObject['kind'], id: Json | undefined, param: string): void {
  if (typeof id === 'string') found.push({ kind, id, param });
}

/** Whether an object stands for an item of which the upstream keeps the rest. */
function isReference({ type, id, encrypted_content: sealed }: JsonObject): boolean {
  if (typeof id !== 'string') return false;
  if (type === 'item_reference') return true;
  return SEALED_ITEMS.has(type) ? typeof sealed !== 'string' || sealed === '' : false;
}

/** Whether an object is a call of a tool of the upstream's, which may read by its id what it keeps of it. */
function isShownCall(item: JsonObject): item is JsonObject & { id: string } {
  const { type, id, result } = item;
  if (typeof id !== 'string') return false;
  return HOSTED_ITEMS.has(type) || (type === 'image_generation_call' && typeof result !== 'string');
}

const TEXT_PARTS = new Set<unknown>(['text', 'input_text', 'output_text', 'refusal']);

/** Tokens around an item that its bytes may not show. */
const ITEM_FRAME_TOKENS = 16;

/**
 * Returns the most tokens that the items of a body add to what a later call reads; null: there are others than messages of
 * text among them, which nothing here bounds.
 * @param bytes of the whole body
 */
export function itemTokens({ items }: JsonObject, bytes: number): number | null {
  if (items === undefined || items === null) return 0;
  if (!Array.isArray(items)) return null;
  if (!items.every((item) => isObject(item) && isPlainMessage(item))) return null;
  return items.length === 0 ? 0 : bytes + ITEM_FRAME_TOKENS * items.length;
}

/** Whether an item is a message of nothing but text. */
export function isPlainMessage({ role, content }: JsonObject): boolean {
  return typeof role === 'string' && isText(content);
}

function isText(content: Json | undefined): boolean {
  if (typeof content === 'string') return true;
  return Array.isArray(content) && content.every((part) => isObject(part) && TEXT_PARTS.has(part.type));
}

/** What OpenAI takes as metadata, so that nothing larger is kept. */
const METADATA_MAX = { pairs: 16, name: 64, value: 512 };

/** Returns the texts of a body's metadata; null: there are none. */
export function shortTexts(metadata: JsonObject): Record<string, string> | null {
  const texts: Record<string, string> = {};
  let pairs = 0;
  for (const name in metadata) {
    const value = metadata[name];
    if (typeof value !== 'string' || name.length > METADATA_MAX.name || value.length > METADATA_MAX.value)
      continue;
    if (pairs++ === METADATA_MAX.pairs) break;
    texts[name] = value;
  }
  return pairs === 0 ? null : texts;
}

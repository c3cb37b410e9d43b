import type { ParsedRequest } from '../request.ts';
import { isObject, type Json, type JsonObject } from './json.ts';

/** What the gateway writes into a request. Edits that the operation has no field for are left out. */
export interface RequestEdits {
  /** Instead of a missing, null or `auto` tier, which the upstream's settings could make a dearer one. */
  serviceTier?: 'default' | undefined;
  /** Output tokens per choice, where the client set no limit of its own. */
  outputLimit?: number | undefined;
  /** Asks a chat or completions stream for its usage chunk. */
  includeUsage?: boolean | undefined;
}

const OPENING_BRACE = 0x7b;

/**
 * The bytes to send upstream. Usually the client's own, or those with a few fields spliced in after the opening brace;
 * written anew from what was understood only if a field must change that is already there, or if another parser could
 * read the client's bytes differently.
 * Throws when an edit would overrule what the client said: that is our bug.
 */
export function renderBody(request: ParsedRequest, edits: RequestEdits): Buffer {
  const { json, body } = request;
  if (json === null) return body;
  const fields = editedFields(request, json, edits);
  const names = Object.keys(fields);
  if (request.ambiguous || names.some((name) => Object.hasOwn(json, name))) return rewrite(body, fields);
  if (names.length === 0) return body;

  const start = body.indexOf(OPENING_BRACE) + 1;
  const text = JSON.stringify(fields).slice(0, -1) + (Object.keys(json).length > 0 ? ',' : '}');
  return Buffer.concat([Buffer.from(text), body.subarray(start)]);
}

function editedFields(request: ParsedRequest, json: JsonObject, edits: RequestEdits): JsonObject {
  const { descriptor, operation, stream, includeUsage } = request;
  const fields: JsonObject = {};
  if (edits.outputLimit !== undefined) {
    if (descriptor.outputLimitField === null || operation.outputTokensLimit !== null) {
      throw new Error(`an output limit cannot be written into this ${descriptor.name} request`);
    }
    fields[descriptor.outputLimitField] = edits.outputLimit;
  }
  if (edits.serviceTier !== undefined && descriptor.outputLimitField !== null) {
    if (operation.serviceTier !== null) throw new Error('the client named a service tier');
    fields.service_tier = edits.serviceTier;
  }
  if (edits.includeUsage && stream && descriptor.usage?.stream === 'chunk' && !includeUsage) {
    const options = isObject(json.stream_options) ? json.stream_options : {};
    fields.stream_options = { ...options, include_usage: true };
  }
  return fields;
}

interface ParsedNumberSource {
  source?: string;
}

/** ECMAScript's "JSON.parse source text access", which the runtime has and TypeScript's library does not yet. */
const exact = JSON as unknown as {
  parse(text: string, reviver: (name: string, value: Json, context: ParsedNumberSource) => Json): JsonObject;
  rawJSON(text: string): Json;
};

/**
 * Writes the body anew: each name once, with the value that was understood. Numbers keep the digits the client wrote
 * (a 64-bit seed would lose some as a JavaScript number). The nesting was bounded when the body was read.
 */
function rewrite(body: Buffer, fields: JsonObject): Buffer {
  const json = exact.parse(body.toString(), (_name, value, { source }) =>
    typeof value === 'number' && source !== undefined && String(value) !== source
      ? exact.rawJSON(source)
      : value,
  );
  for (const [name, value] of Object.entries(fields)) json[name] = value;
  return Buffer.from(JSON.stringify(json));
}

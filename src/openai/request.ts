/**
 * A request, from the client's bytes to those that go upstream. Owns: what a call is, every field that can move its cost,
 * and what the gateway writes into it. Invariant: what was estimated is what is sent.
 */
import { isUtf8 } from 'node:buffer';
import { type ApiError, apiError } from '../domain/errors.ts';
import type { Operation } from '../domain/operation.ts';
import { type Bounds, Fields } from './bound/fields.ts';
import type { Descriptor } from './operations/descriptor.ts';
import type { Route } from './operations/table.ts';
import { isObject, type Json, type JsonObject, MAX_DEPTH, parseJson, scanNames } from './wire/json.ts';

/** A request as it was understood, beside the bytes it was read from. */
export interface ParsedRequest {
  readonly descriptor: Descriptor;
  /** Path and query as sent upstream, without `/v1`. */
  readonly path: string;
  readonly operation: Operation;
  /** The client asked for server-sent events. */
  readonly stream: boolean;
  /** The client itself asked for the usage chunk of a chat or completions stream. */
  readonly includeUsage: boolean;
  /** The body's object; null for operations without a body. */
  readonly json: JsonObject | null;
  /** The body names no model, the path does (Azure's deployments): it is written into the body. */
  readonly modelFromPath: boolean;
  /** The client's bytes; empty for operations without a body. Send what `renderBody` makes of them, not these. */
  readonly body: Buffer;
  /** Some object may hold a name twice, so another parser could read other values from these bytes. */
  readonly ambiguous: boolean;
}

const EMPTY = Buffer.alloc(0);

/**
 * Tokens that the upstream adds to the text itself. Text costs at most one token per UTF-8 byte, and JSON writes it in
 * at least as many bytes; a token given as a number takes at least two. The framing of a message (about four tokens and
 * its role) is below the bytes of `{"role":"","content":""},`, and a tool's or schema's below those of its own JSON.
 * What stands once per request (the opening of the answer, the headings of tools and response format) is this.
 */
const FRAMING_TOKENS = 64;

const NO_BOUNDS: Bounds = { outputTokensLimit: 0, choices: 1, extraOutputTokens: 0 };

/**
 * Reads what a call is and everything in it that can move its cost. Fields that cannot are the upstream's business.
 * Errors: `invalid_json`; `invalid_request` for a field of a wrong type or range; `unbounded_request` for what no field
 * bounds; `unknown_price` for a service tier without a published price. All but the first name the field in `param`.
 */
export function readRequest(route: Route, body: Buffer): ParsedRequest | ApiError {
  const { descriptor, path } = route;
  if (descriptor.request === 'none') {
    const operation = operationOf(descriptor, route.model, NO_BOUNDS);
    return {
      descriptor,
      path,
      operation,
      stream: false,
      includeUsage: false,
      json: null,
      modelFromPath: false,
      body: EMPTY,
      ambiguous: false,
    };
  }
  if (!isUtf8(body)) return apiError('invalid_json', 'The body is not valid UTF-8.');
  const text = body.toString();
  const json = parseJson(text);
  if (json === undefined) return apiError('invalid_json', 'The body is not valid JSON.');
  if (!isObject(json)) return apiError('invalid_json', 'The body must be a JSON object.');
  const names = scanNames(text);
  if (names === 'too_deep')
    return apiError('invalid_request', `The body is nested deeper than ${MAX_DEPTH} levels.`);

  const modelFromPath = route.model !== null && (json.model === undefined || json.model === null);
  if (modelFromPath) json.model = route.model;
  const fields = new Fields(json);
  const { bound } = descriptor;
  const model = fields.name('model');
  if (route.model !== null && model !== route.model) {
    fields.invalid(
      'model',
      "'model' is not the deployment that the path names: leave it out, or name the same.",
    );
  }
  if (bound !== null && model === null) fields.invalid('model', "'model' must be the name of a model.");
  const stream = bound !== null && fields.boolean('stream');
  const includeUsage = bound !== null && readIncludeUsage(fields);
  const serviceTier = bound === null ? null : readServiceTier(fields);
  const operation = operationOf(descriptor, model, bound === null ? NO_BOUNDS : bound(fields));
  operation.serviceTier = serviceTier;
  if (bound !== null) operation.endUser = fields.name('safety_identifier') ?? fields.name('user');
  operation.inputBoundParam = fields.inputBoundParam;
  operation.inputBoundByModel = fields.inputBoundParam !== null;
  operation.inputTokensBound = body.length + FRAMING_TOKENS;
  if (fields.error) return fields.error;
  const ambiguous = names === 'ambiguous';
  return {
    descriptor,
    path,
    operation,
    stream,
    includeUsage: stream && includeUsage,
    json,
    modelFromPath,
    body,
    ambiguous,
  };
}

function operationOf(descriptor: Descriptor, model: string | null, bounds: Bounds): Operation {
  return {
    model,
    billable: descriptor.class === 'metered',
    inputTokensBound: 0,
    inputBoundByModel: false,
    inputBoundParam: null,
    inputAtMostModelMaximum: descriptor.inputAtMostModelMaximum,
    outputTokensLimit: bounds.outputTokensLimit,
    choices: bounds.choices,
    extraOutputTokens: bounds.extraOutputTokens,
    serviceTier: null,
    endUser: null,
  };
}

function readIncludeUsage(fields: Fields): boolean {
  const includeUsage = fields.object('stream_options')?.include_usage ?? false;
  if (typeof includeUsage !== 'boolean') {
    fields.invalid('stream_options.include_usage', "'stream_options.include_usage' must be a boolean.");
  }
  return includeUsage === true;
}

/** Tiers that have no published price per token are refused; `auto` means what the upstream's project settings say. */
function readServiceTier(fields: Fields): Operation['serviceTier'] {
  const tier = fields.json.service_tier;
  switch (tier) {
    case undefined:
    case null:
    case 'auto':
      return null;
    case 'default':
    case 'flex':
    case 'priority':
      return tier;
  }
  if (typeof tier !== 'string') fields.invalid('service_tier', "'service_tier' must be a string.");
  else {
    const message = `The service tier ${JSON.stringify(tier.slice(0, 64))} has no known price.`;
    fields.error ??= apiError('unknown_price', message, { param: 'service_tier' });
  }
  return null;
}

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
 * rewritten from what was read only if a field must change that is already there, or if another parser could
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
  const fields: JsonObject = request.modelFromPath ? { model: operation.model } : {};
  const { outputLimitField, defaultOutputTokens } = descriptor;
  if (edits.outputLimit !== undefined) {
    if (outputLimitField === null || operation.outputTokensLimit !== null) {
      throw new Error(`an output limit cannot be written into this ${descriptor.name} request`);
    }
    fields[outputLimitField] = edits.outputLimit;
  } else if (outputLimitField !== null && defaultOutputTokens !== null) {
    // What was estimated is what is sent: not every server has the default that the API documents.
    if ((json[outputLimitField] ?? null) === null) fields[outputLimitField] = defaultOutputTokens;
  }
  if (edits.serviceTier !== undefined && descriptor.hasServiceTier) {
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
 * Rewrites the body: each name once, with the value that was understood. Numbers keep the digits the client wrote
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

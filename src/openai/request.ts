/**
 * A request, from the client's bytes to those that go upstream. Owns: which operation a request line names, what a call
 * is, every field that can move its cost, what the gateway writes into it, and which headers go upstream. Invariant: what
 * was estimated is what is sent.
 */
import { isUtf8 } from 'node:buffer';
import { type ApiError, apiError } from '../domain/errors.ts';
import type { Operation } from '../domain/operation.ts';
import {
  type Bounds,
  Fields,
  isObject,
  type JsonObject,
  MAX_DEPTH,
  parseJson,
  rewriteBody,
  scanNames,
} from './body.ts';
import type { Descriptor } from './operations/descriptor.ts';
import { OPERATIONS } from './operations/table.ts';
import { HOP_BY_HOP, namedByConnection } from './response.ts';

/** One operation as found in a request line. */
export interface Route {
  readonly descriptor: Descriptor;
  /** Path (and, on GET, a harmless query) to append to the upstream's base URL: `/chat/completions`. */
  readonly path: string;
  /** The model named by the path (`models.retrieve`), otherwise null. */
  readonly model: string | null;
}

/** Ids as the API makes them; a segment that is none matches no operation. */
const ID = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,199}$/;
const HARMLESS_QUERY = /^[A-Za-z0-9_.=&-]{1,256}$/;
const ROOT = '/v1';

/** Operations without a parameter in their path, by method and path. */
const exact = new Map<string, Map<string, Route>>();
/** Those with one, which is their last segment, by method and what stands before it. */
const prefixed = new Map<string, Map<string, Descriptor>>();

for (const descriptor of OPERATIONS) {
  const { method, path } = descriptor;
  const parameter = path.indexOf('{');
  if (parameter === -1) entry(exact, method).set(ROOT + path, { descriptor, path, model: null });
  else entry(prefixed, method).set(ROOT + path.slice(0, parameter), descriptor);
}

function entry<Value>(maps: Map<string, Map<string, Value>>, key: string): Map<string, Value> {
  const known = maps.get(key);
  if (known) return known;
  const made = new Map<string, Value>();
  maps.set(key, made);
  return made;
}

/**
 * Finds the operation of a request line. Paths match byte for byte: percent-encoding, doubled or trailing slashes and
 * dot segments find nothing, because the upstream may read them as another operation. The one escape understood is
 * `%3A`, which the official SDKs write for the colons of a fine-tuned model's id.
 * A query is forwarded on GET when it is plain, and dropped otherwise: no supported operation documents one.
 * Returns null for everything else (404 `unsupported_operation`).
 */
export function findRoute(method: string, url: string): Route | null {
  const mark = url.indexOf('?');
  const path = mark === -1 ? url : url.slice(0, mark);
  const found = exact.get(method)?.get(path);
  const suffix = found && (mark === -1 || method !== 'GET') ? '' : suffixOf(method, url, mark);
  if (found) return suffix === '' ? found : { ...found, path: found.path + suffix };

  const end = path.lastIndexOf('/') + 1;
  const descriptor = prefixed.get(method)?.get(path.slice(0, end));
  if (descriptor === undefined) return null;
  const id = path.slice(end).replaceAll(/%3a/gi, ':');
  if (!ID.test(id)) return null;
  return { descriptor, path: `${path.slice(ROOT.length, end)}${id}${suffix}`, model: id };
}

function suffixOf(method: string, url: string, mark: number): string {
  if (mark === -1 || method !== 'GET') return '';
  const query = url.slice(mark + 1);
  return HARMLESS_QUERY.test(query) ? `?${query}` : '';
}

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
  if (request.ambiguous || names.some((name) => Object.hasOwn(json, name))) return rewriteBody(body, fields);
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

/**
 * Not for the upstream: what we set ourselves; the client's credentials and account headers; who the client is.
 * The body's length, type and encoding are ours too, since we read it as plain UTF-8 JSON: another charset or encoding
 * would let the upstream read another request than the one that was estimated.
 */
const NOT_UPSTREAM = new Set([
  ...HOP_BY_HOP,
  'host',
  'expect',
  'content-length',
  'content-type',
  'content-encoding',
  'accept-encoding',
  'authorization',
  'api-key',
  'x-api-key',
  'cookie',
  'openai-organization',
  'openai-project',
  'forwarded',
  'via',
  'x-real-ip',
  'x-client-request-id',
]);
const NOT_UPSTREAM_PREFIX = /^(?:proxy-|x-forwarded-|x-tollgate-)/;

/**
 * The headers to send upstream, as name, value, name, value … from a client's raw headers in the same form.
 * `eventId` goes as `x-client-request-id`; compressed responses are not requested, because they hide usage.
 */
export function upstreamHeaders(
  incoming: readonly string[],
  options: { apiKey: string; eventId: string },
): string[] {
  let headers: string[] = [];
  let named: ReadonlySet<string> | null = null;
  let hasType = false;
  for (let index = 0; index < incoming.length; index += 2) {
    const name = (incoming[index] ?? '').toLowerCase();
    const value = incoming[index + 1] ?? '';
    if (name === 'connection') named = namedByConnection(named, value);
    else if (name === 'content-type') hasType = true;
    else if (!NOT_UPSTREAM.has(name) && !NOT_UPSTREAM_PREFIX.test(name)) headers.push(name, value);
  }
  if (named !== null) headers = withoutNames(headers, named);
  // Ours come last, so that a client's Connection header cannot name them away.
  if (hasType) headers.push('content-type', 'application/json');
  headers.push('authorization', `Bearer ${options.apiKey}`);
  headers.push('accept-encoding', 'identity');
  headers.push('x-client-request-id', options.eventId);
  return headers;
}

function withoutNames(headers: readonly string[], names: ReadonlySet<string>): string[] {
  return headers.filter((_, index) => !names.has(headers[index - (index % 2)] ?? ''));
}

/** Headers that carry a key: OpenAI's own, Azure's, and that of other vendors' clients. */
const KEY_HEADERS = new Map([
  ['authorization', true],
  ['api-key', false],
  ['x-api-key', false],
]);

/**
 * The virtual key among raw headers: of `Authorization: Bearer`, `api-key` or `x-api-key`; null when there is none. Two
 * `Authorization` headers, and two different keys, are refused: what stands before us may have checked the other one.
 */
export function clientKey(incoming: readonly string[]): string | null | ApiError {
  let found: string | null = null;
  let authorizations = 0;
  for (let index = 0; index < incoming.length; index += 2) {
    const name = incoming[index] ?? '';
    if (name.length !== 13 && name.length !== 7 && name.length !== 9) continue;
    const isBearer = KEY_HEADERS.get(name.toLowerCase());
    if (isBearer === undefined) continue;
    if (isBearer && ++authorizations > 1) {
      return apiError('invalid_api_key', 'Send exactly one Authorization header.');
    }
    const value = incoming[index + 1] ?? '';
    if (isBearer && value.slice(0, 7).toLowerCase() !== 'bearer ') continue;
    const key = (isBearer ? value.slice(7) : value).trim();
    if (key === '' || key === found) continue;
    if (found !== null) {
      return apiError(
        'invalid_api_key',
        'The request carries two different API keys: send one, in one header.',
      );
    }
    found = key;
  }
  return found;
}

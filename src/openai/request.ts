/**
 * A request, from the client's bytes to those that go upstream. Owns: which operation a request line names, every field that moves
 * its cost, what the gateway writes into it. Invariants: what was estimated is what is sent; nothing
 * is parsed before its bytes were scanned; the parsed tree does not outlive the reading.
 */
import { ApiError } from '../domain/errors.ts';
import type { NamedObject } from '../domain/objects.ts';
import type { Operation } from '../domain/operation.ts';
import type { LimitFields } from '../domain/upstream.ts';
import {
  type Bounds,
  countNames,
  Fields,
  type FormFile,
  findSpans,
  isObject,
  type Json,
  type JsonObject,
  MAX_TOKENS,
  type MediaBounds,
  parseBytes,
  readIncludeUsage,
  readServiceTier,
  rewriteBody,
  type Span,
} from './body.ts';
import { type Form, type FormEdits, withModel } from './form.ts';
import { withImageModel } from './image-tool.ts';
import { type InputParts, isContinued, PARTS_BYTES_LEAST, readInputParts } from './input-parts.ts';
import { keptInput } from './kept.ts';
import { addLimitFields } from './limit-fields.ts';
import { itemTokens, namedObjects, shortTexts } from './named.ts';
import type { Descriptor } from './operations/descriptor.ts';
import { type Route, Templates, withQuery } from './operations/paths.ts';
import { OPERATIONS } from './operations/table.ts';
import { readKeptTools } from './prompt.ts';
import {
  INLINE_VALUES,
  namedTwice,
  type RequestBounds,
  SCAN_BOUNDS,
  type Scanned,
  scanWhole,
  tooComplex,
} from './scan.ts';

const ROOT = '/v1';

/** Operations without a parameter in their path, by method and path. */
const exact = new Map<string, Map<string, Route>>();
const templates = new Templates();

for (const descriptor of OPERATIONS) {
  const { method, path } = descriptor;
  if (path.includes('{')) templates.add(descriptor);
  else {
    const routes = exact.get(method) ?? new Map<string, Route>();
    exact.set(method, routes.set(ROOT + path, { descriptor, path, model: null, objects: null }));
  }
}

/**
 * Finds the operation of a request line. Paths match byte for byte: percent-encoding, doubled or trailing slashes and
 * dot segments find nothing, because the upstream may read them as another operation. The one escape understood is
 * `%3A`, which the official SDKs write for the colons of a fine-tuned model's id.
 * Returns null for everything else (404 `unsupported_operation`).
 */
export function findRoute(method: string, url: string): Route | null {
  const mark = url.indexOf('?');
  const path = mark === -1 ? url : url.slice(0, mark);
  const found = exact.get(method)?.get(path) ?? findTemplate(method, path);
  return mark === -1 || found === null ? found : withQuery(found, url.slice(mark + 1));
}

function findTemplate(method: string, path: string): Route | null {
  return path.startsWith(`${ROOT}/`) ? templates.find(method, path.slice(ROOT.length)) : null;
}

/** A request as it was understood, beside the bytes it was read from. */
export interface ParsedRequest {
  readonly descriptor: Descriptor;
  /** Path and query as sent upstream, without `/v1`. */
  readonly path: string;
  readonly operation: Operation;
  /** The client asked for server-sent events. */
  readonly stream: boolean;
  /** The client itself asked for the usage chunk. */
  readonly includeUsage: boolean;
  /** The body names no model; the path does (Azure's deployments), or the API has a default. It is written into the body. */
  readonly modelFromPath: boolean;
  /** The bytes that were understood; empty for operations without a body. Send what `renderBody` makes of them, not these. */
  readonly body: Buffer;
  /** Members of the body's object that the gateway may have to change, by name; null: there is no body. */
  readonly members: Members | null;
  /** Names of the body's members that are not null, where they were asked for. */
  readonly fieldNames: readonly string[] | null;
  /** What of its input other calls may share; null: nothing, too little to be worth a look, or it was not looked at. */
  readonly inputParts: InputParts | null;
  /** Objects that it names and its team must own; null: none, beside those that are weighed (`beyondText`). */
  readonly objects: readonly NamedObject[] | null;
  /** Null: the body is no form. */
  readonly form: FormEdits | null;
  /** The response is to come as events, for a client that gets what they carry, of this type; null: it comes as it is asked for. */
  readonly audioType: string | null;
  /** What is written in as the choice of tools; null: nothing. */
  readonly toolChoice: Json;
  /** The short texts of the body's `metadata`, which goes upstream as it is; null: there are none. */
  readonly metadata: Readonly<Record<string, string>> | null;
}

interface Members {
  /** The object has none at all. */
  readonly none: boolean;
  /** Which of the names in {@link CHANGED} it has. */
  readonly names: readonly string[];
  readonly streamOptions: JsonObject | null;
  /** The names under which the client set an output limit. */
  readonly limits: readonly string[];
  /** Null: to be found when it is needed, which is rare. */
  spans: Map<string, Span> | null;
}

/** Members that may stand in a body and yet be written by the gateway. */
const CHANGED =
  'model max_completion_tokens max_output_tokens max_tokens max_tool_calls service_tier stream_format stream_options'.split(
    ' ',
  );

const NO_PARTS = { fieldNames: null, inputParts: null, form: null, audioType: null, toolChoice: null };
const NO_BODY = { stream: false, includeUsage: false, modelFromPath: false, members: null, metadata: null };

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
 * Errors: `invalid_json`; `body_too_complex` for a shape beyond the bounds; `invalid_request` for a field of a wrong type or
 * range; `unbounded_request` for what no field bounds; `unknown_price` for a service tier without a published price. Those
 * about a field name it in `param`.
 * @param scan of the body's bytes, where they were scanned as they came
 * @param parts which calls' `inputParts` are read; of others {@link readParts} can do it later
 */
export function readRequest(
  route: Route,
  body: Buffer,
  bounds: RequestBounds = SCAN_BOUNDS,
  scan: Scanned | null = null,
  parts: 'all' | 'continued' | 'none' = 'none',
): ParsedRequest | ApiError {
  const { descriptor, path, objects } = route;
  const isJson = descriptor.request === 'json' || descriptor.takesJson;
  const isRead = descriptor.bound !== null || descriptor.job !== null;
  if (!isJson || (body.length === 0 && !isRead)) {
    const operation = operationOf(descriptor, route.model, NO_BOUNDS);
    return { descriptor, path, operation, ...NO_BODY, ...NO_PARTS, body: Buffer.alloc(0), objects };
  }
  const bytes = body.toString('latin1');
  const scanned = scan ?? scanWhole(bytes, bounds);
  if (scanned.exceeded !== null) return tooComplex(scanned.exceeded, bounds);
  const json = parseBytes(body, bytes);
  if (json instanceof ApiError) return json;
  let understood = body;
  if (scanned.ambiguous) {
    // An escape in a name may hide a second one, and then the counts differ.
    if (scanned.values <= INLINE_VALUES) understood = rewriteBody(body);
    else if (countNames(json) !== scanned.names) return namedTwice();
  }
  const request = readFields(route, json, understood, scanned, body.length);
  if (request instanceof ApiError) return request;
  const hasParts =
    body.length >= PARTS_BYTES_LEAST &&
    parts !== 'none' &&
    request.body === body &&
    (parts === 'all' || isContinued(descriptor, json));
  const inputParts = hasParts ? readInputParts(request, json, bytes) : null;
  if (!bounds.keepsNames) return hasParts ? { ...request, inputParts } : request;
  const fieldNames = Object.keys(json).filter((name) => json[name] !== null);
  return { ...request, inputParts, fieldNames };
}

/** Returns what of a request's input other calls may share, from its bytes once more; null: nothing. */
export function readParts(request: ParsedRequest): InputParts | null {
  const text = request.body.toString('latin1');
  const json = parseBytes(request.body, text);
  return json instanceof ApiError ? null : readInputParts(request, json, text);
}

/** Reads a form: what its fields and files say of its cost. Errors as {@link readRequest}. */
export function readFormRequest(
  route: Route,
  contentType: string,
  { fields, files, delimiter, model }: Form,
  body: Buffer,
): ParsedRequest | ApiError {
  const request = readFields(route, fields, body, OF_FORM, body.length, files);
  if (request instanceof ApiError) return request;
  return { ...request, members: null, form: { contentType, delimiter, model } };
}

/** Its names are few, and all of them are looked at. */
const OF_FORM: Scanned = { values: 0, names: 1, exceeded: null, ambiguous: false, unusual: true };
const NO_FILES: readonly FormFile[] = [];

function readFields(
  route: Route,
  json: JsonObject,
  body: Buffer,
  scanned: Scanned,
  receivedBytes: number,
  files = NO_FILES,
): ParsedRequest | ApiError {
  const { descriptor, path } = route;
  const members = membersOf(descriptor, json, scanned);
  const given = route.model ?? descriptor.defaultModel?.(json) ?? null;
  const modelFromPath = given !== null && (json.model === undefined || json.model === null);
  if (modelFromPath) json.model = given;
  const fields = new Fields(json);
  fields.files = files;
  const { bound, pricedAs, checks } = descriptor;
  if ((bound ?? descriptor.job ?? checks) !== null && scanned.unusual) fields.refuseOtherCase();
  const model = pricedAs === null ? fields.name('model') : null;
  if (route.model !== null && model !== route.model) {
    fields.invalid('model', "'model' is not the deployment in the path: leave it out, or name the same.");
  }
  if (bound !== null && model === null && pricedAs === null)
    fields.invalid('model', "'model' must be the name of a model, also beside a prompt template.");
  const stream = bound !== null && (fields.boolean('stream') || descriptor.socket !== null);
  const includeUsage = bound !== null && readIncludeUsage(fields);
  const serviceTier = bound === null ? null : readServiceTier(fields);
  const bounds = bound === null ? NO_BOUNDS : bound(fields);
  const operation = operationOf(descriptor, model, bounds);
  operation.serviceTier = serviceTier;
  if (bound !== null) operation.endUser = fields.name('safety_identifier') ?? fields.name('user');
  const beyondText = fields.maybeBeyondText;
  operation.beyondText = beyondText;
  operation.hosted = fields.hosted;
  operation.inputTokensBound = pricedAs === null ? Math.max(receivedBytes, body.length) + FRAMING_TOKENS : 0;
  if (beyondText !== null) operation.inputTokensBound += beyondText.moreTokens - beyondText.imageBytes;
  if (bounds.media !== undefined) boundMedia(operation, bounds.media);
  const heard = beyondText?.audioTokens ?? 0;
  if (heard > 0)
    operation.otherBounds = { ...operation.otherBounds, input_audio_tokens: Math.min(heard, MAX_TOKENS) };
  const job = descriptor.job === null ? null : descriptor.job(fields);
  if (job !== null) operation.job = job;
  else if (bounds.isBackground) operation.job = { kind: 'response' };
  if (descriptor.addsItems) readKeptTools(fields);
  checks?.(fields);
  if (fields.error) return fields.error;
  if (bounds.keeps !== undefined) operation.kept = keptInput(bounds.keeps, operation);
  const read = { descriptor, path, operation, stream, includeUsage: stream && includeUsage, modelFromPath };
  const isRead = bound !== null && pricedAs === null;
  const objects = isRead ? fields.objects : namedObjects(route.objects, json);
  if (descriptor.addsItems) operation.itemTokens = itemTokens(json, body.length);
  const metadata = isObject(json.metadata) ? shortTexts(json.metadata) : null;
  const sent = fields.hosted?.images ? withImageModel(body, fields.hosted.images) : body;
  const request = { ...read, body: sent, members, ...NO_PARTS, metadata, objects };
  if (fields.toolChoice !== null) return { ...request, toolChoice: fields.toolChoice };
  return bounds.media?.audioType ? { ...request, audioType: bounds.media.audioType } : request;
}

function boundMedia(operation: Operation, media: MediaBounds): void {
  operation.otherBounds = media.otherBounds ?? null;
  operation.isBilledEither = media.isBilledEither ?? false;
  operation.stated = media.stated ?? null;
  operation.pricedAs = media.pricedAs ?? null;
  operation.inputTokensBound = media.inputTokens ?? operation.inputTokensBound;
}

function membersOf(
  { outputLimitField, olderLimitField }: Descriptor,
  json: JsonObject,
  scanned: Scanned,
): Members {
  const names = CHANGED.filter((name) => Object.hasOwn(json, name));
  const streamOptions = isObject(json.stream_options) ? json.stream_options : null;
  const limits: string[] = [];
  if (outputLimitField !== null && (json[outputLimitField] ?? null) !== null) limits.push(outputLimitField);
  if (olderLimitField !== null && (json[olderLimitField] ?? null) !== null) limits.push(olderLimitField);
  return { none: scanned.names === 0, names, streamOptions, limits, spans: null };
}

function operationOf(descriptor: Descriptor, model: string | null, bounds: Bounds): Operation {
  return {
    model,
    billable: descriptor.class === 'metered' || descriptor.class === 'job',
    inputTokensBound: 0,
    beyondText: null,
    hosted: null,
    inputAtMostModelMaximum: descriptor.inputAtMostModelMaximum,
    outputTokensLimit: bounds.outputTokensLimit,
    choices: bounds.choices,
    extraOutputTokens: bounds.extraOutputTokens,
    serviceTier: null,
    endUser: null,
    kept: null,
  };
}

/** What the gateway writes into a request. Edits that the operation has no field for are left out. */
export interface RequestEdits {
  /** Instead of a missing, null or `auto` tier, which the upstream's settings could make a dearer one. */
  serviceTier?: 'default' | undefined;
  /** Output tokens per choice, where the client set no limit of its own. */
  outputLimit?: number | undefined;
  /** Hosted tool calls, where the client set no limit of its own. */
  maxToolCalls?: number | undefined;
  /** Asks for speech as events, which alone tell its usage. */
  asEvents?: boolean | undefined;
  /** Asks a chat or completions stream for its usage chunk. */
  includeUsage?: boolean | undefined;
  /** The upstream's own name of the model. */
  model?: string | undefined;
  /** Names under which the limit of a chat is sent, the client's own too; missing or null: the one that the API has. */
  limitFields?: LimitFields | null;
}

const OPENING_BRACE = 0x7b;

/** Up to this size an edited body is copied into one piece. */
const COPIED_BYTES = 64 * 1024;

/**
 * The bytes to send upstream, in one piece or several: what was understood, with new members spliced in after the opening
 * brace, and new values in the place of those that must change.
 * Throws when an edit would overrule what the client said: that is our bug.
 */
export function renderBody(request: ParsedRequest, edits: RequestEdits): Buffer | Buffer[] {
  const { members, body, form, operation } = request;
  if (form !== null) {
    const model = edits.model ?? (request.modelFromPath ? operation.model : null);
    return model === null ? body : withModel(form, model, body);
  }
  if (members === null) return body;
  const fields = editedFields(request, members, edits);
  const names = Object.keys(fields);
  if (names.length === 0) return body;
  const changed = names.filter((name) => members.names.includes(name));
  const added = { ...fields };
  for (const name of changed) added[name] = undefined;
  const pieces: Buffer[] = [];
  let at = 0;
  if (changed.length < names.length) {
    at = body.indexOf(OPENING_BRACE) + 1;
    pieces.push(Buffer.from(JSON.stringify(added).slice(0, -1) + (members.none ? '' : ',')));
  }
  for (const [name, [start, end]] of changed.length === 0 ? [] : spansOf(body, members, changed)) {
    pieces.push(body.subarray(at, start), Buffer.from(JSON.stringify(fields[name])));
    at = end;
  }
  pieces.push(body.subarray(at));
  return body.length > COPIED_BYTES ? pieces : Buffer.concat(pieces);
}

/** Finds now what an edit may replace, where that is no matter. */
export function locateMembers({ body, members }: ParsedRequest): void {
  if (members !== null) members.spans = findSpans(body, members.names);
}

/** Returns the values to be replaced, in their order. */
function spansOf(body: Buffer, members: Members, changed: readonly string[]): [string, Span][] {
  members.spans ??= findSpans(body, members.names);
  const found = [...members.spans].filter(([name]) => changed.includes(name));
  if (found.length !== changed.length) throw new Error('a member of the body is not where it was read');
  return found;
}

function editedFields(request: ParsedRequest, members: Members, edits: RequestEdits): JsonObject {
  const { descriptor, operation, stream, includeUsage } = request;
  const fields: JsonObject = request.modelFromPath ? { model: operation.model } : {};
  if (edits.model !== undefined) fields.model = edits.model;
  const { outputLimitField, defaultOutputTokens } = descriptor;
  if (edits.outputLimit !== undefined) {
    if (outputLimitField === null || operation.outputTokensLimit !== null) {
      throw new Error(`an output limit cannot be written into this ${descriptor.name} request`);
    }
    fields[outputLimitField] = edits.outputLimit;
  } else if (outputLimitField !== null && defaultOutputTokens !== null) {
    // What was estimated is what is sent: not every server has the default that the API documents.
    if (members.limits.length === 0) fields[outputLimitField] = defaultOutputTokens;
  }
  if (edits.asEvents && request.audioType !== null) fields.stream_format = 'sse';
  if (request.toolChoice !== null) fields.tool_choice = request.toolChoice;
  if (edits.maxToolCalls !== undefined) fields.max_tool_calls = edits.maxToolCalls;
  if (edits.limitFields) addLimitFields(fields, edits.limitFields, descriptor, operation, members.limits);
  if (edits.serviceTier !== undefined && descriptor.hasServiceTier) {
    if (operation.serviceTier !== null) throw new Error('the client named a service tier');
    fields.service_tier = edits.serviceTier;
  }
  if (edits.includeUsage && stream && descriptor.usage?.stream === 'chunk' && !includeUsage) {
    fields.stream_options = { ...members.streamOptions, include_usage: true };
  }
  return fields;
}

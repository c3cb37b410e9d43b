/**
 * A response: the usage in its JSON, read where the operation's descriptor says that it stands; and the headers that the
 * upstream and the client get of each other's.
 */
import { hash } from 'node:crypto';
import { areQuantities } from '../domain/quantities.ts';
import type { AnswerState, HostedUse, MeteredResponse, Usage } from '../domain/usage.ts';
import { isObject, type Json, type JsonObject, parseJson } from './body.ts';
import { readAnswer } from './kept.ts';
import type { UsageMembers, UsagePlace } from './operations/descriptor.ts';
import { readImageToolUsage, readMediaUsage, withAudio } from './usage/media.ts';
import { isDeclined } from './wire/errors.ts';

/** Headers of one connection, which no proxy passes on (RFC 9110, section 7.6.1). */
const HOP_BY_HOP = [
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
];

/** Not for the client: the body's length changes when usage fields are removed, so the caller sets it if it holds. */
const NOT_CLIENT = new Set([...HOP_BY_HOP, 'content-length', 'set-cookie']);
const NOT_CLIENT_PREFIX = /^(?:proxy-|x-tollgate-)/;

/**
 * The upstream's headers for the client, as name, value, name, value … Left out: headers of the connection, cookies,
 * the length of the body (see above), names that only Tollgate may write, and those of `without`.
 */
export function clientHeaders(
  upstream: Record<string, string | string[] | undefined>,
  without: ReadonlySet<string> | null = null,
): string[] {
  const headers: string[] = [];
  const connection = upstream.connection;
  const named = connection === undefined ? without : namedByConnection(without, String(connection));
  for (const name in upstream) {
    const value = upstream[name];
    if (value === undefined || NOT_CLIENT.has(name) || NOT_CLIENT_PREFIX.test(name) || named?.has(name))
      continue;
    if (typeof value === 'string') headers.push(name, value);
    else for (const item of value) headers.push(name, item);
  }
  return headers;
}

/** `keep-alive` and `close` are the usual values and name no further header: no set is made for them. */
function namedByConnection(named: ReadonlySet<string> | null, value: string): ReadonlySet<string> | null {
  if (value === 'keep-alive' || value === 'close') return named;
  const names = new Set(named);
  for (const option of value.split(',')) names.add(option.trim().toLowerCase());
  return names;
}

/**
 * What of a client's headers the upstream gets: what the official SDKs, Codex and traces send about the request. All else
 * stays here: credentials, accounts and addresses, and whatever may name another method, URL or length to some server.
 * The body's length, type and encoding are ours, since we read it as plain UTF-8 JSON.
 */
const FOR_UPSTREAM = new Set([
  ...['accept', 'accept-language', 'user-agent', 'openai-beta', 'openai-safety-identifier'],
  ...['traceparent', 'tracestate', 'originator', 'version', 'session_id', 'session-id', 'conversation_id'],
  ...['thread-id', 'x-openai-subagent'],
  // Asks the simulator for a fault or a pace; it means nothing to other servers.
  'x-simulator',
]);
const FOR_UPSTREAM_PREFIX = /^x-(?:stainless|codex)-/;

interface OutgoingHeaders {
  apiKey: string;
  eventId: string;
  teamId?: string;
  /** The type of the body; missing: JSON. */
  contentType?: string | undefined;
  own?: readonly string[] | undefined;
}

/**
 * The headers to send upstream, as name, value, name, value … from a client's raw headers in the same form.
 * `eventId` goes as `x-client-request-id`; `own` are an upstream's headers, its key among them, instead of ours; compressed
 * responses are not requested, because they hide usage. An `idempotency-key` becomes one of the team's own: an upstream
 * that knows a key must not give one team's response to another.
 */
export function upstreamHeaders(incoming: readonly string[], options: OutgoingHeaders): string[] {
  let headers: string[] = [];
  let named: ReadonlySet<string> | null = null;
  let hasType = false;
  for (let index = 0; index < incoming.length; index += 2) {
    const name = (incoming[index] ?? '').toLowerCase();
    const value = incoming[index + 1] ?? '';
    if (name === 'connection') named = namedByConnection(named, value);
    else if (name === 'content-type') hasType = true;
    else if (name === 'idempotency-key') headers.push(name, keyOfTeam(options.teamId ?? '', value));
    else if (FOR_UPSTREAM.has(name) || FOR_UPSTREAM_PREFIX.test(name)) headers.push(name, value);
  }
  if (named !== null) headers = withoutNames(headers, named);
  // Ours come last, so that a client's Connection header cannot name them away.
  if (hasType) headers.push('content-type', options.contentType ?? 'application/json');
  if (options.own === undefined) headers.push('authorization', `Bearer ${options.apiKey}`);
  else headers.push(...options.own);
  headers.push('accept-encoding', 'identity');
  headers.push('x-client-request-id', options.eventId);
  return headers;
}

/** Returns equal keys for equal keys of one team, and others for those of another. */
function keyOfTeam(teamId: string, key: string): string {
  return hash('sha256', `${teamId}\0${key}`, 'base64url');
}

function withoutNames(headers: readonly string[], names: ReadonlySet<string>): string[] {
  return headers.filter((_, index) => !names.has(headers[index - (index % 2)] ?? ''));
}

/**
 * Returns a list of models without those that `keep` does not want; the body itself where all of them stay, or it is no list.
 * `shutdownDate`: the day from which the model serves no more; null: none is set.
 */
export function withoutModels(
  body: Buffer,
  keep: (id: string, shutdownDate: string | null) => boolean,
): Buffer {
  const list = parseJson(body.toString());
  if (!isObject(list) || !Array.isArray(list.data)) return body;
  const data = list.data.filter(
    (model) => !isObject(model) || typeof model.id !== 'string' || keep(model.id, dayOf(model.shutdown_date)),
  );
  return data.length === list.data.length ? body : Buffer.from(JSON.stringify({ ...list, data }));
}

function dayOf(value: Json | undefined): string | null {
  return typeof value === 'string' && /^\d{4}-\d\d-\d\d$/.test(value) ? value : null;
}

/** Meters a response that came whole (decoded, not a stream). What is no answer of the API, or an unfinished one, is `broken`. */
export function meterJson(place: UsagePlace, body: Buffer): MeteredResponse {
  const parsed = (place.skipsArrays ? parseWithoutVectors(body) : undefined) ?? parseJson(body.toString());
  return meterWhole(place, isObject(parsed) ? parsed : {});
}

/** The same of a response that was parsed before. */
export function meterWhole(place: UsagePlace, response: JsonObject): MeteredResponse {
  const metered = meterObject(place, response, stateOf(place, response));
  if (!isUnfinished(response)) return metered;
  return { ...metered, usage: null, usageAtLeast: metered.usage };
}

/** Meters a response's object, which a Responses stream carries inside its last event; its usage is all of it. */
export function meterObject(place: UsagePlace, response: JsonObject, state: AnswerState): MeteredResponse {
  const metered = {
    usage:
      place.media === undefined ? readUsage(place.members, response.usage) : readMediaUsage(place, response),
    usageAtLeast: null,
    state,
    serviceTier: typeof response.service_tier === 'string' ? response.service_tier : null,
    model: typeof response.model === 'string' ? response.model : null,
    id: place.answer === 'choices' && typeof response.id === 'string' ? response.id : undefined,
    kept: place.answer === 'output' ? readAnswer(response) : null,
  };
  const hosted = place.answer === 'output' ? hostedUse(response) : null;
  return hosted === null ? metered : { ...metered, hosted };
}

/** Returns what of the output are calls with a fee; null: none is. */
function hostedUse(response: JsonObject): HostedUse | null {
  const webSearches = searchesOf(response);
  let fileSearches = 0;
  let containers: Set<string> | null = null;
  let count = 0;
  for (const item of Array.isArray(response.output) ? response.output : []) {
    if (!isObject(item)) continue;
    // One call may ask several queries, and is billed once.
    if (item.type === 'file_search_call') fileSearches++;
    if (item.type === 'image_generation_call') count++;
    const id = item.type === 'shell_call' && isObject(item.environment) ? item.environment : item;
    if (typeof id.container_id !== 'string' || !RUNS_IN_CONTAINERS.has(item.type)) continue;
    containers ??= new Set();
    containers.add(id.container_id);
  }
  const images = count === 0 ? null : { count, usage: readImageToolUsage(response.tool_usage) };
  if (webSearches === 0 && fileSearches === 0 && containers === null && images === null) return null;
  return { webSearches, fileSearches, containers: containers === null ? [] : [...containers], images };
}

const RUNS_IN_CONTAINERS = new Set<unknown>(['code_interpreter_call', 'shell_call']);

/**
 * Returns how many web searches are billed: what `tool_usage` says, else the calls among the output that searched; opening
 * a page and finding in it are not billed (OpenAI's guide to web search).
 */
function searchesOf({ output, tool_usage }: JsonObject): number {
  const search = isObject(tool_usage) ? tool_usage.web_search : undefined;
  const reported = isObject(search) ? search.num_requests : undefined;
  if (typeof reported === 'number' && Number.isSafeInteger(reported) && reported >= 0) return reported;
  if (!Array.isArray(output)) return 0;
  let searches = 0;
  for (const item of output) {
    if (!isObject(item) || item.type !== 'web_search_call') continue;
    const isSearch = !isObject(item.action) || item.action.type === 'search';
    if (isSearch) searches += 1;
  }
  return searches;
}

/** Returns how far a response came by what it says itself; `status` is a member of the Responses API alone. */
export function stateOf({ answer }: UsagePlace, response: JsonObject): AnswerState {
  const { error, status } = response;
  const output = response[answer];
  if ((error !== undefined && error !== null) || status === 'failed') {
    const hasOutput = Array.isArray(output) && output.length > 0;
    return isDeclined(error) && !hasOutput ? 'declined' : 'failed';
  }
  const isAnswer = answer === 'text' ? typeof output === 'string' : Array.isArray(output);
  return isAnswer && !isUnfinished(response) ? 'complete' : 'broken';
}

function isUnfinished({ status }: JsonObject): boolean {
  return status === 'in_progress' || status === 'queued' || status === 'cancelled';
}

/**
 * Returns usage in the shapes of the published schema (`CompletionUsage`, `ResponseUsage`, an embedding's usage). Null if
 * a count is missing, no non-negative safe integer, or a part is larger than its whole.
 */
export function readUsage(members: UsageMembers, reported: Json | undefined): Usage | null {
  if (!isObject(reported)) return null;
  const inputTokens = reported[members.input];
  const outputTokens = members.output === null ? 0 : reported[members.output];
  const inputDetails = reported[members.inputDetails];
  const outputDetails = reported[members.outputDetails];

  const input = isObject(inputDetails) ? inputDetails : {};
  const output = isObject(outputDetails) ? outputDetails : {};
  // Written out: one shape, whatever stood in the response.
  const usage = {
    input_tokens: inputTokens ?? null,
    cached_input_tokens: input.cached_tokens ?? 0,
    cache_write_tokens: input.cache_write_tokens ?? 0,
    output_tokens: outputTokens ?? null,
    reasoning_tokens: output.reasoning_tokens ?? 0,
  };
  if (!areQuantities(usage)) return null;
  const hasAudio = members.hasAudio && ((input.audio_tokens ?? 0) !== 0 || (output.audio_tokens ?? 0) !== 0);
  return hasAudio ? withAudio(usage, members, reported) : usage;
}

/**
 * Reads a response of megabytes of numbers around a few fields: what stands between the first and the last bracket is
 * left out. Returns undefined if that is no JSON with usage: then the whole response is read.
 */
function parseWithoutVectors(body: Buffer): Json | undefined {
  const open = body.indexOf('[');
  const close = body.lastIndexOf(']');
  if (open === -1 || close < open) return undefined;
  const answer = parseJson(`${body.toString('utf8', 0, open)}[]${body.toString('utf8', close + 1)}`);
  return isObject(answer) && isObject(answer.usage) ? answer : undefined;
}

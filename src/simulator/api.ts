/**
 * One request to `/v1`: checked, planned with its fault, written to the invoice, responded to. However it ends, it
 * leaves exactly one line, written before the first byte of the response.
 */

import { PROMPT_FILTER_EVENT } from './azure.ts';
import { startBackground } from './background.ts';
import { chooseFault, readDirectives } from './directives.ts';
import { INVALID_JSON, isApiError, unknownUrl } from './errors.ts';
import type { Exchange } from './exchange.ts';
import { errorOfFault, htmlStatus } from './faults.ts';
import { imageLine } from './hosted-images.ts';
import { mostInputTokens, usualInputTokens } from './input.ts';
import { NO_USAGE } from './invoice.ts';
import { checkApiKey } from './keys.ts';
import { handleMedia, isMedia } from './media.ts';
import { OPERATIONS, type Operation, RESPONSES, readCall } from './operations.ts';
import { handleOrganization, isOrganization } from './organization.ts';
import { composeOutput, type Output, tokensWritten } from './output.ts';
import { billPart, planCall } from './plan.ts';
import { seededRandom } from './random.ts';
import { chatFailure } from './render-chat.ts';
import { keepResponse } from './render-responses.ts';
import { modelJson, modelListJson } from './render-text.ts';
import { handleStored, storeAnswer } from './stored-api.ts';

/** Handles one request whose body has arrived. */
export function handleApi(exchange: Exchange, body: Buffer): void {
  const { state, request, entry, key } = exchange;
  const path = (request.url ?? '').replace(/\?.*/s, '');
  const operation =
    request.method === 'POST' && Object.hasOwn(OPERATIONS, path) ? (OPERATIONS[path] ?? null) : null;
  entry.operation = operation?.name ?? null;

  if (isOrganization(path)) {
    handleOrganization(exchange, path);
    return;
  }
  const error = checkApiKey(request.headers.authorization, state.keys);
  const directives = readDirectives(request.headers['x-simulator']);
  if (error) exchange.respondError(error);
  else if (isApiError(directives)) exchange.respondError(directives);
  else if (request.method === 'POST' && path === '/v1/responses/input_tokens') countInput(exchange, body);
  else if (isMedia(request.method, path)) {
    exchange.directives = directives;
    exchange.fault = chooseFault(directives, state.profile, seededRandom(state.seed, `fault ${key}`));
    void handleMedia(exchange, path, body);
  } else if (!operation) {
    exchange.directives = directives;
    if (!handleStored(exchange, path, body)) handleModels(exchange, path);
  } else {
    exchange.directives = directives;
    // Its own generator: switching faults on leaves every other choice of a run as it was.
    exchange.fault = chooseFault(directives, state.profile, seededRandom(state.seed, `fault ${key}`));
    handleCall(exchange, operation, body);
  }
}

/** Says what the input of a response would be billed as. */
function countInput(exchange: Exchange, bytes: Buffer): void {
  const { state, entry } = exchange;
  entry.operation = 'responses.input_tokens';
  const call = readCall(exchange, RESPONSES, bytes);
  if (isApiError(call)) {
    exchange.respondError(call);
    return;
  }
  const count = state.mode === 'worst' ? mostInputTokens : usualInputTokens;
  const json = { object: 'response.input_tokens', input_tokens: count(call.input, call.model.name) };
  exchange.send(200, 'application/json', JSON.stringify(json), 0n);
}

function handleModels(exchange: Exchange, path: string): void {
  const { method = 'GET' } = exchange.request;
  const id = path.startsWith('/v1/models/') ? decodePath(path.slice('/v1/models/'.length)) : undefined;
  if (method !== 'GET' || (path !== '/v1/models' && id === undefined)) {
    exchange.respondError(unknownUrl(method, path));
    return;
  }
  exchange.entry.operation = id === undefined ? 'models.list' : 'models.retrieve';
  const json = id === undefined ? modelListJson(trainedModels(exchange)) : modelJson(id);
  if (typeof json === 'string') exchange.send(200, 'application/json', json, 0n);
  else exchange.respondError(json);
}

function trainedModels({ state }: Exchange): string[] {
  const made = state.stored.trainings.list(({ json }) => json).map((job) => job.fine_tuned_model);
  return made.filter((name) => typeof name === 'string');
}

/** SDKs write `ft:…` as `ft%3A…`. A path that is no valid encoding names no model. */
function decodePath(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function handleCall(exchange: Exchange, operation: Operation, bytes: Buffer): void {
  const call = readCall(exchange, operation, bytes);
  if (isApiError(call)) {
    exchange.fault = null;
    exchange.respondError(call);
    return;
  }
  const { state, entry, random, directives, fault } = exchange;
  entry.model = call.servedName;
  const faultError = fault && errorOfFault(fault.name);
  if (faultError) {
    exchange.respondError(faultError);
    return;
  }
  const mode = directives.mode ?? state.mode;
  const plan = planCall(call, {
    mode,
    profile: state.profile,
    directives,
    random,
    containers: state.containers,
  });
  if (isApiError(plan)) {
    exchange.fault = null;
    exchange.respondError(plan);
    return;
  }
  const costPicoUsd = fault && !fault.billed ? 0n : plan.costPicoUsd;
  if (!fault || fault.billed) {
    entry.usage = plan.usage;
    entry.service_tier = plan.tier;
    entry.image_generation = imageLine(plan.hosted.flatMap(({ made }) => made ?? []));
    entry.tools = plan.tools;
  }
  const html = fault && htmlStatus(fault.name);
  const withUsage = fault?.name !== 'no_usage';
  const output = composeOutput(call, plan, random, state.profile, directives, withUsage, entry.request_id);
  if (fault?.name !== 'failed' && (!fault || fault.billed)) {
    if (isStored(operation)) {
      keepResponse(state.kept, output);
      const { id } = output;
      storeAnswer(state.stored, { operation: operation.name, id, body: call.body }, () =>
        operation.json(output),
      );
    }
  }
  const isPlayed = !fault || (call.stream && fault.name === 'cut_mid_stream');
  if (call.body.background === true && operation === RESPONSES && isPlayed) {
    startBackground(exchange, output, {
      json: operation.json,
      events: call.stream ? operation.events : null,
    });
    return;
  }
  if (fault?.name === 'cut_before_headers' || fault?.name === 'hang') exchange.vanish(costPicoUsd);
  else if (html) exchange.send(html, 'text/html', htmlPage(html), costPicoUsd);
  else deliverPlan(exchange, operation, output);
}

function isStored({ name }: Operation): boolean {
  return name === 'responses' || name === 'chat.completions';
}

function deliverPlan(exchange: Exchange, operation: Operation, output: Output): void {
  const { state, directives } = exchange;
  const { call, plan } = output;
  const events = call.stream ? operation.events : null;
  const type = events ? 'text/event-stream; charset=utf-8' : 'application/json';
  const failed = exchange.fault?.name === 'failed';
  const body = tryRender(() => {
    if (failed) return failedBody(operation, output, events?.(output) ?? null);
    if (events === null) return operation.json(output);
    const isAzure = state.deployments !== null && operation.name === 'chat.completions';
    return isAzure ? [PROMPT_FILTER_EVENT, ...events(output)] : events(output);
  });
  if (body === null) {
    exchange.fault = null;
    exchange.entry.usage = NO_USAGE;
    exchange.entry.service_tier = null;
    exchange.respondError(INVALID_JSON);
    return;
  }
  const stops = directives.stopsWithClient ?? state.profile.stopsWithClient;
  const billUpTo = (written: number) =>
    billPart(plan, tokensWritten(output, Array.isArray(body) ? body : [], written));
  const isBilled = exchange.fault?.billed ?? true;
  exchange.send(200, type, body, isBilled ? plan.costPicoUsd : 0n, stops && isBilled ? billUpTo : undefined);
}

/** Of a stream the first half, and the failure. */
function failedBody(operation: Operation, output: Output, events: string[] | null): string | string[] {
  const failure = operation.failure ?? ((_, before) => chatFailure(before));
  if (events === null) return failure(output, null);
  const before = events.slice(0, events.length >> 1);
  return [...before, failure(output, before.length)];
}

/** Returns null for a request that is nested too deeply to be repeated in its response (a RangeError of the stack). */
function tryRender<Body>(render: () => Body): Body | null {
  try {
    return render();
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

function htmlPage(status: number): string {
  return `<html>\r\n<head><title>${status}</title></head>\r\n<body><center><h1>${status}</h1></center><hr><center>cloudflare</center></body>\r\n</html>\r\n`;
}

/** What a realtime session is opened for, by its address: which model, at which upstream. */
import { ApiError, apiError } from '../../domain/errors.ts';
import type { Principal } from '../../domain/limit.ts';
import { includesModel, type RateCard } from '../../domain/price.ts';
import { uuidV7 } from '../../ledger/events.ts';
import { findRoute, readRequest } from '../../openai/request.ts';
import { upstreamHeaders } from '../../openai/response.ts';
import type { GatewayDeps } from '../deps.ts';
import type { ClientLine } from './client-line.ts';
import type { UpstreamSockets } from './upstream-line.ts';

export interface RealtimeOpening {
  /** Null: the session transcribes alone. */
  readonly model: string | null;
  readonly card: RateCard | null;
  /** Name of the upstream; null: the only one. */
  readonly upstream: string | null;
  readonly sockets: UpstreamSockets;
  readonly path: string;
  /** Name, value, name, value … */
  readonly headers: readonly string[];
}

/** Where a session is below `/v1`. What it asks of an upstream is that it serves the model: amounts of zero cost nothing. */
const PATHS = {
  realtime: { path: '/realtime', nothing: { input_tokens: 0 }, mayTranscribe: true },
  translation: { path: '/realtime/translations', nothing: { seconds: 0 }, mayTranscribe: false },
} as const;

type Surface = (typeof PATHS)[keyof typeof PATHS];

/** @param deps of the session */
export function openingOf(
  deps: GatewayDeps,
  { head, account }: ClientLine,
  kind: keyof typeof PATHS,
): RealtimeOpening | ApiError {
  const surface = PATHS[kind];
  const query = new URLSearchParams(head.url.split('?', 2)[1]);
  const model = query.get('model');
  const isTranscription = query.get('intent') === 'transcription';
  const error = whyNotQuery(query, headerOf(head.rawHeaders, 'openai-beta'), surface);
  if (error !== null) return error;
  // A transcription's model comes later, and is asked for then.
  const chosen =
    model === null ? anyOf(deps, account.principal) : chooseFor(deps, account.principal, model, surface);
  if (chosen instanceof ApiError) return chosen;
  const { sockets, target, catalog, clock } = chosen;
  if (sockets === null) return noSockets();
  const card = model === null ? null : catalog.rates.find(model, clock.nowMs());
  if (model !== null) {
    if (card === null || card.tiers.default === undefined) return unknownPrice(model);
    const { models, teamModels } = account.principal;
    if (!includesModel(models, model) || !includesModel(teamModels, model)) return notAllowed(model);
  }
  const nameThere = model === null ? null : (target?.modelNames.get(model) ?? model);
  const path = target === null ? surface.path : target.pathOf(surface.path, nameThere);
  const asked = isTranscription ? 'intent=transcription' : `model=${encodeURIComponent(nameThere ?? '')}`;
  const headers = upstreamHeaders(head.rawHeaders, {
    apiKey: chosen.upstreamApiKey,
    eventId: uuidV7(clock.nowMs()),
    own: target?.headers,
  });
  const upstream = target === null ? null : target.name;
  return {
    model,
    card,
    upstream,
    sockets,
    path: `${path}${path.includes('?') ? '&' : '?'}${asked}`,
    headers,
  };
}

function whyNotQuery(
  query: URLSearchParams,
  beta: string | undefined,
  { mayTranscribe }: Surface,
): ApiError | null {
  if (beta?.includes('realtime='))
    return apiError(
      'invalid_request',
      "The beta of realtime is not served: leave out the header 'OpenAI-Beta', and use the events of 2025-08.",
    );
  if (query.has('call_id')) {
    const message =
      'Calls of WebRTC and SIP are not served: their audio flows past this gateway. Open a session with ?model=… instead.';
    return apiError('unsupported_operation', message, { param: 'call_id' });
  }
  const hasModel = (query.get('model') ?? '') !== '';
  if (!mayTranscribe && (!hasModel || query.has('intent'))) {
    const message = 'Name the model in the address, ?model=gpt-realtime-translate, and nothing else.';
    return apiError('invalid_request', message, { param: 'model' });
  }
  const intent = query.get('intent');
  if (intent !== null && intent !== 'transcription')
    return apiError('invalid_request', "'intent' is 'transcription', or left out.", { param: 'intent' });
  if (hasModel === (intent === null)) return null;
  return apiError(
    'invalid_request',
    'Name the model in the address, ?model=gpt-realtime, or ?intent=transcription.',
    { param: 'model' },
  );
}

function chooseFor(
  deps: GatewayDeps,
  principal: Principal,
  model: string,
  { path, nothing }: Surface,
): GatewayDeps | ApiError {
  if (deps.upstreams === null) return deps;
  const route = findRoute('WEBSOCKET', `/v1${path}`);
  if (route === null) throw new Error(`no session is at ${path}`);
  const request = readRequest(route, Buffer.from(JSON.stringify({ model, ...nothing })));
  return request instanceof ApiError ? request : deps.upstreams.choose(request, principal, []);
}

function anyOf(deps: GatewayDeps, principal: Principal): GatewayDeps | ApiError {
  if (deps.upstreams === null) return deps;
  return deps.upstreams.of(principal)[0]?.deps ?? noSockets();
}

function noSockets(): ApiError {
  return apiError('upstream_not_configured', 'No upstream of this team serves realtime sessions.');
}

function unknownPrice(model: string): ApiError {
  const message = `No price is known for the model '${model.slice(0, 100)}'. An administrator can add one.`;
  return apiError('unknown_price', message, { param: 'model' });
}

function notAllowed(model: string): ApiError {
  const message = `This key may not use the model '${model.slice(0, 100)}'.`;
  return apiError('model_not_allowed', message, { param: 'model' });
}

function headerOf(rawHeaders: readonly string[], name: string): string | undefined {
  for (let at = 0; at + 1 < rawHeaders.length; at += 2)
    if (rawHeaders[at]?.toLowerCase() === name) return rawHeaders[at + 1];
  return undefined;
}

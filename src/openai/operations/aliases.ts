/**
 * Request lines that clients send instead of `/v1/…`: other base URLs, Azure's paths, doubled and trailing slashes. Each
 * becomes the operation's own path, and that path alone goes upstream; so nothing here can reach another operation.
 */
import { findRoute } from '../request.ts';
import type { Route } from './paths.ts';
import { OPERATIONS } from './table.ts';

/** Azure names the deployment, which is the model, in the path (Azure OpenAI's data-plane reference, 2024-10-21). */
const DEPLOYMENT = /^\/openai\/deployments\/([^/]+)(\/.+)$/;
const MODEL = /^[A-Za-z0-9][A-Za-z0-9._:/-]{0,199}$/;
const FIRST_WORDS = new Set(OPERATIONS.map(({ path }) => path.split('/', 2)[1] ?? ''));
/** Azure's; no operation of the API has it. */
const API_VERSION = /(?:^|&)api-version=[^&]*/;

/**
 * Finds the operation of a request line that {@link findRoute} does not know. `model` of the route is a deployment's name
 * where the path has one. Percent-encoded paths, dot segments and other letter cases stay unknown: returns null.
 */
export function findAlias(method: string, url: string): Route | null {
  const mark = url.indexOf('?');
  const path = (mark === -1 ? url : url.slice(0, mark))
    .replaceAll(/\/{2,}/g, '/')
    .replace(/(.)\/$/, '$1')
    .replace(/^(?:\/v1)+(?=\/openai\/)/, '');
  const query = mark === -1 ? '' : url.slice(mark + 1).replace(API_VERSION, '');
  const deployment = DEPLOYMENT.exec(path);
  // The name is missing: the operation's first word is no deployment.
  if (url.includes('/deployments//') && FIRST_WORDS.has(deployment?.[1] ?? '')) return null;
  let rest = deployment?.[2] ?? (path.startsWith('/openai/') ? path.slice('/openai'.length) : path);
  while (rest.startsWith('/v1/')) rest = rest.slice('/v1'.length);
  const route = findRoute(method, `/v1${rest}${query === '' ? '' : `?${query}`}`);
  if (route === null || deployment === null) return route;
  const model = decoded(deployment[1] ?? '');
  return model !== null && MODEL.test(model) && route.model === null ? { ...route, model } : null;
}

function decoded(segment: string): string | null {
  try {
    return decodeURIComponent(segment);
  } catch {
    return null;
  }
}

/**
 * Whether a target outside `/v1/` is meant for the API: Azure's root, doubled slashes before `/v1`, or an operation's
 * path below a base URL without `/v1`.
 */
export function isAlias(method: string, url: string): boolean {
  if (/^\/+(?:openai|v1)\//.test(url)) return true;
  // A browser asks with OPTIONS before it sends another method.
  const methods = method === 'OPTIONS' ? ['POST', 'GET'] : [method];
  return methods.some((each) => findAlias(each, url) !== null);
}

/** Why paths that the API does not have, or has no more, are not forwarded, by the first pattern that matches below `/v1`. */
const REASONS: readonly [RegExp, string][] = [
  [
    /^\/(?:edits|engines|answers|classifications|search)(?:\/|$)/,
    'it is gone from the API; use /v1/responses',
  ],
  [
    /^\/messages(?:\/|$)/,
    "it is Anthropic's API and not OpenAI's; use /v1/chat/completions or /v1/responses",
  ],
  [/^\/deployments(?:\/|$)/, 'names of deployments are models here: GET /v1/models lists them'],
  [
    /^\/(?:alpha|beta)(?:\/|$)/,
    'it is no published operation of the API, so that what it costs is not known; turn it off in the client',
  ],
];

/** Why whole families of the API are not forwarded, by the first segment of their paths; they have no other requests. */
const FAMILIES = new Map<string, string>();
for (const { path, reason } of OPERATIONS.toReversed())
  if (reason !== null) FAMILIES.set(path.split('/', 2)[1] ?? '', reason);
for (const { path, reason, method } of OPERATIONS)
  if (reason === null && method !== 'WEBSOCKET') FAMILIES.delete(path.split('/', 2)[1] ?? '');

/** Returns why a request line that no operation has is not forwarded, for the client to read. */
export function reasonAgainst(url: string): string {
  const path = url.split('?', 1)[0] ?? '';
  if (/%|\/\.\.?(?:\/|$)/.test(path))
    return 'write the path without escapes and dots, as the API documents it';
  const below = path
    .replaceAll(/\/{2,}/g, '/')
    .replace(/^(?:\/v1)*(?:\/openai(?:\/deployments\/[^/]+)?)?(?:\/v1)*/, '');
  const known = REASONS.find(([pattern]) => pattern.test(below.toLowerCase()));
  return (
    known?.[1] ??
    FAMILIES.get(below.toLowerCase().split('/', 2)[1] ?? '') ??
    'it is not an operation of the OpenAI API that this gateway knows, so what it costs is not known'
  );
}

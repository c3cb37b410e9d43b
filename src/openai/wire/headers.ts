import { type ApiError, apiError } from '../../domain/errors.ts';

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

/** Not for the client: the body's length changes when usage fields are removed, so the caller sets it if it holds. */
const NOT_CLIENT = new Set([...HOP_BY_HOP, 'content-length', 'set-cookie']);
const NOT_CLIENT_PREFIX = /^(?:proxy-|x-tollgate-)/;

/**
 * The headers to send upstream, as name, value, name, value … from a client's raw headers in the same form.
 * `eventId` goes as `x-client-request-id`; compressed responses are not requested, because they hide usage.
 */
export function upstreamHeaders(
  incoming: readonly string[],
  options: { apiKey: string; eventId: string },
): string[] {
  let headers: string[] = [];
  let named: Set<string> | null = null;
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

/**
 * The upstream's headers for the client, as name, value, name, value … Left out: headers of the connection, cookies,
 * the length of the body (see above), and names that only Tollgate may write.
 */
export function clientHeaders(upstream: Record<string, string | string[] | undefined>): string[] {
  const headers: string[] = [];
  const connection = upstream.connection;
  const named = connection === undefined ? null : namedByConnection(null, String(connection));
  for (const name in upstream) {
    const value = upstream[name];
    if (value === undefined || NOT_CLIENT.has(name) || NOT_CLIENT_PREFIX.test(name) || named?.has(name))
      continue;
    if (typeof value === 'string') headers.push(name, value);
    else for (const item of value) headers.push(name, item);
  }
  return headers;
}

function withoutNames(headers: readonly string[], names: Set<string>): string[] {
  return headers.filter((_, index) => !names.has(headers[index - (index % 2)] ?? ''));
}

/** `keep-alive` and `close` are the usual values and name no further header: no set is made for them. */
function namedByConnection(named: Set<string> | null, value: string): Set<string> | null {
  if (value === 'keep-alive' || value === 'close') return named;
  const names = named ?? new Set<string>();
  for (const option of value.split(',')) names.add(option.trim().toLowerCase());
  return names;
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

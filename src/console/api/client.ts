/**
 * The client of the admin API: same origin, cookie session, CSRF header. Owns: how a request is sent and what an error
 * is. Invariant: every request of the console goes through this file.
 */

/** A response that is not 2xx, with the API's own message; status 0: no response. */
export class ApiError extends Error {
  override name = 'ApiError';
  readonly status: number;
  readonly code: string;
  /** The field that is wrong, as the API names it. */
  readonly param: string | null;

  constructor(status: number, code: string, message: string, param: string | null = null) {
    super(message);
    this.status = status;
    this.code = code;
    this.param = param;
  }
}

export type Query = Record<string, string | number | boolean | null | undefined>;

const ROOT = '/admin/v1';
let csrf = '';
let onSessionEnd = () => {};

/** Sets the token that proves that a change comes from this page. */
export function setCsrf(token: string): void {
  csrf = token;
}

/** Sets what is called when the session has ended: it expired, or its key was revoked. */
export function whenSessionEnds(listener: () => void): void {
  onSessionEnd = listener;
}

/** Returns the URL of a path of the admin API with its query; empty values are left out. */
export function urlOf(path: string, query: Query = {}): string {
  const filled = Object.entries(query).filter(
    ([, value]) => value !== null && value !== undefined && value !== '',
  );
  const text = new URLSearchParams(filled.map(([name, value]) => [name, String(value)])).toString();
  return ROOT + path + (text === '' ? '' : `?${text}`);
}

export function get<T>(path: string, query?: Query, signal?: AbortSignal): Promise<T> {
  return request<T>('GET', urlOf(path, query), undefined, signal);
}

export function post<T>(path: string, body: object, signal?: AbortSignal): Promise<T> {
  return request<T>('POST', urlOf(path), body, signal);
}

export function patch<T>(path: string, body: object): Promise<T> {
  return request<T>('PATCH', urlOf(path), body);
}

export function remove<T>(path: string): Promise<T> {
  return request<T>('DELETE', urlOf(path));
}

/** Sends a request to any URL of the gateway; throws ApiError unless the response is 2xx. */
export async function request<T>(
  method: string,
  url: string,
  body?: object,
  signal?: AbortSignal,
): Promise<T> {
  const response = await send(method, url, body, signal);
  const text = await response.text().catch(() => '');
  const json = parse(text);
  if (response.ok) return json as T;
  const { message, code, param } = (json as { error?: Partial<ApiError> } | null)?.error ?? {};
  if (response.status === 401 && url.startsWith(ROOT)) onSessionEnd();
  throw new ApiError(response.status, code ?? 'unknown', message ?? `HTTP ${response.status}`, param ?? null);
}

async function send(method: string, url: string, body?: object, signal?: AbortSignal): Promise<Response> {
  const headers: Record<string, string> = { accept: 'application/json' };
  if (body) headers['content-type'] = 'application/json';
  if (method !== 'GET' && csrf !== '') headers['x-tollgate-csrf'] = csrf;
  try {
    return await fetch(url, {
      method,
      headers,
      credentials: 'same-origin',
      signal: signal ?? null,
      body: body ? JSON.stringify(body) : null,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, 'unreachable', 'Tollgate does not respond');
  }
}

function parse(text: string): unknown {
  try {
    return text === '' ? null : JSON.parse(text);
  } catch {
    return null;
  }
}

/**
 * Calls from web pages (CORS, https://fetch.spec.whatwg.org/#http-cors-protocol). Keys travel in a header that the page
 * sets, never in cookies, so credentials are not allowed and `*` is safe to expose.
 */
import type { Exchange } from '../wire/exchange.ts';

/** How long a browser may keep the response to a preflight; Chromium keeps none for longer than this. */
const MAX_AGE_SECONDS = 7200;
/** What the SDKs send, a browser asks for by name; a list beyond this is no SDK's. */
const MAX_REQUESTED_HEADERS_CHARACTERS = 4096;
const HEADER_NAMES = /^[A-Za-z0-9!#$%&'*+.^_`|~, -]+$/;

/**
 * Returns the headers that let the page read the response, as name, value, name, value …; null: the request comes from
 * no page, or from one that may not.
 * @param origins those that may call, as browsers write them (`https://app.example.com`), or `*`
 */
export function corsHeaders(origins: readonly string[], exchange: Exchange): string[] | null {
  const origin = exchange.header('origin');
  if (origin === undefined) return null;
  if (origins.includes('*'))
    return ['access-control-allow-origin', '*', 'access-control-expose-headers', '*'];
  if (!origins.includes(origin)) return null;
  // What is cached for one page must not be given to another.
  return ['access-control-allow-origin', origin, 'vary', 'origin', 'access-control-expose-headers', '*'];
}

/** Whether a browser asks what a page may send, before it sends it. */
export function isPreflight(exchange: Exchange): boolean {
  return exchange.method === 'OPTIONS' && exchange.header('access-control-request-method') !== undefined;
}

/** Responds to a preflight; a page that may not call gets no permission, and its browser says so. */
export function respondToPreflight(exchange: Exchange, allowed: readonly string[] | null): void {
  const headers = [...(allowed ?? []), 'access-control-max-age', String(MAX_AGE_SECONDS)];
  if (allowed !== null) {
    headers.push('access-control-allow-methods', 'GET, POST, DELETE');
    const requested = exchange.header('access-control-request-headers') ?? '';
    if (requested.length <= MAX_REQUESTED_HEADERS_CHARACTERS && HEADER_NAMES.test(requested)) {
      headers.push('access-control-allow-headers', requested);
    }
  }
  exchange.respond(204, headers, Buffer.alloc(0));
}

/** The upstream's headers without its own permissions, which are for its own origins. */
export function withoutCors(headers: readonly string[]): string[] {
  return headers.filter((_, at) => !headers[at - (at % 2)]?.toLowerCase().startsWith('access-control-'));
}

/** The response headers of the real API, with those that a gateway must not pass on. */
import type { Random } from './random.ts';

export type Headers = Record<string, string | number | string[]>;

/** `processingMs` is not measured, so that every run returns the same. */
export function responseHeaders(requestId: string, contentType: string, random: Random): Headers {
  return {
    'content-type': contentType,
    'x-request-id': requestId,
    'openai-organization': 'org-simulated',
    'openai-processing-ms': String(1 + Math.floor(random() * 900)),
    'openai-version': '2020-10-01',
    'x-ratelimit-limit-requests': '10000',
    'x-ratelimit-limit-tokens': '30000000',
    'x-ratelimit-remaining-requests': '9999',
    'x-ratelimit-remaining-tokens': '29999900',
    'x-ratelimit-reset-requests': '6ms',
    'x-ratelimit-reset-tokens': '0s',
    'set-cookie': [
      `__cf_bm=${requestId}; path=/; HttpOnly; Secure; SameSite=None`,
      `_cfuvid=${requestId}; path=/; HttpOnly; Secure; SameSite=None`,
    ],
    server: 'cloudflare',
  };
}

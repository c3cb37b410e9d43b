/**
 * Signatures of webhooks, by Standard Webhooks: of those that Tollgate sends, and of those that upstreams send to it. Owns: the
 * signature, and what makes one good. Does not own: what a webhook says. Invariant: how long a check takes tells nothing about the
 * signature that would be right.
 * https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 */
import { createHmac } from 'node:crypto';
import { isSame } from './admin-key.ts';

const SECRET_PREFIX = 'whsec_';
/** Of a symmetric signature; several stand in one header with blanks between, while a secret is changed. */
const VERSION = 'v1,';
/** How far its time may be from ours, either way: OpenAI's own libraries take as much. */
const TOLERANCE_SECONDS = 300;
const PLAIN_ID = /^[!-~]{1,256}$/;
const UNIX_SECONDS = /^\d{1,12}$/;

/** The headers of a webhook; undefined: it was not sent. */
export interface SignatureHeaders {
  id: string | undefined;
  timestamp: string | undefined;
  signature: string | undefined;
}

/**
 * Returns the HMAC-SHA256 of `id.timestamp.body` in base64. The package `standardwebhooks` would bring an HMAC written
 * in JavaScript and two dependencies for this line; a test has the specification's own example.
 * @param secret `whsec_` and base64
 */
export function signatureOf(secret: string, id: string, timestamp: string, body: string | Buffer): string {
  const key = Buffer.from(secret.slice(SECRET_PREFIX.length), 'base64');
  return createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest('base64');
}

/** Returns what is wrong with a webhook's headers, whatever its body, in words for its sender; null: nothing. */
export function headersProblem({ id, timestamp, signature }: SignatureHeaders, nowMs: number): string | null {
  if (id === undefined || timestamp === undefined || signature === undefined)
    return 'a webhook has the headers webhook-id, webhook-timestamp and webhook-signature';
  if (!PLAIN_ID.test(id)) return 'webhook-id must have 1 to 256 visible characters of ASCII';
  if (!UNIX_SECONDS.test(timestamp)) return 'webhook-timestamp must be Unix time in whole seconds';
  const ageSeconds = Math.floor(nowMs / 1000) - Number(timestamp);
  if (ageSeconds > TOLERANCE_SECONDS) return 'webhook-timestamp is more than five minutes ago';
  return ageSeconds < -TOLERANCE_SECONDS ? 'webhook-timestamp is more than five minutes ahead' : null;
}

/** Whether one of the signatures is the secret's, of exactly these bytes. The headers were checked before. */
export function isSigned(
  secret: string,
  { id = '', timestamp = '', signature = '' }: SignatureHeaders,
  body: Buffer,
): boolean {
  const wanted = VERSION + signatureOf(secret, id, timestamp, body);
  return signature.split(' ').some((given) => isSame(given, wanted));
}

/**
 * One webhook: signed by Standard Webhooks, sent once. Owns: that it reaches only the public internet unless more is
 * allowed. Does not own: the signature (auth/webhook-signature.ts), retries. Invariant: an address is checked as its
 * connection is made, so a name cannot resolve to one address for the check and to another for the request.
 */
import { promises as dns, type LookupAddress } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import { Agent, errors, request } from 'undici';
import { signatureOf } from '../auth/webhook-signature.ts';
import { defined } from '../domain/defined.ts';
import { isPublicAddress } from './public-address.ts';

export interface WebhookOptions {
  url: string;
  /** `whsec_` and base64; null: unsigned. */
  secret: string | null;
  allowPrivate: boolean;
  /** All addresses of a name. */
  resolve?: (hostname: string) => Promise<LookupAddress[]>;
  timeoutMs?: number;
}

export interface WebhookMessage {
  /** The same at every attempt. */
  id: string;
  body: string;
}

export interface Webhook {
  /** Sends once. Returns null when the receiver accepted it, else the problem, without addresses and secrets. */
  send(message: WebhookMessage, nowMs: number, signal: AbortSignal): Promise<string | null>;
  close(): Promise<void>;
}

const TIMEOUT_MS = 10_000;
/** How much of a response is read: only its status matters. */
const ANSWER_BYTES_MAX = 16_384;
const CONNECTIONS = 8;

/** A name resolves to an address that webhooks may not reach. */
class PrivateAddress extends Error {}

export function createWebhook(options: WebhookOptions): Webhook {
  const { url, secret, allowPrivate, timeoutMs = TIMEOUT_MS } = options;
  const resolve = options.resolve ?? ((hostname) => dns.lookup(hostname, { all: true }));
  const lookup: LookupFunction = (hostname, { all }, callback) => {
    const resolved = async () => {
      const addresses = await resolve(hostname);
      if (!allowPrivate && !addresses.every(({ address }) => isPublicAddress(address)))
        throw new PrivateAddress();
      return addresses;
    };
    resolved().then(
      (addresses) => {
        if (all) return callback(null, addresses);
        const { address, family } = defined(addresses[0], `an address of ${hostname}`);
        callback(null, address, family);
      },
      (error) => callback(error, '', 0),
    );
  };
  const agent = new Agent({ connections: CONNECTIONS, connect: { lookup, timeout: timeoutMs } });

  async function send({ id, body }: WebhookMessage, nowMs: number, signal: AbortSignal) {
    const host = new URL(url).hostname.replace(/^\[|\]$/g, '');
    // An address needs no lookup.
    if (!allowPrivate && isIP(host) !== 0 && !isPublicAddress(host)) return NOT_PUBLIC;
    const timestamp = String(Math.floor(nowMs / 1000));
    const headers: Record<string, string> = {
      'content-type': 'application/json',
      'user-agent': 'Tollgate',
      'webhook-id': id,
      'webhook-timestamp': timestamp,
    };
    if (secret !== null) headers['webhook-signature'] = `v1,${signatureOf(secret, id, timestamp, body)}`;
    try {
      const timeout = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
      const answer = await request(url, {
        dispatcher: agent,
        method: 'POST',
        headers,
        body,
        signal: timeout,
      });
      await answer.body.dump({ limit: ANSWER_BYTES_MAX, signal: timeout }).catch(() => {});
      const { statusCode } = answer;
      return statusCode >= 200 && statusCode < 300 ? null : `the receiver answered ${statusCode}`;
    } catch (error) {
      return problemOf(error);
    }
  }

  return { send, close: () => agent.destroy() };
}

const NOT_PUBLIC = 'its address is not public (TOLLGATE_WEBHOOK_ALLOW_PRIVATE allows it)';

function problemOf(error: unknown): string {
  if (error instanceof PrivateAddress) return NOT_PUBLIC;
  if (error instanceof DOMException || error instanceof errors.ConnectTimeoutError) {
    return 'the receiver did not answer in time';
  }
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return `the receiver cannot be reached (${typeof code === 'string' ? code : 'no connection'})`;
}

/** The request that goes upstream, handed over once, so that nothing keeps its bytes while the call is under way. */

import type { ParsedRequest } from '../openai/request.ts';
import { renderBody } from '../openai/wire/edit.ts';
import { upstreamHeaders } from '../openai/wire/headers.ts';
import type { UpstreamRequest } from '../wire/upstream.ts';

export interface OutgoingOptions {
  apiKey: string;
  /** The call's event, as the upstream's `x-client-request-id`. */
  eventId: string;
  /** The output limit to write in; null: none. */
  outputLimit: number | null;
}

export class OutgoingRequest {
  #request: UpstreamRequest | null;

  /** Throws when an edit would overrule what the client said: that is our bug. */
  constructor(request: ParsedRequest, rawHeaders: readonly string[], options: OutgoingOptions) {
    const { descriptor, operation, path, stream } = request;
    const { apiKey, eventId, outputLimit } = options;
    const body = renderBody(request, {
      serviceTier: operation.serviceTier === null && operation.billable ? 'default' : undefined,
      outputLimit: outputLimit ?? undefined,
      includeUsage: stream || undefined,
    });
    const headers = upstreamHeaders(rawHeaders, { apiKey, eventId });
    this.#request = {
      method: descriptor.method,
      path,
      headers,
      body: descriptor.request === 'none' ? null : body,
    };
  }

  /** Returns the request. Throws when it was taken before: a call is sent at most once. */
  take(): UpstreamRequest {
    const request = this.#request;
    if (request === null) throw new Error('a request is sent at most once');
    this.#request = null;
    return request;
  }
}

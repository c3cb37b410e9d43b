/** The clients of an attack: both official SDKs and plain HTTP. Every call is one request: nothing is retried here. */
import OpenAI from 'openai';
import OpenAI6 from 'openai6';
import { Agent } from 'undici';
import { type PicoUsd, usd } from '../../src/domain/money.ts';
import type { Call } from './calls.ts';

/** How a call ended for its client. `held`: money is only held, come again; `broken`: the answer did not come to its end. */
export type Ending = 'answered' | 'quota' | 'held' | 'unavailable' | 'broken' | 'odd';

export interface Answer {
  ending: Ending;
  /** When a refusal asks to be tried again; 0 where it does not say. */
  retryAfterMs: number;
  /** The least that the refused call needed, in the refusal's own words. */
  needed: PicoUsd;
  /** Of an odd answer. */
  text: string;
}

interface ErrorBody {
  code?: string | null;
  needed_usd?: string;
}

/** One gateway replica as its clients see it. */
export class Doors {
  readonly #baseUrl: string;
  readonly #key: string;
  readonly #sdk7: OpenAI;
  readonly #sdk6: OpenAI;
  readonly #agent = new Agent({ connections: 1024 });

  constructor(url: string, key: string) {
    this.#baseUrl = `${url}/v1`;
    this.#key = key;
    const settings = { apiKey: key, baseURL: this.#baseUrl, maxRetries: 0 };
    this.#sdk7 = new OpenAI(settings);
    // The methods used here have the same shape, so the older one goes by the newer one's type.
    this.#sdk6 = new OpenAI6(settings) as unknown as OpenAI;
  }

  /** Makes a call and waits for its end. Never throws. */
  async make(call: Call): Promise<Answer> {
    try {
      if (call.client === 'raw') return await this.#raw(call);
      await viaSdk(call.client === 'openai' ? this.#sdk7 : this.#sdk6, call);
      return answer('answered');
    } catch (error) {
      if (!(error instanceof OpenAI.APIError || error instanceof OpenAI6.APIError)) return answer('broken');
      // Without a status: no connection, or an error event in a stream that had begun.
      if (error.status === undefined) return answer('broken');
      const headers = error.headers as Headers | undefined;
      return refusal(error.status, error.error as ErrorBody, headers?.get('retry-after-ms') ?? null);
    }
  }

  async #raw({ path, body, directives, tags }: Call): Promise<Answer> {
    const { origin, pathname } = new URL(this.#baseUrl + path);
    const {
      statusCode,
      headers,
      body: stream,
    } = await this.#agent.request({
      origin,
      path: pathname,
      method: 'POST',
      headers: {
        authorization: `Bearer ${this.#key}`,
        'content-type': 'application/json',
        'x-simulator': directives,
        ...(tags && { 'x-tollgate-tags': tags }),
      },
      body: JSON.stringify(body),
    });
    const text = await stream.text();
    if (statusCode === 200) return answer(text.includes('"code":"upstream_') ? 'broken' : 'answered');
    const { error } = JSON.parse(text) as { error: ErrorBody };
    return refusal(statusCode, error, headers['retry-after-ms']?.toString() ?? null);
  }
}

async function viaSdk(sdk: OpenAI, { path, body, directives, tags }: Call): Promise<void> {
  const options = { headers: { 'x-simulator': directives, ...(tags && { 'x-tollgate-tags': tags }) } };
  const made: unknown =
    path === '/responses'
      ? await sdk.responses.create(body as never, options)
      : await sdk.chat.completions.create(body as never, options);
  if (body.stream) for await (const _ of made as AsyncIterable<unknown>);
}

function answer(ending: Ending): Answer {
  return { ending, retryAfterMs: 0, needed: 0n, text: '' };
}

function refusal(status: number, error: ErrorBody | undefined, retryAfter: string | null): Answer {
  const retryAfterMs = Number(retryAfter ?? 0);
  const code = error?.code ?? '';
  if (status === 429 && code === 'insufficient_quota') {
    return { ...answer('quota'), needed: usd(error?.needed_usd ?? '0') };
  }
  if (status === 429) return { ...answer('held'), retryAfterMs };
  if (status === 503) return { ...answer('unavailable'), retryAfterMs };
  if (status === 502 || status === 504) return answer('broken');
  return { ...answer('odd'), text: `${status} ${JSON.stringify(error)}` };
}

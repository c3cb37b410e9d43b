/** The clients of the gateway: both official SDKs and plain HTTP, patient or not. */
import { setTimeout as delay } from 'node:timers/promises';
import OpenAI from 'openai';
import OpenAI6 from 'openai6';
import type { Client, PlannedCall } from './traffic.ts';

/** How one call ended for its client. */
export type Ending = 'answered' | 'refused' | 'broken' | 'left';

/** Makes the calls of one key; SDKs do not retry, so that every call is one request. */
const TURNED_AWAY = 'upstream_unavailable';
/** The breaker lets a probe through after 30 s at the latest. */
const PATIENCE_MS = 40_000;

export class Caller {
  readonly #url: string;
  readonly #key: string;
  readonly #sdks: Record<Exclude<Client, 'raw'>, OpenAI>;

  constructor(gatewayUrl: string, key: string) {
    this.#url = `${gatewayUrl}/v1`;
    this.#key = key;
    this.#sdks = { openai: sdk7(gatewayUrl, key), openai6: sdk6(gatewayUrl, key) };
  }

  /**
   * Plays a planned call to its end and says what its client saw of it. A call that the breaker turns away is tried again,
   * as an SDK does with its default of retries; nothing of it was sent.
   */
  async play(call: PlannedCall): Promise<Ending> {
    const untilMs = performance.now() + PATIENCE_MS;
    for (;;) {
      const ending = await this.#playOnce(call);
      if (ending !== 'turned away') return ending;
      if (performance.now() > untilMs) return 'refused';
      await delay(50);
    }
  }

  async #playOnce(call: PlannedCall): Promise<Ending | 'turned away'> {
    const leaving = new AbortController();
    const timer = call.leaves === 'before the first byte' ? setTimeout(() => leaving.abort(), 30) : undefined;
    try {
      return call.client === 'raw'
        ? await this.#playRaw(call, leaving)
        : await playSdk(this.#sdks[call.client], call, leaving);
    } catch (error) {
      if (leaving.signal.aborted) return 'left';
      if (!(error instanceof OpenAI.APIError || error instanceof OpenAI6.APIError)) return 'broken';
      return error.code === TURNED_AWAY ? 'turned away' : 'refused';
    } finally {
      clearTimeout(timer);
    }
  }

  async #playRaw(call: PlannedCall, leaving: AbortController): Promise<Ending | 'turned away'> {
    const response = await fetch(this.#url + call.path, {
      method: call.body === null ? 'GET' : 'POST',
      headers: {
        authorization: `Bearer ${this.#key}`,
        'content-type': 'application/json',
        ...headersOf(call),
      },
      body: call.body === null ? null : JSON.stringify(call.body),
      signal: leaving.signal,
    });
    if (response.status === 503) {
      const body = await response.text();
      return body.includes(`"${TURNED_AWAY}"`) ? 'turned away' : 'refused';
    }
    for await (const _ of response.body ?? []) {
      if (call.leaves === 'mid-stream' && call.stream) leaving.abort();
    }
    return response.ok ? 'answered' : 'refused';
  }
}

export function sdk7(gatewayUrl: string, key: string, maxRetries = 0): OpenAI {
  return new OpenAI({ apiKey: key, baseURL: `${gatewayUrl}/v1`, maxRetries });
}

/** The older SDK: the methods used here have the same shape, so it goes by the newer one's type. */
export function sdk6(gatewayUrl: string, key: string, maxRetries = 0): OpenAI {
  return new OpenAI6({ apiKey: key, baseURL: `${gatewayUrl}/v1`, maxRetries }) as unknown as OpenAI;
}

function headersOf(call: PlannedCall): Record<string, string> {
  return call.directives === '' ? {} : { 'x-simulator': call.directives };
}

async function playSdk(sdk: OpenAI, call: PlannedCall, leaving: AbortController): Promise<Ending> {
  const answer = await request(sdk, call, { headers: headersOf(call), signal: leaving.signal });
  if (!call.stream) return 'answered';
  let events = 0;
  for await (const _ of answer as AsyncIterable<unknown>) {
    events++;
    // Leaving the loop closes the connection.
    if (call.leaves === 'mid-stream' && events === 3) return 'left';
  }
  return 'answered';
}

function request(
  sdk: OpenAI,
  { path, body }: PlannedCall,
  options: OpenAI.RequestOptions,
): PromiseLike<unknown> {
  switch (path) {
    case '/chat/completions':
      return sdk.chat.completions.create(body as never, options);
    case '/responses':
      return sdk.responses.create(body as never, options);
    case '/completions':
      return sdk.completions.create(body as never, options);
    case '/embeddings':
      return sdk.embeddings.create(body as never, options);
    case '/moderations':
      return sdk.moderations.create(body as never, options);
    case '/models':
      return sdk.models.list(options);
    default:
      return sdk.models.retrieve(path.slice('/models/'.length), options);
  }
}

/** Runs all, `concurrency` at a time, and answers their results in order. */
export async function inParallel<Item, Result>(
  items: readonly Item[],
  concurrency: number,
  run: (item: Item, index: number) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  let next = 0;
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      while (next < items.length) {
        const index = next++;
        results[index] = await run(items[index]!, index);
      }
    }),
  );
  return results;
}

/** Two hundred calls at once against ten cents: not a pico-USD too much, and most of it of use. */
import OpenAI from 'openai';
import OpenAI6 from 'openai6';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import type { Mode } from '../../src/simulator/profile.ts';
import { billed, disagreements, readBalance, readEvents } from './books.ts';
import { type Stack, startStack } from './stack.ts';

const GRANT = usd('0.10');
/** Output at $20 a million: the usual answer costs a tenth of a cent, so that the money is soon gone. */
const MODEL = 'gpt-5.6-sol';

/** One answer as it came over the wire, of the SDKs' retries too. */
interface Seen {
  status: number;
  code: string | null;
  shouldRetry: string | null;
  retryAfterMs: string | null;
}

/** A `fetch` that notes what it saw. */
function noting(seen: Seen[]): typeof fetch {
  return async (input, init) => {
    const response = await fetch(input, init);
    const body = response.ok ? {} : ((await response.clone().json()) as { error?: { code: string } });
    seen.push({
      status: response.status,
      code: body.error?.code ?? null,
      shouldRetry: response.headers.get('x-should-retry'),
      retryAfterMs: response.headers.get('retry-after-ms'),
    });
    return response;
  };
}

/** One call of one of both SDKs with its default retries; every second one is bounded, every third a stream. */
async function call(stack: Stack, key: string, index: number): Promise<Seen[]> {
  const seen: Seen[] = [];
  const options = { apiKey: key, baseURL: `${stack.app.url}/v1`, fetch: noting(seen) };
  const sdk = index % 4 < 2 ? new OpenAI(options) : (new OpenAI6(options) as unknown as OpenAI);
  const bound = index % 2 === 0 ? { max_completion_tokens: 40 + (index % 7) * 30 } : {};
  const body = { model: MODEL, messages: [{ role: 'user' as const, content: `hello ${index}` }], ...bound };
  try {
    if (index % 3 > 0) await sdk.chat.completions.create(body);
    else for await (const _ of await sdk.chat.completions.create({ ...body, stream: true }));
  } catch (error) {
    if (!(error instanceof OpenAI.RateLimitError || error instanceof OpenAI6.RateLimitError)) throw error;
  }
  return seen;
}

describe.each<Mode>(['normal', 'worst'])('with an upstream that bills as in mode %s', (mode) => {
  let stack: Stack;
  beforeAll(async () => {
    // Answers take a moment, so that hundreds of holds are open at once.
    stack = await startStack({ simulator: { mode, profile: { firstByteMs: 30, chunkMs: 1 } } });
  });
  afterAll(() => stack.stop());

  it('spends most of a small grant on a crowd, never more than it has, and refuses the rest once', async () => {
    const { teamId, key } = await stack.team({ grantUsd: '0.10' });
    const calls = await Promise.all(Array.from({ length: 200 }, (_, index) => call(stack, key, index)));

    const events = await readEvents(stack, teamId);
    expect(disagreements(events, stack.simulator.invoice().lines, () => false)).toEqual([]);
    expect(billed(stack)).toBeLessThanOrEqual(GRANT);
    expect(billed(stack)).toBeGreaterThan(GRANT / 2n);
    const balance = await readBalance(stack, teamId);
    expect(usd(balance.settled_usd)).toBe(billed(stack));
    expect(balance.held_usd).toBe('0.00');

    const seen = calls.flat();
    expect(seen.filter(({ status }) => status !== 200 && status !== 429)).toEqual([]);
    const exhausted = seen.filter(({ code }) => code === 'insufficient_quota');
    const held = seen.filter(({ code }) => code === 'rate_limit_exceeded');
    expect(exhausted.length).toBeGreaterThan(0);
    expect(exhausted.every(({ shouldRetry }) => shouldRetry === 'false')).toBe(true);
    expect(held.every(({ retryAfterMs }) => Number(retryAfterMs) >= 1000)).toBe(true);
    expect(seen).toHaveLength(events.length + exhausted.length + held.length);
    for (const answers of calls) {
      const last = answers.findIndex(({ code }) => code === 'insufficient_quota');
      if (last !== -1) expect(answers).toHaveLength(last + 1);
    }
  }, 60_000);
});

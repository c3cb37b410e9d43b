/** Two hundred calls at once on a grant of ten cents: never more than the grant, and most of it spent. */
import OpenAI from 'openai';
import OpenAI6 from 'openai6';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import type { Mode } from '../../src/simulator/profile.ts';
import { billed, disagreements, readBalance, readEvents } from './books.ts';
import { type Stack, startStack } from './stack.ts';

const GRANT = usd('0.10');
/** Output at $20 a million: a usual response costs a tenth of a cent, so that the grant is soon spent. */
const MODEL = 'gpt-5.6-sol';

/** One response as it came over the wire, also of an SDK's retry. */
interface Seen {
  status: number;
  code: string | null;
  shouldRetry: string | null;
  retryAfterMs: string | null;
}

/** Returns a `fetch` that records each response. */
function recording(seen: Seen[]): typeof fetch {
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

/** Makes one call with one of the two SDKs and its default retries; every second is bounded, every third a stream. */
async function call(stack: Stack, key: string, index: number): Promise<Seen[]> {
  const seen: Seen[] = [];
  const options = { apiKey: key, baseURL: `${stack.app.url}/v1`, fetch: recording(seen) };
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

describe.each<Mode>(['normal', 'worst'])(
  'two hundred calls at once on a grant of ten cents, billed in mode %s',
  (mode) => {
    let stack: Stack;
    let events: Awaited<ReturnType<typeof readEvents>>;
    let balance: Awaited<ReturnType<typeof readBalance>>;
    /** The responses of each call, including the SDK's retries. */
    let calls: Seen[][];
    const withCode = (code: string) => calls.flat().filter((seen) => seen.code === code);

    beforeAll(async () => {
      // Responses take a moment, so that hundreds of holds are open at once.
      stack = await startStack({ simulator: { mode, profile: { firstByteMs: 30, chunkMs: 1 } } });
      const { teamId, key } = await stack.team({ grantUsd: '0.10' });
      calls = await Promise.all(Array.from({ length: 200 }, (_, index) => call(stack, key, index)));
      events = await readEvents(stack, teamId);
      balance = await readBalance(stack, teamId);
    }, 120_000);
    afterAll(() => stack.stop());

    it('are never billed more than the grant', () => {
      expect(billed(stack)).toBeLessThanOrEqual(GRANT);
    });

    it('spend more than half of the grant', () => {
      expect(billed(stack)).toBeGreaterThan(GRANT / 2n);
    });

    it('leave a ledger that equals the invoice, with nothing held', () => {
      expect(disagreements(events, stack.simulator.invoice().lines, () => false)).toEqual([]);
      expect(usd(balance.settled_usd)).toBe(billed(stack));
      expect(balance.held_usd).toBe('0.00');
    });

    it('end in a response or a denial, each with its event or its code', () => {
      expect(calls.flat().filter(({ status }) => status !== 200 && status !== 429)).toEqual([]);
      const denials = withCode('insufficient_quota').length + withCode('rate_limit_exceeded').length;
      expect(calls.flat()).toHaveLength(events.length + denials);
    });

    it('are not retried by the SDKs once the grant is spent', () => {
      expect(withCode('insufficient_quota').length).toBeGreaterThan(0);
      expect(withCode('insufficient_quota').every(({ shouldRetry }) => shouldRetry === 'false')).toBe(true);
      const retried = calls.filter((responses) => {
        const denied = responses.findIndex(({ code }) => code === 'insufficient_quota');
        return denied !== -1 && denied !== responses.length - 1;
      });
      expect(retried).toEqual([]);
    });

    it('are asked to wait a second or longer while other calls hold the money', () => {
      for (const { retryAfterMs } of withCode('rate_limit_exceeded')) {
        expect(Number(retryAfterMs)).toBeGreaterThanOrEqual(1000);
      }
    });
  },
);

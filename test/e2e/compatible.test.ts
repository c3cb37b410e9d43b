/** An upstream of the profile `compatible`: what it is trusted with, what it gets, and what is made of its usage. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import type { SimulatorOptions } from '../../src/simulator/simulator.ts';
import { readBalance, readEvents, readMetric } from './books.ts';
import { type Stack, startStack } from './stack.ts';
import { startRecorder } from './wire.ts';

const BODY = {
  model: 'gpt-4o-mini',
  max_completion_tokens: 10,
  messages: [{ role: 'user', content: 'briefly' }],
};
const COMPATIBLE = { TOLLGATE_UPSTREAM_PROFILE: 'compatible', TOLLGATE_UPSTREAM_MAX_OUTPUT_TOKENS: '20000' };
/** A probe takes part of a second; far more on a busy machine. */
const PROBED_MS = 60_000;
/** Of one output token. */
const PER_TOKEN = usd('0.0000006');

interface UpstreamState {
  profile: string;
  limits: { operation: string; model: string; state: string; reason: string }[];
}

/** The state of a model's limit, once its probe has come to an end. */
async function probed(): Promise<string> {
  const { key } = await stack.team({ grantUsd: '0.000001' });
  // Its first call makes it known, whatever comes of it.
  await (await stack.post(key, '/chat/completions', BODY)).text();
  const deadlineMs = performance.now() + PROBED_MS;
  while (performance.now() < deadlineMs) {
    const { limits } = await stack.admin<UpstreamState>('GET', '/upstream');
    const found = limits.find(
      (limit) => limit.operation === 'chat.completions' && limit.model === BODY.model,
    );
    if (found && found.state !== 'unknown') return found.state;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(JSON.stringify(await stack.admin('GET', '/upstream')));
}

let stack: Stack;
const start = async (env: Record<string, string> = {}, simulator: SimulatorOptions = {}) => {
  const profile = { limitNames: 'either', ...simulator.profile } as const;
  stack = await startStack({ env: { ...COMPATIBLE, ...env }, simulator: { ...simulator, profile } });
};

describe('an upstream that keeps its limits', () => {
  beforeAll(() => start());
  afterAll(() => stack.stop());

  it('is trusted once it has kept one, and says so where people look', async () => {
    const { key, teamId } = await stack.team({ grantUsd: '1.00' });
    await stack.post(key, '/chat/completions', BODY);
    expect(await probed()).toBe('kept');
    await (await stack.post(key, '/chat/completions', BODY)).text();
    const events = await readEvents(stack, teamId);
    expect(usd(events.at(-1)!.hold_usd)).toBeLessThan(usd('0.0001'));
    const { upstream_limits } = (await (await fetch(`${stack.app.url}/readyz`)).json()) as {
      upstream_limits: Record<string, number>;
    };
    expect(upstream_limits.kept).toBeGreaterThan(0);
    expect((await readMetric(stack, 'tollgate_upstream_limits')).get('state="kept"')).toBe(
      upstream_limits.kept,
    );
  });

  it('is asked no more of than a few tokens by its probes, which belong to no team', async () => {
    await probed();
    const events = await readEvents(stack);
    const known = new Set(events.map(({ id }) => id));
    const probes = stack.simulator
      .invoice()
      .lines.filter((line) => line.usage.output_tokens > 0 && !known.has(line.client_request_id ?? ''));
    expect(probes.length).toBeGreaterThanOrEqual(3);
    expect(Math.max(...probes.map(({ usage }) => usage.output_tokens))).toBeLessThanOrEqual(2);
  });

  it('gets a limit under every name, and always one', async () => {
    const { key } = await stack.team({ grantUsd: '1.00' });
    await probed();
    const { max_completion_tokens: _, ...open } = BODY;
    stack.simulator.setProfile({ limitNames: 'openai' });
    const both = await stack.post(key, '/chat/completions', open);
    stack.simulator.setProfile({ limitNames: 'either' });
    expect(await both.text()).toContain("'max_tokens' and 'max_completion_tokens'");
    expect(both.headers.get('x-tollgate-output-limit')).toMatch(/^\d+$/);
  });

  it('gets no field that may change what a call costs', async () => {
    const { key } = await stack.team({ grantUsd: '1.00' });
    for (const field of ['n_predict', 'max_new_tokens', 'use_beam_search', 'anything']) {
      const response = await stack.post(key, '/chat/completions', { ...BODY, [field]: 2000 });
      const { error } = (await response.json()) as {
        error: { code: string; param: string; message: string };
      };
      expect([response.status, error.code, error.param]).toEqual([400, 'unbounded_request', field]);
    }
    const known = {
      ...BODY,
      top_k: 40,
      min_p: 0.1,
      ignore_eos: true,
      chat_template_kwargs: {},
      n_predict: null,
    };
    const { error } = (await (await stack.post(key, '/chat/completions', known)).json()) as {
      error?: { code: string };
    };
    expect(error?.code).not.toBe('unbounded_request');
  });
});

describe('an upstream that ignores its limits', () => {
  beforeAll(() =>
    start({}, { profile: { ignoresLimits: true, medianOutputTokens: 20_000, p99OutputTokens: 20_000 } }),
  );
  afterAll(() => stack.stop());

  it('is not trusted: calls hold all that it can write, and a budget that does not cover that is not spent', async () => {
    const poor = await stack.team({ grantUsd: '0.002' });
    const refused = await stack.post(poor.key, '/chat/completions', BODY);
    expect(refused.status).toBe(429);
    expect(await probed()).toBe('ignored');
    expect((await stack.post(poor.key, '/chat/completions', BODY)).status).toBe(429);

    const rich = await stack.team({ grantUsd: '0.10' });
    const response = await stack.post(rich.key, '/chat/completions', BODY);
    await response.text();
    const [event] = await readEvents(stack, rich.teamId);
    expect(event).toMatchObject({
      outcome: 'settled',
      provenance: 'reported',
      reason: null,
      output_tokens: 20_000,
    });
    expect(usd(event!.hold_usd)).toBeGreaterThanOrEqual(20_000n * PER_TOKEN);
  });

  it('has its streams stopped at the limit that they were sent with', async () => {
    const { key, teamId } = await stack.team({ grantUsd: '0.10' });
    const response = await stack.post(key, '/chat/completions', { ...BODY, stream: true });
    expect(await response.text()).toContain('upstream_over_limit');
    const [event] = await readEvents(stack, teamId);
    expect(event).toMatchObject({ outcome: 'unknown', reason: 'over_limit', cost_usd: event!.hold_usd });
  });
});

describe('an upstream whose responses call themselves completed at their limit', () => {
  const long = { completesAtLimit: true, medianOutputTokens: 5000, p99OutputTokens: 5000 };
  afterEach(() => stack.stop());

  it.each([
    [false, 'kept'],
    [true, 'ignored'],
  ])('is trusted by its count alone; it writes more than that: %s', async (ignoresLimits, state) => {
    await start({}, { profile: { ...long, ignoresLimits } });
    const { key } = await stack.team({ grantUsd: '0.000001' });
    await (await stack.post(key, '/responses', { model: BODY.model, input: 'briefly' })).text();
    const verdict = async () => {
      const { limits } = await stack.admin<UpstreamState>('GET', '/upstream');
      return limits.find(({ operation }) => operation === 'responses')?.state;
    };
    await expect.poll(verdict, { timeout: 30_000 }).toBe(state);
  });
});

describe('an upstream that reads one name of the limit alone', () => {
  afterEach(() => stack.stop());

  it.each([
    ['both', 'kept'],
    ['max_completion_tokens', 'ignored'],
  ])('keeps it where it is sent under %s: %s', async (names, state) => {
    const written = { limitNames: 'max_tokens', medianOutputTokens: 5000, p99OutputTokens: 5000 } as const;
    await start({ TOLLGATE_UPSTREAM_LIMIT_FIELDS: names }, { profile: written });
    expect(await probed()).toBe(state);
  });
});

describe('a model of which nothing says how much it writes', () => {
  beforeAll(() => start({ TOLLGATE_UPSTREAM_MAX_OUTPUT_TOKENS: '' }, { profile: { ignoresLimits: true } }));
  afterAll(() => stack.stop());

  it('is refused while its limits are not trusted, and the error says what would help', async () => {
    const model = 'a-model-of-our-own';
    await stack.admin('POST', '/prices', { model, source: 'ours', input_usd: '1.00', output_usd: '1.00' });
    const { key } = await stack.team({ grantUsd: '1.00' });
    const ask = async () => {
      const response = await stack.post(key, '/chat/completions', { ...BODY, model });
      return ((await response.json()) as { error: { code: string; message: string } }).error;
    };
    // A new price binds within a second.
    await expect.poll(ask, { timeout: 30_000 }).toMatchObject({ code: 'unbounded_request' });
    const error = await ask();
    expect(error.message).toContain('TOLLGATE_UPSTREAM_MAX_OUTPUT_TOKENS');
    expect(error.message).toContain('max_output_tokens');
  });
});

describe('usage', () => {
  afterEach(() => stack.stop());

  it.each([false, true])('that never comes is counted by the tokeniser (stream: %s)', async (stream) => {
    await start(
      { TOLLGATE_UPSTREAM_TOKENIZER: 'o200k_base' },
      { profile: { usageReports: 'never', chunkTokens: 1 } },
    );
    expect(await probed()).toBe('kept');
    const { key, teamId } = await stack.team({ grantUsd: '1.00' });
    const body = { ...BODY, max_completion_tokens: 400, stream };
    await (await stack.post(key, '/chat/completions', body, { 'x-simulator': 'output=60' })).text();
    const [event] = await readEvents(stack, teamId);
    expect(event).toMatchObject({ outcome: 'settled', provenance: 'estimated', reason: 'usage_missing' });
    expect(Math.abs(event!.output_tokens - 60)).toBeLessThanOrEqual(3);
    expect(event!.input_tokens).toBeLessThan(60);
    expect(usd(event!.cost_usd) * 4n).toBeLessThan(usd(event!.hold_usd));
  });

  it('of a part is not the bill', async () => {
    await start(
      { TOLLGATE_UPSTREAM_TOKENIZER: 'o200k_base' },
      { profile: { usageReports: 'partly', chunkTokens: 8 } },
    );
    expect(await probed()).toBe('kept');
    const { key, teamId } = await stack.team({ grantUsd: '1.00' });
    const body = { ...BODY, max_completion_tokens: 400, stream: true };
    await (await stack.post(key, '/chat/completions', body, { 'x-simulator': 'output=160' })).text();
    const [event] = await readEvents(stack, teamId);
    expect(event).toMatchObject({ outcome: 'settled', provenance: 'estimated' });
    expect(Math.abs(event!.output_tokens - 160)).toBeLessThanOrEqual(8);
  });
});

describe('a client that leaves', () => {
  beforeAll(() => start());
  afterAll(() => stack.stop());

  /** Asks for a stream of so many tokens, 50 a second, and leaves at its first. */
  async function leave(key: string, output: number) {
    const leaving = new AbortController();
    const headers = {
      authorization: `Bearer ${key}`,
      'content-type': 'application/json',
      'x-simulator': `output=${output},chunk_tokens=1,chunk_ms=20,stops_with_client=true`,
    };
    const body = JSON.stringify({ ...BODY, max_completion_tokens: 2 * output, stream: true });
    const response = await fetch(`${stack.app.url}/v1/chat/completions`, {
      method: 'POST',
      headers,
      body,
      signal: leaving.signal,
    });
    await response.body!.getReader().read();
    leaving.abort();
    await stack.idle();
  }

  it('ends the call at the upstream, which then is unknown at its hold', async () => {
    const { key, teamId } = await stack.team({ grantUsd: '1.00' });
    await probed().catch(() => {});
    await leave(key, 1000);
    const [event] = await readEvents(stack, teamId);
    expect(event).toMatchObject({ outcome: 'unknown', reason: 'client_gone', cost_usd: event!.hold_usd });
    const line = stack.simulator.invoice().lines.find(({ client_request_id: id }) => id === event!.id)!;
    expect(line.usage.output_tokens).toBeLessThan(500);
    expect(await readBalance(stack, teamId)).toMatchObject({ unknown_usd: event!.cost_usd });
  });

  it('of a team that wants it finished costs what was written, to the end', async () => {
    const { key, teamId } = await stack.team({ grantUsd: '1.00' });
    const team = await stack.admin('PATCH', `/teams/${teamId}`, { on_client_gone: 'finish' });
    expect(team).toMatchObject({ on_client_gone: 'finish' });
    await leave(key, 100);
    const [event] = await readEvents(stack, teamId);
    expect(event).toMatchObject({ outcome: 'settled', provenance: 'reported', output_tokens: 100 });
    await expect(stack.admin('PATCH', `/teams/${teamId}`, { on_client_gone: 'leave' })).rejects.toThrow(
      '400',
    );
    await stack.admin('PATCH', `/teams/${teamId}`, { on_client_gone: null });
  });

  it('at the last event has had all: the upstream is read to its end, and nobody is called gone', async () => {
    const chunk = (members: object) =>
      `data: ${JSON.stringify({ id: 'chat', object: 'chat.completion.chunk', ...members })}\n\n`;
    const usage = { prompt_tokens: 5, completion_tokens: 1, total_tokens: 6 };
    const text = [
      chunk({ choices: [{ index: 0, delta: { content: 'Hi' }, finish_reason: 'stop' }] }),
      chunk({ choices: [], usage }),
      'data: [DONE]\n\n',
    ].join('');
    const endsAfterMs = 500;
    let isCut = false;
    const upstream = await startRecorder({
      status: 200,
      headers: ['content-type', 'text/event-stream'],
      body: (response) => {
        response.write(text);
        response.once('close', () => {
          isCut ||= !response.writableFinished;
        });
        setTimeout(() => response.end(), endsAfterMs);
      },
    });
    const own = await startStack({
      env: { ...COMPATIBLE, OPENAI_BASE_URL: upstream.url },
    });
    const { key, teamId } = await own.team({ grantUsd: '1.00' });
    const response = await own.post(key, '/chat/completions', { ...BODY, stream: true });
    const reader = response.body!.getReader();
    const decoder = new TextDecoder();
    let read = '';
    while (!read.includes('[DONE]')) read += decoder.decode((await reader.read()).value, { stream: true });
    await reader.cancel();
    await own.idle();
    expect(isCut).toBe(false);
    const [event] = await readEvents(own, teamId);
    expect(event).toMatchObject({
      outcome: 'settled',
      provenance: 'reported',
      reason: null,
      output_tokens: 1,
    });
    await own.stop();
    upstream.close();
  });
});

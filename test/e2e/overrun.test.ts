/**
 * An upstream that breaks its word bills more than was held: all of it is charged and shown, and the budget ends there.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { readBalance, readEvents, readMetric, says } from './books.ts';
import { type Stack, startStack } from './stack.ts';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack();
});
afterAll(() => stack.stop());

const BODY = {
  model: 'gpt-4o-mini',
  max_completion_tokens: 10,
  messages: [{ role: 'user', content: 'briefly' }],
};
/** At $0.60 a million, these tokens cost three cents; the grant is one. */
const ENDLESS = { 'x-simulator': 'output=50000,ignore_limit=true' };

it('a bill above the hold is charged in full and marked as an overrun, and denies later calls', async () => {
  const { teamId, key } = await stack.team({ grantUsd: '0.01' });
  const shown = (await readMetric(stack, 'tollgate_overrun_usd_total')).get('') ?? 0;
  const response = await stack.post(key, '/chat/completions', BODY, ENDLESS);
  expect(response.status).toBe(200);
  await response.text();
  const remaining = response.headers.get('x-tollgate-remaining-usd')!;

  const [event] = await readEvents(stack, teamId);
  const line = stack.simulator.invoice().lines.find(({ client_request_id: id }) => id === event!.id)!;
  expect(event).toMatchObject({ outcome: 'settled', provenance: 'reported', reason: 'overrun' });
  expect(usd(event!.cost_usd)).toBe(BigInt(line.cost_pico_usd));
  const excess = usd(event!.cost_usd) - usd(event!.hold_usd);
  expect(excess).toBeGreaterThan(usd('0.02'));
  const metric = (await readMetric(stack, 'tollgate_overrun_usd_total')).get('')!;
  expect(says(metric - shown, excess)).toBe(true);

  const balance = await readBalance(stack, teamId);
  expect(balance).toMatchObject({ settled_usd: event!.cost_usd, held_usd: '0.00' });
  expect([remaining, balance.remaining_usd]).toEqual(['0.00', '0.00']);
  const next = await stack.post(key, '/chat/completions', BODY);
  expect([next.status, next.headers.get('x-should-retry')]).toEqual([429, 'false']);
  expect(await readEvents(stack, teamId)).toHaveLength(1);
});

it.each([
  ['a token a chunk', 'chunk_tokens=1', 11],
  ['usage in every chunk', 'chunk_tokens=8,usage=every_chunk', 16],
])(
  'a stream that goes on beyond its limit is stopped at its first chunk over: %s',
  async (_, mode, tokens) => {
    const { teamId, key } = await stack.team({ grantUsd: '0.01' });
    const order = {
      'x-simulator': `output=20000,ignore_limit=true,chunk_ms=5,stops_with_client=true,${mode}`,
    };
    const response = await stack.post(key, '/chat/completions', { ...BODY, stream: true }, order);
    const text = await response.text();
    expect(text).toContain('"code":"upstream_over_limit"');
    expect(text).not.toContain('[DONE]');

    const [event] = await readEvents(stack, teamId);
    const line = stack.simulator.invoice().lines.find(({ client_request_id: id }) => id === event!.id)!;
    expect(event).toMatchObject({
      outcome: 'unknown',
      provenance: 'unknown',
      reason: 'over_limit',
      output_tokens: tokens,
    });
    const perToken = usd('0.0000006');
    expect(usd(event!.cost_usd) - usd(event!.hold_usd)).toBe(BigInt(tokens - 10) * perToken);
    // The chunk after that was on its way.
    expect(line.usage.output_tokens).toBeLessThan(tokens + 30);
    expect(await readBalance(stack, teamId)).toMatchObject({
      settled_usd: event!.cost_usd,
      held_usd: '0.00',
    });
  },
);

it('says what is left after an overrun, on its own response and on the next ones', async () => {
  const { teamId, key } = await stack.team({ grantUsd: '1.00' });
  for (const order of [ENDLESS, {}, {}, ENDLESS, {}]) {
    const response = await stack.post(key, '/chat/completions', BODY, order as Record<string, string>);
    await response.text();
    const { remaining_usd } = await readBalance(stack, teamId);
    expect(response.headers.get('x-tollgate-remaining-usd')).toBe(remaining_usd);
  }
});

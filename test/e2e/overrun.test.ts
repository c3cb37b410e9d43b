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

it.each([false, true])(
  'a bill above the hold is charged in full and marked as an overrun, and denies later calls (stream: %s)',
  async (stream) => {
    const { teamId, key } = await stack.team({ grantUsd: '0.01' });
    const shown = (await readMetric(stack, 'tollgate_overrun_usd_total')).get('') ?? 0;
    const response = await stack.post(key, '/chat/completions', { ...BODY, stream }, ENDLESS);
    expect(response.status).toBe(200);
    await response.text();

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
    const next = await stack.post(key, '/chat/completions', BODY);
    expect([next.status, next.headers.get('x-should-retry')]).toEqual([429, 'false']);
    expect(await readEvents(stack, teamId)).toHaveLength(1);
  },
);

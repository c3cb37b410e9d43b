/** Where the bytes of an input would hold too much of what is left, it is counted: by its encoding, or by the upstream. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { billed, readEvents, sumOf } from './books.ts';
import { type Stack, startStack } from './stack.ts';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ env: { TOLLGATE_INPUT_COUNTING: 'both' } });
});
afterAll(() => stack.stop());

/** Two bytes a token by the published encodings; the simulator bills four. */
const digits = (bytes: number): string => '123 456 '.repeat(bytes / 8);

async function respond(key: string, fields: object): Promise<Response> {
  const body = { model: 'gpt-5-mini', max_output_tokens: 100, store: false, ...fields };
  const response = await stack.post(key, '/responses', body);
  await response.text();
  return response;
}

async function countsBy(how: string): Promise<number> {
  const page = await (await fetch(`${stack.app.url}/metrics`)).text();
  return Number(new RegExp(`^tollgate_input_counts_total\\{by="${how}"\\} (\\d+)$`, 'm').exec(page)?.[1]);
}

/** 40,000 bytes are $0.01 of gpt-5-mini, or $0.0050 as they are counted. */
const INPUT = digits(40_000);

describe('an input that would be refused at its bytes', () => {
  it('passes at the count of its encoding', async () => {
    // The first count loads the encoding: on a busy machine longer than a call waits.
    const load = async () => {
      const { key } = await stack.team({ grantUsd: '0.0060' });
      await respond(key, { input: INPUT });
      return countsBy('encoding');
    };
    await expect.poll(load, { timeout: 60_000 }).toBeGreaterThan(0);
    const before = await countsBy('encoding');
    const { key, teamId } = await stack.team({ grantUsd: '0.0060' });
    expect((await respond(key, { input: INPUT })).status).toBe(200);
    const [event] = await readEvents(stack, teamId);
    expect(usd(event!.hold_usd)).toBeLessThan(usd('0.0056'));
    expect(usd(event!.hold_usd)).toBeGreaterThanOrEqual(usd(event!.cost_usd));
    expect(await countsBy('encoding')).toBe(before + 1);
  });

  it('passes at the count of the upstream, where no encoding is published', async () => {
    const before = await countsBy('upstream');
    const { key, teamId } = await stack.team({ grantUsd: '0.15' });
    const fields = { model: 'gpt-6-astra', input: digits(16_000) };
    expect((await respond(key, fields)).status).toBe(200);
    const [event] = await readEvents(stack, teamId);
    // At $12.50 a million the bytes alone are $0.20.
    expect(usd(event!.hold_usd)).toBeLessThan(usd('0.07'));
    expect(await countsBy('upstream')).toBe(before + 1);
  });

  it('is refused where also the count is too much', async () => {
    const { key } = await stack.team({ grantUsd: '0.0020' });
    expect((await respond(key, { input: INPUT })).status).toBe(429);
  });

  it('is asked of no upstream that names what it keeps, or that lacks the operation', async () => {
    const { key } = await stack.team({ grantUsd: '100' });
    const first = await stack.post(key, '/responses', { model: 'gpt-6-astra', input: 'x', store: true });
    const { id } = (await first.json()) as { id: string };
    const before = await countsBy('upstream');
    await respond(key, { model: 'gpt-6-astra', input: digits(800_000), previous_response_id: id });
    expect(await countsBy('upstream')).toBe(before);
  });
});

it('counts nothing while there is plenty', async () => {
  const before = (await countsBy('encoding')) + (await countsBy('upstream'));
  const { key } = await stack.team({ grantUsd: '1000' });
  for (const model of ['gpt-5-mini', 'gpt-6-astra']) await respond(key, { model, input: digits(8_000) });
  expect((await countsBy('encoding')) + (await countsBy('upstream'))).toBe(before);
});

it('leaves ledger and invoice equal', async () => {
  await stack.idle();
  await stack.settled();
  const events = await readEvents(stack);
  expect(sumOf(events)).toBe(billed(stack));
  for (const { hold_usd, cost_usd } of events) expect(usd(hold_usd)).toBeGreaterThanOrEqual(usd(cost_usd));
});

/**
 * Every operation that costs money, asked for by the official client in shapes that are drawn at random: the ledger says what the
 * invoice does, to the last digit, and no call is billed above its hold, also by an upstream that always bills the most.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import fc from 'fast-check';
import OpenAI from 'openai';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { OPERATIONS } from '../../src/openai/operations/table.ts';
import { makeCertificate } from '../support/certificate.ts';
import { temporaryFolder } from '../support/folder.ts';
import { billed, readEvents, sumOf, type UsageEvent } from './books.ts';
import { CALLS, PATIENCE } from './metered-calls.ts';
import { type Stack, startStack } from './stack.ts';

const trustedBefore = getCACertificates('default');

let stack: Stack;
beforeAll(async () => {
  // The client asks for realtime sessions by `wss:` alone.
  const folder = await temporaryFolder();
  const [TOLLGATE_TLS_CERT, TOLLGATE_TLS_KEY] = [join(folder, 'tls.crt'), join(folder, 'tls.key')];
  makeCertificate('localhost', TOLLGATE_TLS_CERT, TOLLGATE_TLS_KEY);
  setDefaultCACertificates([...trustedBefore, readFileSync(TOLLGATE_TLS_CERT, 'utf8')]);
  stack = await startStack({
    env: { HOST: 'localhost', TOLLGATE_TLS_CERT, TOLLGATE_TLS_KEY, TOLLGATE_JOB_POLL_MS: '50' },
  });
  // None is published: an administrator says what the simulator bills.
  await stack.admin('POST', '/prices', {
    ...{ model: 'content_provenance_check', source: 'https://prices.example' },
    lines: [{ meter: 'provenance_checks', per: 1, rate: '0.002' }],
  });
});
afterAll(async () => {
  await stack.stop();
  setDefaultCACertificates(trustedBefore);
});

const COSTLY = OPERATIONS.filter(({ class: kind }) => kind === 'metered' || kind === 'job').map(
  ({ name }) => name,
);

const SESSIONS = new Set(OPERATIONS.filter(({ method }) => method === 'WEBSOCKET').map(({ name }) => name));

it('every operation that costs money is asked for here', () => {
  expect(COSTLY.filter((name) => CALLS[name] === undefined)).toEqual([]);
});

/** Asks for an operation in all its shapes, by a team of its own. */
async function askFor(name: string, seed: number) {
  const { teamId, key } = await stack.team({ grantUsd: '100000.00' });
  // A busy machine's Postgres may be slow to lend.
  const client = new OpenAI({ apiKey: key, baseURL: `${stack.app.url}/v1`, maxRetries: 8 });
  const { asks, shapes } = CALLS[name]!;
  await Promise.all(fc.sample(asks, { numRuns: shapes, seed }).map((ask) => ask(client)));
  return { name, teamId, shapes };
}

const endedOf = async (teamId: string) =>
  (await readEvents(stack, teamId)).filter(({ outcome }) => outcome !== 'voided');

it.each(['normal', 'worst'] as const)(
  'each costs what it is billed, and no more than was held, in mode %s',
  { timeout: 180_000 },
  async (mode) => {
    stack.simulator.setMode(mode);
    const before = billed(stack);
    const asked = await Promise.all(COSTLY.map((name) => askFor(name, mode === 'worst' ? 2 : 1)));
    await stack.idle();
    const events: UsageEvent[] = [];
    for (const { name, teamId, shapes } of asked) {
      // A job ends after its response.
      await vi.waitFor(async () => {
        const own = (await endedOf(teamId)).filter(({ operation }) => operation === name);
        expect([name, own.length >= shapes]).toEqual([name, true]);
      }, PATIENCE);
      events.push(...(await endedOf(teamId)));
    }
    const wrong = events.filter(
      ({ outcome, hold_usd, cost_usd }) => outcome !== 'settled' || usd(hold_usd) < usd(cost_usd),
    );
    expect(wrong).toEqual([]);
    const bills = new Map<string | null, bigint>();
    for (const { client_request_id: id, cost_pico_usd } of stack.simulator.invoice().lines)
      bills.set(id, (bills.get(id) ?? 0n) + BigInt(cost_pico_usd));
    // A session's lines all have the id of its first call: only the sum says of them.
    const single = events.filter(({ operation }) => !SESSIONS.has(operation ?? ''));
    expect(single.filter(({ id, cost_usd }) => bills.get(id) !== usd(cost_usd))).toEqual([]);
    expect(sumOf(events)).toBe(billed(stack) - before);
  },
);

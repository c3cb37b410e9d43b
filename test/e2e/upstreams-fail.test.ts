/** Three upstreams under load, of which one dies, one is slow, and one answers 502: what was billed, held and written down. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { disagreements, readBalance, readEvents } from './books.ts';
import { type Stack, startStack } from './stack.ts';

const folder = mkdtempSync(join(tmpdir(), 'tollgate-upstreams-'));
const CLIENTS = 8;
const GRANT = '0.02';
let simulators: Simulator[];
let stack: Stack;

beforeAll(async () => {
  simulators = await Promise.all(
    [1, 2, 3].map((seed) => startSimulator({ seed, profile: { firstByteMs: 5 } })),
  );
  const path = join(folder, 'tollgate.yaml');
  const lines = simulators.map(({ url }, at) => `  - { name: up-${at}, base_url: "${url}", key: sk-${at} }`);
  writeFileSync(path, `upstreams:\n${lines.join('\n')}\n`);
  stack = await startStack({ env: { TOLLGATE_CONFIG_FILE: path, TOLLGATE_QUEUE_TIMEOUT_MS: '500' } });
});
afterAll(async () => {
  await stack.stop();
  await Promise.all(simulators.map((each) => each.close()));
  rmSync(folder, { recursive: true });
});

it('nothing is lost or billed twice, no budget is passed, and the calls go on', async () => {
  const { teamId } = await stack.team();
  await stack.admin('POST', '/grants', { team_id: teamId, amount_usd: GRANT, max_unknown_usd: GRANT });
  const { key } = await stack.admin<{ key: string }>('POST', '/keys', { team_id: teamId, name: 'all' });
  const [dying, slow, bad] = simulators as [Simulator, Simulator, Simulator];
  const statuses: number[] = [];
  const ask = async (client: number, turn: number) => {
    const content = `client ${client}, turn ${turn}`;
    const body = { model: 'gpt-4o-mini', max_completion_tokens: 60, messages: [{ role: 'user', content }] };
    const response = await stack.post(key, '/chat/completions', { ...body, stream: turn % 2 === 0 });
    await response.text().catch(() => '');
    statuses.push(response.status);
  };
  const run = async (turns: number) => {
    const clients = Array.from({ length: CLIENTS }, async (_, client) => {
      for (let turn = 0; turn < turns; turn++) await ask(client, turn);
    });
    await Promise.all(clients);
  };
  await run(3);
  bad.setProfile({ faults: { html_502: 1 } });
  slow.setProfile({ firstByteMs: 250 });
  const running = run(6);
  await expect.poll(() => statuses.length, { timeout: 30_000 }).toBeGreaterThan(CLIENTS * 4);
  await dying.close();
  await running;
  statuses.length = 0;
  await run(2);
  // Only the slow one is left, and it has nearly all of the calls.
  expect(statuses.filter((status) => status === 200).length).toBeGreaterThan(CLIENTS);

  await stack.idle();
  const events = await readEvents(stack, teamId);
  const lines = simulators.flatMap((each) => each.invoice().lines);
  const calls = lines.filter(({ operation }) => operation === 'chat.completions');
  const read = new Set(calls.map(({ client_request_id: id }) => id));
  // Written to the one that died before it read them: nobody knows, so they stay charged at their holds.
  const unread = events.filter(({ outcome, upstream, id }) => {
    return outcome === 'unknown' && upstream === 'up-0' && !read.has(id);
  });
  expect(unread.length).toBeLessThanOrEqual(CLIENTS);
  for (const { cost_usd, hold_usd } of unread) expect(cost_usd).toBe(hold_usd);
  const sent = events.filter((each) => each.reason !== 'upstream_unreachable' && !unread.includes(each));
  // The call that the dying one cut has no fault on its line.
  expect(disagreements(sent, calls, () => true)).toEqual([]);
  const unreachable = events.filter(({ reason }) => reason === 'upstream_unreachable');
  expect(unreachable.every(({ cost_usd, upstream }) => usd(cost_usd) === 0n && upstream === 'up-0')).toBe(
    true,
  );
  const billed = lines.reduce((sum, { cost_pico_usd }) => sum + BigInt(cost_pico_usd), 0n);
  expect(billed).toBeLessThanOrEqual(usd(GRANT));
  const balance = await readBalance(stack, teamId);
  expect(usd(balance.settled_usd)).toBeLessThanOrEqual(usd(GRANT));
  expect(usd(balance.held_usd)).toBe(0n);
});

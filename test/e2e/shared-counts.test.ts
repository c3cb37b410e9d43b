/** What an input was counted at through one instance bounds it on another: of the same gateway at once, of a replica where it decides. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Config, readConfig } from '../../src/config.ts';
import type { InputCount } from '../../src/domain/input-count.ts';
import { usd } from '../../src/domain/money.ts';
import { type App, startApp } from '../../src/main/start.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { readEvents } from './books.ts';
import { ADMIN_KEY, type Stack, startStack } from './stack.ts';

let stack: Stack;
const apps: App[] = [];
const folders: string[] = [];

/** An instance beside the stack's own. @param tellCounts gets what it lets its other workers know; null: it is a replica */
async function startInstance(tellCounts: ((counts: readonly InputCount[]) => void) | null): Promise<App> {
  const dataDir = mkdtempSync(join(tmpdir(), 'tollgate-shared-'));
  folders.push(dataDir);
  const config = readConfig({
    PORT: '0',
    OPENAI_API_KEY: 'sk-upstream',
    OPENAI_BASE_URL: stack.simulator.url,
    TOLLGATE_DATA_DIR: dataDir,
    TOLLGATE_ADMIN_KEY: ADMIN_KEY,
  }) as Config;
  const log = createLog({ level: 'silent', logCalls: false, secrets: [] });
  const group =
    tellCounts === null
      ? null
      : {
          supervisorPid: process.pid,
          pids: () => [1, 2],
          tellCounts,
          metricsPage: async () => null,
          isAnyReady: async () => true,
        };
  const app = await startApp({ config, log, version: 'test', connection: stack.database.connection, group });
  apps.push(app);
  return app;
}

beforeAll(async () => {
  stack = await startStack();
});
afterAll(async () => {
  for (const app of apps) await app.stop();
  await stack.stop();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** A conversation that the model has taken part in: what others begin with is remembered only where its team went on with one. */
const history = (team: string) => [
  { role: 'system', content: `You work for ${team}. ${'You are a careful agent. '.repeat(400)}` },
  { role: 'user', content: 'Mend the build.' },
  { role: 'assistant', content: 'Which one?' },
  { role: 'user', content: 'The last.' },
];
const OUTPUT = 100;

async function chat(url: string, key: string, messages: object[]): Promise<number> {
  const body = { model: 'gpt-5-mini', max_completion_tokens: OUTPUT, messages };
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  await response.text();
  return response.status;
}

/** The input that each call was held at, over what it was billed. */
async function ratios(teamId: string): Promise<number[]> {
  const events = await readEvents(stack, teamId);
  return events.map(({ hold_usd, input_tokens }) => {
    const held = Number((usd(hold_usd) - BigInt(OUTPUT) * 2_000_000n) / 250_000n);
    return held / (input_tokens ?? 0);
  });
}

it('is known to another worker in a moment', async () => {
  const told: InputCount[] = [];
  const second = await startInstance(null);
  const first = await startInstance((counts) => {
    told.push(...counts);
    second.takeCounts(counts);
  });
  const { teamId, key } = await stack.team({ grantUsd: '1000.00' });
  expect(await chat(first.url, key, history(teamId))).toBe(200);
  await expect.poll(() => told.length, { timeout: 30_000 }).toBeGreaterThan(1);
  expect(await chat(second.url, key, [...history(teamId), { role: 'user', content: 'Go on.' }])).toBe(200);
  await expect.poll(async () => (await ratios(teamId)).length, { timeout: 30_000 }).toBe(2);
  const [alone, shared] = await ratios(teamId);
  expect(alone).toBeGreaterThan(3);
  expect(shared).toBeLessThan(1.2);
});

it('is found by a replica where its own bound would be refused, and not where there is plenty', async () => {
  const replica = await startInstance(null);
  const isKnown = async (teamId: string) => {
    const rows = await stack.database.sql`select 1 from input_counts where team_id = ${teamId}`;
    return rows.length > 0;
  };
  // Instances know of each other by their heartbeats.
  const first = async (team: { teamId: string; key: string }) => {
    await expect
      .poll(
        async () => {
          await chat(stack.app.url, team.key, history(team.teamId));
          return isKnown(team.teamId);
        },
        { timeout: 30_000, interval: 300 },
      )
      .toBe(true);
  };
  const rich = await stack.team({ grantUsd: '1000.00' });
  await first(rich);
  expect(await chat(replica.url, rich.key, history(rich.teamId))).toBe(200);
  // 10 kB are $0.0025 and the answer $0.0002: half of that is left.
  const poor = await stack.team({ grantUsd: '1000.00' });
  await first(poor);
  await stack.settled();
  const spent = (await readEvents(stack, poor.teamId)).reduce((sum, { cost_usd }) => sum + usd(cost_usd), 0n);
  const amount = spent + usd('0.0020');
  await stack.admin('POST', '/limits', {
    subject: { type: 'team', id: poor.teamId },
    meter: 'cost_usd',
    amount: `${amount / 1_000_000_000_000n}.${String(amount % 1_000_000_000_000n).padStart(12, '0')}`,
    window: { type: 'lifetime' },
    enforcement: 'strict',
  });
  await expect
    .poll(() => chat(replica.url, poor.key, [...history(poor.teamId), { role: 'user', content: 'On.' }]), {
      timeout: 30_000,
    })
    .toBe(200);
  await expect.poll(async () => (await ratios(rich.teamId)).at(-1), { timeout: 30_000 }).toBeGreaterThan(3);
  await expect.poll(async () => (await ratios(poor.teamId)).at(-1), { timeout: 30_000 }).toBeLessThan(1.2);
});

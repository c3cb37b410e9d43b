import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { apiKeyIdOf } from '../../src/simulator/keys.ts';
import { startStack } from '../e2e/stack.ts';

const ADMIN = 'sk-admin-of-the-upstream';

/** What runs by itself is waited for. */
async function eventually<Value>(read: () => Promise<Value | undefined>): Promise<Value> {
  for (;;) {
    const value = await read();
    if (value !== undefined) return value;
    await delay(50);
  }
}

it('the gateway reconciles when an admin key is set, and sends that key with no call', async () => {
  const env = { OPENAI_ADMIN_KEY: ADMIN, TOLLGATE_RECONCILE_INTERVAL_MS: '1000' };
  const stack = await startStack({ env });
  try {
    const { key } = await stack.team({ grantUsd: '18.00' });
    const body = { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'hello' }] };
    expect((await stack.post(key, '/chat/completions', body)).status).toBe(200);
    const page = async () => (await fetch(`${stack.app.url}/metrics`)).text();
    const lastRun = await eventually(
      async () => /^tollgate_reconcile_last_run_timestamp_seconds (\S+)$/m.exec(await page())?.[1],
    );
    expect(Math.abs(Number(lastRun) - Date.now() / 1000)).toBeLessThan(60);
    const { lines } = stack.simulator.invoice();
    const ofAdmin = lines.filter((line) => line.api_key_id === apiKeyIdOf(`Bearer ${ADMIN}`));
    expect(ofAdmin.every((line) => line.operation?.startsWith('usage.'))).toBe(true);
    expect(lines.some((line) => line.operation === 'chat.completions')).toBe(true);
  } finally {
    await stack.stop();
  }
});

it('a usage report that cannot be read does not affect calls', async () => {
  const env = { OPENAI_ADMIN_KEY: 'sk-no-admin', TOLLGATE_RECONCILE_INTERVAL_MS: '1000' };
  const stack = await startStack({ env });
  try {
    const { teamId, key } = await stack.team({ grantUsd: '18.00' });
    const body = { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'hello' }] };
    await stack.post(key, '/chat/completions', body);
    await stack.post(key, '/chat/completions', body, { 'x-simulator': 'fault=html_502' });
    await stack.settled();
    // As if it had been three hours ago, so that the job wants to read of it.
    const { sql } = stack.database;
    await sql`update usage_events set created_at = created_at - interval '3 hours'`;
    const lines = () => stack.simulator.invoice().lines;
    await eventually(async () => lines().find(({ status }) => status === 403));
    expect((await stack.post(key, '/chat/completions', body)).status).toBe(200);
    const balance = await stack.admin<{ unknown_usd: string }>('GET', `/teams/${teamId}/balance`);
    expect(balance.unknown_usd).not.toBe('0.00');
  } finally {
    await stack.stop();
  }
});

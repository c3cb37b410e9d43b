import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { spendAgainst } from '../../src/demo/against.ts';
import { ADMIN_KEY, startStack } from '../e2e/stack.ts';

it('sample traffic spends at a gateway elsewhere, and leaves no key behind', async () => {
  const stack = await startStack();
  try {
    const stop = new AbortController();
    const { url } = stack.app;
    const spent = spendAgainst({ url, adminKey: ADMIN_KEY, callsPerSecond: 40, signal: stop.signal });
    const { sql } = stack.database;
    const calls = async () =>
      (await sql<{ calls: number }[]>`select count(*)::int4 as calls from usage_events`)[0]!.calls;
    while ((await calls()) < 10) await delay(50);
    stop.abort();
    await spent;
    expect(await sql`select name from keys where revoked_at is null`).toEqual([]);
    expect((await sql`select name from teams where deleted_at is null`).length).toBeGreaterThan(4);
  } finally {
    await stack.stop();
  }
});

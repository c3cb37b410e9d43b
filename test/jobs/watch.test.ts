import { expect, it } from 'vitest';
import { startWatch } from '../../src/jobs/watch.ts';
import { openDatabase } from '../../src/store/database.ts';
import { createTestDatabase } from '../support/postgres.ts';

it('a reading is shown for a minute, and none while Postgres does not respond', async () => {
  const test = await createTestDatabase();
  let nowMs = 0;
  const errors: unknown[] = [];
  const client = openDatabase(test.connection);
  const watch = startWatch({
    db: client.db,
    budgetsMax: 10,
    onError: (error) => errors.push(error),
    intervalMs: 10,
    monotonicMs: () => nowMs,
  });
  try {
    expect(watch.latest()).toBeNull();
    await expect.poll(() => watch.latest()).toMatchObject({ unresolved: 0n, roundTripSeconds: 0 });
    await client.close();
    await expect.poll(() => errors.length).toBeGreaterThan(0);
    nowMs = 59_999;
    expect(watch.latest()).not.toBeNull();
    nowMs = 60_000;
    expect(watch.latest()).toBeNull();
  } finally {
    await watch.stop();
    await test.drop();
  }
});

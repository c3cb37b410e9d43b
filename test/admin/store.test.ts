/** The history of the store, as admins see and decide it. */
import { randomUUID } from 'node:crypto';
import { afterAll, expect, test } from 'vitest';
import { acceptLoss, readHistoryState } from '../../src/store/history.ts';
import { registerInstance } from '../../src/store/hot/instances.ts';
import { PostgresLedgerStore } from '../../src/store/hot/ledger-store.ts';
import { createTestDatabase } from '../support/postgres.ts';

const { database, drop } = await createTestDatabase();
afterAll(drop);

test('money is lent again once an admin accepts the loss of the instances that are waited for; gaps are named', async () => {
  const store = new PostgresLedgerStore(database.sql);
  const [living, dead] = [randomUUID(), randomUUID()];
  for (const id of [living, dead]) await registerInstance(database.sql, id);
  const { seen } = await store.heartbeat(living);
  await store.beginEpoch('a test');
  await expect(store.heartbeat(living, seen)).rejects.toMatchObject({ name: 'StoreWentBack' });
  const joined = await store.rejoin({ instanceId: living, seen, known: [[dead, 7]] }, []);
  const last = { holds: [], flushed: 0 };
  await store.putBack({ instanceId: living, epoch: joined.epoch, events: [], last });
  const { isLending } = await store.heartbeat(living, joined);
  expect(isLending).toBe(false);
  const state = await readHistoryState(database);
  expect(state.awaited.map(({ id, knownFlushed }) => [id, knownFlushed])).toEqual([[dead, 7]]);
  expect(await acceptLoss(database, { reason: 'its disk is lost', actor: 'admin key' })).toBe('accepted');
  expect((await store.heartbeat(living, joined)).isLending).toBe(true);
  const after = await readHistoryState(database);
  expect(after.gaps).toMatchObject([{ instanceId: dead, firstNumber: 1, lastNumber: 7 }]);
  expect(after.history).toMatchObject({ acceptedBy: 'admin key', acceptedReason: 'its disk is lost' });
  expect(await acceptLoss(database, { reason: 'again', actor: 'admin key' })).toMatchObject({
    code: 'conflict',
  });
});

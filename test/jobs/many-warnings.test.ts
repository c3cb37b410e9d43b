/** A team whose limit warns of thousands of end users at once: nobody else's warnings wait for it. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { notify } from '../../src/jobs/notify.ts';
import { warn } from '../../src/jobs/warn.ts';
import { counterOf, createTestAdmin, createTestInstance, type TestAdmin } from '../admin/support.ts';

const NOW = '2026-11-24T10:00:00.000Z';
const THRESHOLDS = [50, 80, 100];
/** Their warnings are more than one statement could insert, and many times what is read at once. */
const COUNTERS = 2_450;

let admin: TestAdmin;
beforeAll(async () => {
  admin = await createTestAdmin(NOW);
});
afterAll(() => admin.close());

/** A team that has spent a part of its limit of a dollar. */
async function spending(name: string, costUsd: string) {
  const { id: teamId } = await admin.make('/teams', { name, plan: null });
  const { id: keyId } = await admin.make('/keys', { team_id: teamId, name: 'app' });
  const window = { type: 'lifetime' };
  const subject = { type: 'team', id: teamId };
  const limit = await admin.make('/limits', { subject, meter: 'cost_usd', amount: '1', window });
  const { call } = await createTestInstance(admin.database);
  const counter = counterOf('limit', limit, teamId, 0);
  const pools = [[{ counter, heldUsd: costUsd, settledUsd: costUsd }]];
  await call({ teamId, keyId, atMs: Date.parse(NOW), costUsd, pools });
  return teamId;
}

test('thousands of warnings are all raised, and each recipient gets each once', async () => {
  const { database } = admin;
  const many = await spending('many', '1');
  const columns = database.sql`team_id, source, source_id, subject_type, subject_id, meter, starts_at, amount, settled`;
  await database.sql`
    insert into counters (id, ${columns})
    select c.id || '/' || n, ${columns} from counters c, generate_series(2, ${String(COUNTERS)}::int8) n
    where c.team_id = ${many}`;
  const quiet = await spending('quiet', '0.6');
  for (const subject of [{ type: 'org' }, { type: 'team', id: quiet }])
    await admin.make('/recipients', { subject, kind: 'email', address: 'a@example.com', wants: ['warning'] });

  const raised = (await warn(database, { thresholds: THRESHOLDS, deliver: false })) ?? [];
  expect(raised.filter(({ teamId }) => teamId === many)).toHaveLength(COUNTERS * THRESHOLDS.length);
  expect(raised.filter(({ teamId }) => teamId === quiet)).toHaveLength(1);

  const notices = (await notify({ database, spikeTimes: 5 })) ?? [];
  expect(notices.filter(({ teamId }) => teamId === many)).toHaveLength(COUNTERS * THRESHOLDS.length);
  expect(notices.filter(({ teamId }) => teamId === quiet)).toHaveLength(2);
  expect(await notify({ database, spikeTimes: 5 })).toEqual([]);
}, 120_000);

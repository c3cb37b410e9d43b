import { afterAll, beforeAll, expect, test } from 'vitest';
import { catalogChanges } from '../../src/store/hot/catalog.ts';
import { counterOf, createTestAdmin, createTestInstance, type Json, type TestAdmin } from './support.ts';

let admin: TestAdmin;
beforeAll(async () => {
  admin = await createTestAdmin();
});
afterAll(() => admin.close());

interface Marked {
  /** Limits or grants of these teams changed. */
  rules: string[];
  /** These are read again for another reason. */
  reread: string[];
}

async function changesOf(change: () => Promise<unknown>): Promise<Marked> {
  const { version } = await catalogChanges(admin.database.sql, 0);
  await change();
  const after = await catalogChanges(admin.database.sql, version);
  expect(after.version).toBeGreaterThan(version);
  return { rules: after.teamIds, reread: after.rereadTeamIds };
}

test('every write raises the catalog version and marks the team that it changed', async () => {
  const team = await admin.make('/teams', { name: 'research' });
  const other = await admin.make('/teams', { name: 'other' });
  let made: Json = team;
  const post = (path: string, body: unknown) => async () => {
    made = await admin.make(path, body);
  };
  const subject = { type: 'team', id: team.id };
  const limit = { subject, meter: 'cost_usd', amount: '1', window: { type: 'lifetime' } };
  const others = [
    () => admin.ask('PATCH', `/teams/${team.id}`, { unlimited: true }),
    post('/keys', { team_id: team.id, name: 'app' }),
    () => admin.ask('PATCH', `/keys/${made.id}`, { models: ['gpt-4o-mini'] }),
    () => admin.ask('DELETE', `/keys/${made.id}`),
  ];
  for (const step of others) expect(await changesOf(step)).toEqual({ rules: [], reread: [team.id] });
  const steps: [() => Promise<unknown>, ...(() => Promise<unknown>)[]][] = [
    [
      post('/limits', limit),
      () => admin.ask('PATCH', `/limits/${made.id}`, { amount: '2' }),
      () => admin.ask('DELETE', `/limits/${made.id}`),
    ],
    [
      post('/grants', { team_id: team.id, amount_usd: '1' }),
      () => admin.ask('PATCH', `/grants/${made.id}`, { amount_usd: '2' }),
      () => admin.ask('DELETE', `/grants/${made.id}`),
    ],
    [() => admin.ask('DELETE', `/teams/${team.id}`)],
  ];
  for (const step of steps.flat()) expect(await changesOf(step)).toEqual({ rules: [team.id], reread: [] });
  expect(await changesOf(post('/teams', { name: 'new' }))).toEqual({ rules: [made.id], reread: [] });
  const price = { model: 'chat-1', input_usd: '1', output_usd: '1', source: 'x' };
  const nobody = { rules: [], reread: [] };
  expect(await changesOf(post('/prices', price))).toEqual(nobody);
  expect(await changesOf(() => admin.ask('DELETE', `/prices/${made.id}`))).toEqual(nobody);
  expect(other.id).not.toBe(team.id);
});

test('with many writes at once no change becomes visible under a version that was already read', async () => {
  const { sql } = admin.database;
  const teams = await Promise.all([1, 2, 3, 4].map((n) => admin.make('/teams', { name: `racing ${n}` })));
  const expected = new Map<string, number>();
  const seen = new Set<string>();
  let { version } = await catalogChanges(sql, 0);
  let writing = true;
  const watch = (async () => {
    while (writing) {
      const change = await catalogChanges(sql, version);
      for (const id of change.rereadTeamIds) seen.add(`${id}@${change.version}`);
      version = change.version;
    }
  })();
  await Promise.all(
    teams.flatMap((team) =>
      Array.from({ length: 10 }, async (_, n) => {
        await admin.make('/keys', { team_id: team.id, name: `key ${n}` });
        expected.set(team.id, (expected.get(team.id) ?? 0) + 1);
      }),
    ),
  );
  writing = false;
  await watch;
  const last = await catalogChanges(sql, version);
  for (const id of last.rereadTeamIds) seen.add(`${id}@${last.version}`);
  const rows = await sql<{ id: string; version: number }[]>`
    select id, warned_at_version::float8 as version from teams where id = any(${teams.map((team) => team.id)})`;
  // The watcher only ever asked "what is newer than what I know": every team's last change must have been told.
  for (const row of rows) {
    const told = [...seen]
      .filter((each) => each.startsWith(row.id))
      .map((each) => Number(each.split('@')[1]));
    expect(Math.max(...told)).toBeGreaterThanOrEqual(row.version);
  }
});

test('a change is repeated after a deadlock', async () => {
  const { sql } = admin.database;
  const team = await admin.make('/teams', { name: 'busy', plan: null });
  const limit = await admin.make('/limits', {
    subject: { type: 'team', id: team.id },
    meter: 'cost_usd',
    amount: '1000',
    window: { type: 'lifetime' },
  });
  const instance = await createTestInstance(admin.database);
  await instance.hold(counterOf('limit', limit, team.id, 0), '1');
  const changed = await sql.begin(async (tx) => {
    // Counter first, then team: the other way round than the change, which is the first to look for a deadlock.
    await tx`set local deadlock_timeout = '20s'`;
    await tx`select 1 from counters where source_id = ${limit.id} for update`;
    const answer = admin.ask('PATCH', `/limits/${limit.id}`, { amount: '3' });
    await until(async () => {
      const rows = await sql`select 1 from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'`;
      return rows.length > 0;
    });
    await tx`select 1 from teams where id = ${team.id} for update`;
    return { answer };
  });
  expect(await changed.answer).toMatchObject({ status: 200, body: { amount: '3.00' } });
  const [counter] = await sql`select amount::float8 from counters where source_id = ${limit.id}`;
  expect(counter?.amount).toBe(3);
});

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition()));
}

import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { readMigrationFiles } from 'drizzle-orm/migrator';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ORGANIZATION_ID } from '../../src/domain/limit.ts';
import { closeClient, openClient, type Sql } from '../../src/store/database.ts';
import { migrate, migrateDatabase } from '../../src/store/migrate.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';

const MIGRATIONS = fileURLToPath(new URL('../../drizzle', import.meta.url));
/** Those before the constraints. */
const BEFORE = 13;

const TEAM = randomUUID();
const NOBODY = randomUUID();
const NOW = '2026-11-20T12:00:00Z';

const limitRow = (changes: Record<string, unknown> = {}) => ({
  id: randomUUID(),
  team_id: TEAM,
  subject_type: 'team',
  subject_id: TEAM,
  meter: 'cost_usd',
  amount: '5',
  window: { type: 'lifetime' },
  enforcement: 'strict',
  created_at: NOW,
  ...changes,
});
const counterRow = (changes: Record<string, unknown> = {}) => {
  const id = randomUUID();
  const row = {
    team_id: TEAM,
    id: `${id}@0`,
    source: 'limit',
    source_id: id,
    subject_type: 'team',
    subject_id: TEAM,
  };
  return { ...row, meter: 'cost_usd', starts_at: NOW, amount: '5', ...changes };
};
const eventRow = (changes: Record<string, unknown> = {}) => ({
  team_id: TEAM,
  created_at: NOW,
  id: randomUUID(),
  key_id: randomUUID(),
  instance_id: randomUUID(),
  operation: 'responses',
  model: 'm',
  stream: false,
  outcome: 'settled',
  provenance: 'reported',
  input_tokens: 1,
  cached_input_tokens: 0,
  cache_write_tokens: 0,
  output_tokens: 1,
  reasoning_tokens: 0,
  cost_usd: '1',
  hold_usd: '1',
  allocations: '[]',
  stage_us: '{}',
  ...changes,
});
const keyRow = (changes: Record<string, unknown> = {}) => {
  const hash = randomUUID();
  return { id: randomUUID(), team_id: TEAM, name: 'k', hash, prefix: 'tg-', created_at: NOW, ...changes };
};
const grantRow = (changes: Record<string, unknown> = {}) => {
  const row = { id: randomUUID(), team_id: TEAM, amount_usd: '18', starts_at: NOW, created_at: NOW };
  return { ...row, ...changes };
};
const insert = (sql: Sql, table: string, row: Record<string, unknown>) => {
  const values = 'window' in row ? { ...row, window: sql.json(row.window as { type: string }) } : row;
  return sql`insert into ${sql(table)} ${sql([values])}`;
};

/** A database of the release before the constraints, with rows of every table that gets one. */
async function filledDatabase(): Promise<TestDatabase> {
  const test = await createTestDatabase({ migrated: false });
  const { sql } = test.database;
  await migrate(sql, readMigrationFiles({ migrationsFolder: MIGRATIONS }).slice(0, BEFORE));
  await insert(sql, 'teams', { id: TEAM, name: 'ada', created_at: NOW });
  await insert(sql, 'keys', keyRow());
  await insert(sql, 'grants', grantRow());
  await insert(sql, 'limits', limitRow());
  await insert(sql, 'limits', limitRow({ team_id: ORGANIZATION_ID, subject_type: 'org', subject_id: null }));
  await insert(sql, 'counters', counterRow());
  const head = randomUUID();
  await insert(sql, 'counters', counterRow({ id: `${head}@head/ada`, source_id: head, rolling_ms: 1000 }));
  await insert(sql, 'usage_events', eventRow());
  return test;
}

async function notValidated(sql: Sql): Promise<string[]> {
  const rows = await sql<{ conname: string }[]>`
    select conname from pg_constraint where not convalidated order by 1`;
  return rows.map((row) => row.conname);
}

describe('a filled database of the release before the constraints', () => {
  let test: TestDatabase;
  beforeAll(async () => {
    test = await filledDatabase();
    await migrateDatabase(test.connection);
  });
  afterAll(() => test.drop());

  it('keeps every row, and all of its constraints hold', async () => {
    const { sql } = test.database;
    expect(await notValidated(sql)).toEqual([]);
    for (const [table, rows] of Object.entries({
      keys: 1,
      grants: 1,
      limits: 2,
      counters: 2,
      usage_events: 1,
    })) {
      const [row] = await sql`select count(*)::int4 as rows from ${sql(table)}`;
      expect(row, table).toEqual({ rows });
    }
  });

  it('knows the heads of rolling windows by a column', async () => {
    const rows = await test.database.sql<{ id: string }[]>`select id from counters where is_head`;
    expect(rows.map(({ id }) => id.split('@')[1])).toEqual(['head/ada']);
  });

  it.each([
    ['keys', keyRow({ team_id: NOBODY }), 'keys_team_id_teams_id_fk'],
    ['grants', grantRow({ team_id: NOBODY }), 'grants_team_id_teams_id_fk'],
    ['limits', limitRow({ team_id: NOBODY }), 'limits_team_id_teams_id_fk'],
    ['limits', limitRow({ meter: 'cents' }), 'limits_meter'],
    ['limits', limitRow({ subject_type: 'person' }), 'limits_subject_type'],
    ['limits', limitRow({ enforcement: 'hard' }), 'limits_enforcement'],
    ['limits', limitRow({ window: {} }), 'limits_window'],
    ['counters', counterRow({ source: 'plan' }), 'counters_source'],
    ['counters', counterRow({ meter: 'cents' }), 'counters_meter'],
    ['counters', counterRow({ subject_type: 'person' }), 'counters_subject_type'],
    [
      'instances',
      { id: NOBODY, status: 'dead', started_at: NOW, heartbeat_at: NOW, generation: 99 },
      'instances_status',
    ],
    ['usage_events', eventRow({ outcome: 'lost' }), 'usage_events_outcome'],
    ['usage_events', eventRow({ provenance: 'guessed' }), 'usage_events_provenance'],
  ])('refuses a bad row of %s', async (table, row, constraint) => {
    await expect(insert(test.database.sql, table, row)).rejects.toMatchObject({ constraint });
  });

  it('still takes good rows, also of the organization', async () => {
    const { sql } = test.database;
    await insert(
      sql,
      'limits',
      limitRow({ team_id: ORGANIZATION_ID, subject_type: 'org', subject_id: null }),
    );
    await insert(sql, 'usage_events', eventRow({ outcome: 'unknown', provenance: 'unknown' }));
  });
});

it('a row that breaks a constraint already stops no start; that constraint is for new rows alone', async () => {
  const test = await filledDatabase();
  try {
    const { sql } = test.database;
    await insert(sql, 'keys', keyRow({ team_id: NOBODY }));
    await insert(sql, 'usage_events', eventRow({ outcome: 'lost' }));
    await migrateDatabase(test.connection);
    const all = await notValidated(sql);
    // A partition has the constraint of its table.
    expect([...new Set(all)]).toEqual(['keys_team_id_teams_id_fk', 'usage_events_outcome']);
    await expect(insert(sql, 'keys', keyRow({ team_id: NOBODY }))).rejects.toThrow(/foreign key/);
    await expect(insert(sql, 'usage_events', eventRow({ outcome: 'lost' }))).rejects.toThrow(/outcome/);
  } finally {
    await test.drop();
  }
});

it('readers of calls wait for no validation: the constraints are added in a transaction before it', async () => {
  const test = await filledDatabase();
  try {
    const { sql } = test.database;
    const migrations = readMigrationFiles({ migrationsFolder: MIGRATIONS });
    await migrate(sql, migrations.slice(0, BEFORE + 1));
    expect(await notValidated(sql)).toContain('usage_events_outcome');
    // A read that goes on, with its locks, all through the validation.
    const other = openClient(test.connection, 1);
    await sql.begin({ deadlineMs: 60_000 }, async (reader) => {
      await reader`select count(*) from usage_events`;
      await migrate(other, migrations.slice(0, BEFORE + 2));
    });
    await closeClient(other);
    expect(await notValidated(sql)).toEqual([]);
  } finally {
    await test.drop();
  }
});

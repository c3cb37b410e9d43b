/**
 * From the last release to this one: a database with its schema and rows is migrated, what a process of it still does
 * afterwards is what it may do, and a journal that it left is adopted.
 */
import { copyFileSync, cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { readMigrationFiles } from 'drizzle-orm/migrator';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { asId, type CounterId, type LimitId, type TeamId } from '../../src/domain/ids.ts';
import { costOf } from '../../src/domain/price.ts';
import { adoptDeadJournals } from '../../src/ledger/recovery.ts';
import type { Sql } from '../../src/store/database.ts';
import { closeClient, openClient } from '../../src/store/database.ts';
import { registerInstance } from '../../src/store/hot/instances.ts';
import { PostgresLedgerStore } from '../../src/store/hot/ledger-store.ts';
import { migrate, migrateDatabase } from '../../src/store/migrate.ts';
import { readPrices } from '../../src/store/rate-cards.ts';
import { loadSeed } from '../../src/store/seed-load.ts';
import { readUsage } from '../../src/store/usage.ts';
import { temporaryFolder } from '../support/folder.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { oldCost, oldPrices } from './last-release.ts';

const LAST_MIGRATION = '0010_unknown_by_day';
const MIGRATIONS = fileURLToPath(new URL('../../drizzle', import.meta.url));
const JOURNAL = fileURLToPath(new URL('../fixtures/last-release-journal.jsonl', import.meta.url));

/** As they stand in the journal of the fixture. */
const INSTANCE = '019ab5d0-0000-7000-8000-000000000001';
const TEAM = '019ab5d0-0000-7000-8000-0000000000aa';
const LIMIT = '019ab5d0-0000-7000-8000-0000000000cc';

let testDatabase: TestDatabase;
let sql: Sql;
beforeEach(async () => {
  testDatabase = await createTestDatabase({ migrated: false });
  sql = testDatabase.database.sql;
  await migrateToLastRelease();
  await makePartitionsOfLastRelease();
  await sql`insert into teams (id, name, created_at) values (${TEAM}, 'team', now())`;
  await sql`
    insert into limits (id, team_id, subject_type, meter, amount, "window", enforcement, created_at)
    values (${LIMIT}, ${TEAM}, 'team', 'cost_usd', 10, '{"type": "lifetime"}', 'strict', now())`;
  await sql`
    insert into counters (team_id, id, source, source_id, subject_type, subject_id, meter, starts_at, amount)
    values (${TEAM}, ${`${LIMIT}@0`}, 'limit', ${LIMIT}, 'team', ${TEAM}, 'cost_usd', 'epoch', 10)`;
});
afterEach(() => testDatabase.drop());

async function migrateToLastRelease(): Promise<void> {
  const folder = await temporaryFolder();
  cpSync(MIGRATIONS, folder, { recursive: true });
  const path = join(folder, 'meta/_journal.json');
  const journal = JSON.parse(readFileSync(path, 'utf8')) as { entries: { tag: string }[] };
  const end = journal.entries.findIndex(({ tag }) => tag === LAST_MIGRATION) + 1;
  writeFileSync(path, JSON.stringify({ ...journal, entries: journal.entries.slice(0, end) }));
  const client = openClient(testDatabase.connection, 1);
  await migrate(client, readMigrationFiles({ migrationsFolder: folder }));
  await closeClient(client);
}

/** This month's and the next, as the last release made them: by itself, where this one has a function of the database. */
async function makePartitionsOfLastRelease(): Promise<void> {
  const now = new Date();
  for (const ahead of [0, 1]) {
    const [start, end] = [ahead, ahead + 1].map((months) =>
      new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + months, 1)).toISOString(),
    );
    const name = `usage_events_${start!.slice(0, 7).replace('-', '_')}`;
    await sql.unsafe(`create table "${name}" (like usage_events including all)`);
    await sql.unsafe(
      `alter table usage_events attach partition "${name}" for values from ('${start}') to ('${end}')`,
    );
  }
}

/** The statements by which the last release registered an instance, asked for a lease and flushed. */
const old = {
  register: (id: string) => sql`
    insert into instances (id, status, started_at, heartbeat_at)
    values (${id}, 'live', tollgate_now(), tollgate_now())`,
  lend: (amount: string) =>
    sql.begin(async (tx) => {
      await tx`select 1 from instances where id = ${INSTANCE} and status = 'live' for key share`;
      await tx`
        update counters c set leased = c.leased + g.amount::numeric
        from unnest(${[TEAM]}::text[], ${[`${LIMIT}@0`]}::text[], ${[amount]}::text[]) as g(team_id, id, amount)
        where c.team_id = g.team_id::uuid and c.id = g.id`;
      await tx`
        insert into leases (team_id, counter_id, instance_id, granted)
        select g.team_id::uuid, g.id, ${INSTANCE}, g.amount::numeric
        from unnest(${[TEAM]}::text[], ${[`${LIMIT}@0`]}::text[], ${[amount]}::text[]) as g(team_id, id, amount)
        on conflict (team_id, counter_id, instance_id) do update set granted = leases.granted + excluded.granted`;
    }),
  insertEvents: (json: string) => sql`
    with fresh as (
      insert into usage_events
      select * from json_populate_recordset(null::usage_events, ${json}::text::json)
      on conflict do nothing returning *)
    select id from fresh`,
  settle: (amount: string) => sql`
    with paid as (update leases set settled = settled + ${amount}::numeric where instance_id = ${INSTANCE})
    update counters set settled = settled + ${amount}::numeric, leased = leased - ${amount}::numeric`,
  end: () => sql`
    with ended as (update instances set status = 'stopped' where id = ${INSTANCE})
    update counters c set leased = c.leased - (l.granted - l.returned - l.settled) from leases l
    where l.instance_id = ${INSTANCE} and l.counter_id = c.id`,
};

const COLUMNS = `input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_usd`;

/** Events of two years in every kind, over the months that have partitions and those that have none; and their sums. */
async function insertCalls(count: number): Promise<void> {
  await sql.unsafe(`
    insert into usage_events (team_id, created_at, id, key_id, instance_id, operation, model, stream, outcome, provenance,
      hold_usd, allocations, stage_us, ${COLUMNS})
    select '${TEAM}', now() - n * interval '40 minutes', gen_random_uuid(), '${TEAM}', '${INSTANCE}',
      (array['chat.completions', 'responses', 'embeddings'])[1 + n % 3], 'model-' || n % 7, n % 2 = 0,
      (array['settled', 'settled', 'voided', 'unknown'])[1 + n % 4], 'reported', 0.1, '[]', '{"forward": 5}',
      n * 3, n, n % 5, n * 2, n % 2, n / 1000000000000.0
    from generate_series(1, ${count}) n`);
  for (const [table, start, interval] of [
    ['usage_rollups', 'bucket_start', '15 minutes'],
    ['usage_days', 'day', '1 day'],
  ]) {
    await sql.unsafe(`
      insert into ${table} (team_id, ${start}, key_id, model, operation, calls, voided_calls, unknown_calls, unknown_usd,
        ${COLUMNS})
      select team_id, date_bin('${interval}', created_at, 'epoch'), key_id, model, operation, count(*),
        count(*) filter (where outcome = 'voided'), count(*) filter (where outcome = 'unknown'),
        coalesce(sum(cost_usd) filter (where outcome = 'unknown'), 0), ${COLUMNS.replaceAll(/\w+/g, 'sum($&)')}
      from usage_events group by 1, 2, 3, 4, 5`);
  }
}

/** A digest of every column that the last release knew, and the sums of one. */
async function contentOf(table: string, columns: readonly string[]) {
  const [row] = await sql.unsafe(`
    select count(*)::int4 as count, sum(cost_usd)::text as cost, sum(input_tokens + output_tokens)::text as tokens,
      md5(string_agg(t::text, '|' order by t::text)) as digest
    from (select ${columns.map((name) => `"${name}"`).join(', ')} from ${table}) t`);
  return row;
}

async function columnsOf(table: string): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`
    select column_name as name from information_schema.columns where table_name = ${table} order by ordinal_position`;
  return rows.map(({ name }) => name);
}

test('every row and every sum of the last release is the same after the migration', async () => {
  await insertCalls(30_000);
  const tables = ['usage_events', 'usage_rollups', 'usage_days'];
  const columns = new Map(
    await Promise.all(tables.map(async (table) => [table, await columnsOf(table)] as const)),
  );
  const contents = () => Promise.all(tables.map((table) => contentOf(table, columns.get(table) ?? [])));
  const before = await contents();
  expect(before[0]).toMatchObject({ count: 30_000 });
  await migrateDatabase(testDatabase.connection);
  expect(await contents()).toEqual(before);
  const question = {
    groupBy: [],
    interval: 'total',
    timeZone: 'UTC',
    from: null,
    to: null,
    limit: 10,
  } as const;
  const [total] = await readUsage(testDatabase.database, {
    ...question,
    teamIds: [asId(TEAM)],
    keyId: undefined,
  });
  expect(total).toMatchObject({ calls: 30_000, costUsd: before[0]?.cost, quantities: {} });
});

const USAGES = [
  [0, 0, 0, 0],
  [1, 0, 0, 0],
  [600, 300, 100, 50],
  [0, 12_345, 0, 7],
  [0, 0, 999, 1],
  [271_999, 1, 0, 3],
  [272_000, 1, 0, 3],
  [1_000_000_000, 2_000_000, 3_000_000, 128_000],
];

describe('prices of the last release', () => {
  beforeEach(async () => {
    for (const price of oldPrices()) {
      await sql`
        insert into prices (id, model, tier, effective_from, per_tokens, rates, long_context, long_context_above_tokens,
          source, origin, created_at)
        values (${price.id}, ${price.model}, ${price.tier}, ${new Date(price.effectiveFromMs)}, ${price.perTokens},
          ${sql.json({ ...price.rates })}, ${price.longContext && sql.json({ ...price.longContext })}, ${price.threshold},
          'a page', ${price.origin}, now())`;
    }
  });

  test('price the same, in every tier and band, of the seed and of admins', async () => {
    const prices = oldPrices();
    await migrateDatabase(testDatabase.connection);
    const migrated = await readPrices(
      sql,
      prices.map(({ id }) => id),
    );
    expect(migrated.size).toBe(prices.length);
    for (const price of prices) {
      for (const usage of USAGES) {
        const [uncached, cached, written, output] = usage as [number, number, number, number];
        const quantities = {
          input_tokens: uncached + cached + written,
          cached_input_tokens: cached,
          cache_write_tokens: written,
          output_tokens: output,
        };
        expect(costOf(quantities, migrated.get(price.id)!), `${price.id} ${usage}`).toBe(
          oldCost(price, usage),
        );
      }
    }
  });

  test('are the rows of the seed, and their new form is no change that an admin made', async () => {
    const [before] = await sql`select count(*)::int4 as count from audit_log`;
    await migrateDatabase(testDatabase.connection);
    await loadSeed(testDatabase.database);
    const [after] = await sql`select count(*)::int4 as count from audit_log`;
    expect(after).toEqual(before);
    await sql`update prices set source = 'another page' where id = 'admin-flex'`;
    const [entry] = await sql`select action, resource_id as id from audit_log order by at desc limit 1`;
    expect(entry).toEqual({ action: 'change', id: 'admin-flex' });
  });
});

test('readers of the calls are not kept waiting by a migration that waits for one of them', async () => {
  const reader = openClient(testDatabase.connection, 1);
  const { promise: done, resolve: finish } = Promise.withResolvers<void>();
  const reading = reader.begin(async (tx) => {
    await tx`select count(*) from usage_events`;
    await done;
  });
  await setTimeout(100);
  const migrated = migrateDatabase(testDatabase.connection);
  await setTimeout(500);
  // While the first reader holds on, and the migration waits or has given up for now.
  const slowest = await Promise.race([
    Promise.all([1, 2, 3].map(() => sql`select count(*) from usage_events`)),
    setTimeout(8_000, 'kept waiting'),
  ]);
  expect(slowest).not.toBe('kept waiting');
  finish();
  await reading;
  await closeClient(reader);
  await migrated;
  expect(await columnsOf('usage_events')).toContain('quantities');
}, 120_000);

describe('a process of the last release, on a migrated database', () => {
  beforeEach(async () => {
    await old.register(INSTANCE);
    await old.lend('1.00');
    await migrateDatabase(testDatabase.connection);
  });

  const counter = async () => {
    const [row] = await sql`select settled::text, leased::text from counters`;
    return row;
  };

  test('is lent nothing more, and told why', async () => {
    await expect(old.lend('1.00')).rejects.toThrow(
      `this Tollgate is older than its database (generation 0 of 1): instance ${INSTANCE} may not borrow from any budget`,
    );
    expect(await counter()).toEqual({ settled: '0.000000000000', leased: '1.000000000000' });
  });

  test('does not start', async () => {
    await expect(old.register('019ab5d0-0000-7000-8000-000000000002')).rejects.toThrow(
      'this Tollgate is older than its database',
    );
  });

  test('still settles what it holds, and ends', async () => {
    const settled = readFileSync(JOURNAL, 'utf8')
      .split('\n')
      .find((line) => line.slice(9, 10) === 'S')!
      .slice(11);
    expect(await old.insertEvents(`[${settled}]`)).toHaveLength(1);
    await old.settle('0.25');
    await old.end();
    expect(await counter()).toEqual({ settled: '0.250000000000', leased: '0.000000000000' });
  });

  test('leaves a journal that is adopted: what ended is settled, what was in flight is unknown', async () => {
    await sql`update instances set heartbeat_at = now() - interval '1 day'`;
    const folder = await temporaryFolder();
    copyFileSync(JOURNAL, join(folder, 'left.log'));
    const store = new PostgresLedgerStore(sql);
    const { adopted } = await adoptDeadJournals(store, folder);
    expect(adopted).toMatchObject([{ inserted: 4, unknown: 1 }]);
    const events = await sql`
      select outcome, provenance, model, end_user as "endUser", cost_usd::text as cost, input_tokens::int4 as input,
        quantities
      from usage_events order by id`;
    const none = { input: 0, endUser: null, quantities: null };
    expect(events).toEqual([
      {
        ...none,
        outcome: 'settled',
        provenance: 'reported',
        model: 'gpt-4o',
        cost: '0.002900000000',
        input: 1000,
      },
      {
        ...none,
        outcome: 'settled',
        provenance: 'estimated',
        model: 'gpt-4o',
        cost: '0.010000000000',
        endUser: 'Zoë "Z" 🙂',
      },
      { ...none, outcome: 'voided', provenance: 'reported', model: 'gpt-4o', cost: '0.000000000000' },
      { ...none, outcome: 'unknown', provenance: 'unknown', model: 'o3', cost: '0.010000000000' },
    ]);
    expect(await counter()).toEqual({ settled: '0.022900000000', leased: '0.000000000000' });
  });

  test('is succeeded by one of this release, which is lent what is left', async () => {
    const id = '019ab5d0-0000-7000-8000-000000000003';
    await registerInstance(sql, id);
    const counterSpec = {
      id: asId<CounterId>(`${LIMIT}@0`),
      teamId: asId<TeamId>(TEAM),
      source: 'limit',
      sourceId: asId<LimitId>(LIMIT),
      subjectType: 'team',
      subjectId: TEAM,
      meter: 'cost_usd',
      models: null,
      startsAtMs: 0,
      endsAtMs: null,
      rollingMs: null,
      amount: 10n ** 13n,
    } as const;
    const pools = [{ counters: [{ ...counterSpec, models: null }], min: 10n ** 12n, want: 10n ** 12n }];
    const store = new PostgresLedgerStore(sql);
    expect(await store.requestLease({ instanceId: id, teamId: asId(TEAM), pools })).toMatchObject({
      met: true,
    });
    expect(await counter()).toMatchObject({ leased: '2.000000000000' });
  });
});

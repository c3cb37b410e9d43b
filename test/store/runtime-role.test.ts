/** The owner of the tables migrates; another role, with no right to make tables or to change history, serves. */
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { closeClient, openClient, type Sql } from '../../src/store/database.ts';
import { ensurePartitions } from '../../src/store/partitions.ts';
import { GatewayProcess, until } from '../e2e/crash-gateway.ts';
import { temporaryFolder } from '../support/folder.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';

const BIN = fileURLToPath(new URL('../../bin/tollgate.mjs', import.meta.url));
const id = randomUUID().slice(0, 8);
const OWNER = `owner_${id}`;
const RUNTIME = `runtime_${id}`;

let test: TestDatabase;
let owner: Sql;
let runtime: Sql;
let simulator: Simulator;
const url = (user: string) => {
  const folder = encodeURIComponent(inject('postgresSocket').replace(/\/[^/]*$/, ''));
  return `postgres:///${test.connection.database}?host=${folder}&user=${user}`;
};

async function migrate(env: Record<string, string>) {
  const { PATH = '', HOME = '' } = process.env;
  const dataDir = await temporaryFolder();
  return spawnSync(process.execPath, [BIN, 'migrate'], {
    encoding: 'utf8',
    env: { PATH, HOME, TOLLGATE_DATA_DIR: dataDir, ...env },
  });
}

beforeAll(async () => {
  test = await createTestDatabase({ migrated: false });
  const { sql } = test.database;
  simulator = await startSimulator();
  await sql.unsafe(`create role ${OWNER} login; create role ${RUNTIME} login;
    alter database ${test.connection.database} owner to ${OWNER}; alter schema public owner to ${OWNER};
    revoke create on schema public from public`);
  owner = openClient(url(OWNER), 1);
  runtime = openClient(url(RUNTIME), 1);
});
afterAll(async () => {
  await Promise.all([owner, runtime].map(closeClient));
  await simulator.close();
  await test.database.sql.unsafe(
    `reassign owned by ${OWNER} to postgres; drop owned by ${OWNER}, ${RUNTIME}`,
  );
  await test.database.sql.unsafe(`drop role ${OWNER}; drop role ${RUNTIME}`);
  await test.drop();
});

it('a role that may not make the tables says who has to', async () => {
  const { status, stderr } = await migrate({ DATABASE_URL: url(RUNTIME) });
  expect(status).toBe(1);
  expect(stderr).toMatch(/this role may not change them.*tollgate migrate.*owns them/);
});

it('a role that does not exist is named, with the statement that makes it', async () => {
  const { status, stderr } = await migrate({
    DATABASE_URL: url(OWNER),
    TOLLGATE_RUNTIME_ROLE: 'nobody_here',
  });
  expect(status).toBe(1);
  expect(stderr).toMatch(/no role nobody_here: CREATE ROLE nobody_here LOGIN/);
});

describe('after the owner has migrated', () => {
  beforeAll(async () => {
    for (let time = 0; time < 2; time++) {
      const { status, stderr } = await migrate({ DATABASE_URL: url(OWNER), TOLLGATE_RUNTIME_ROLE: RUNTIME });
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    }
  });

  it('the other role serves: calls, changes, releases, the console, and partitions of later months', async () => {
    const gateway = await GatewayProcess.serve({
      TOLLGATE_DATA_DIR: await temporaryFolder(),
      DATABASE_URL: url(RUNTIME),
      OPENAI_API_KEY: 'sk-upstream',
      OPENAI_BASE_URL: simulator.url,
    });
    const { teamId, key } = await gateway.team('served', '5.00');
    const call = { model: 'gpt-4o-mini', max_tokens: 20, messages: [{ role: 'user', content: 'hello' }] };
    const settled = await gateway.post(key, '/chat/completions', call);
    expect(settled.status).toBe(200);
    await gateway.post(key, '/chat/completions', call, { 'x-simulator': 'fault=cut' }).catch(() => null);
    type Events = { data: { id: string; outcome: string }[] };
    let events: Events = { data: [] };
    await until('two events', async () => {
      events = await gateway.admin<Events>('GET', `/events?team_id=${teamId}`);
      return events.data.length === 2;
    });
    const unknown = events.data.find(({ outcome }) => outcome === 'unknown');
    if (unknown)
      await gateway.admin('POST', `/unknown/${unknown.id}/release`, { reason: 'a test', cost_usd: '0' });
    await gateway.admin('PATCH', `/teams/${teamId}`, { name: 'renamed' });
    const audit = await gateway.admin<{ data: unknown[] }>('GET', `/audit?team_id=${teamId}`);
    expect(audit.data.length).toBeGreaterThan(2);
    expect((await gateway.admin<{ data: unknown[] }>('GET', '/usage?interval=total')).data).toHaveLength(1);
    gateway.signal('SIGTERM');
    expect(await gateway.ended()).toBe(0);
    // Four months of events, and four of kept responses.
    expect(await ensurePartitions(runtime, Date.UTC(2033, 0, 15))).toHaveLength(8);
    expect(gateway.output).not.toContain('permission denied');
  });

  it.each([
    'create table mine (id int)',
    'alter table teams add column mine int',
    'drop table quarantined_events',
    'truncate audit_log',
    "update audit_log set actor = 'another'",
    'delete from audit_log',
    'update usage_events set cost_usd = 0',
    'delete from usage_events',
    'update usage_events_default set cost_usd = 0',
    'delete from usage_events_2033_01',
    'delete from adjustments',
    'delete from drizzle.__drizzle_migrations',
  ])('the other role may not: %s', async (statement) => {
    await expect(runtime.unsafe(statement)).rejects.toMatchObject({ code: '42501' });
  });

  it('no temporary table leads the function astray', async () => {
    await runtime.begin(async (tx) => {
      await tx.unsafe(
        'create temporary table usage_events (created_at timestamptz) partition by range (created_at)',
      );
      await tx`select tollgate_make_partition('2034-05-05Z')`;
    });
    const [row] = await owner`
      select inhparent::regclass::text as parent from pg_inherits
      where inhrelid = 'public.usage_events_2034_05'::regclass`;
    expect(row).toEqual({ parent: 'usage_events' });
  });
});

/** A database that went back has forgotten what admins changed: the gateway names it. */
import { dirname } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { temporaryFolder } from '../support/folder.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { GatewayProcess, until } from './crash-gateway.ts';

let database: TestDatabase;
let gateway: GatewayProcess;
beforeAll(async () => {
  database = await createTestDatabase();
  const { path, user, database: name } = database.connection;
  gateway = await GatewayProcess.serve({
    TOLLGATE_DATA_DIR: await temporaryFolder(),
    DATABASE_URL: `postgres://${user}@/${name}?host=${encodeURIComponent(dirname(path))}`,
    OPENAI_API_KEY: 'sk-upstream',
  });
});
afterAll(async () => {
  await gateway.kill();
  await database.drop();
});

const LOST = /the database has forgotten a change/;

it('a revocation that the database has forgotten is in the log, with who made it, and what is still there is not', async () => {
  const { sql } = database.database;
  const { id: teamId } = await gateway.admin('POST', '/teams', { name: 'acme', plan: null });
  const { id: keyId } = await gateway.admin('POST', '/keys', { team_id: teamId, name: 'ci' });
  const [{ version: before }] = (await sql`select version::float8 from catalog_version`) as [
    { version: number },
  ];
  await gateway.admin('DELETE', `/keys/${keyId}`);
  await gateway.admin('PATCH', `/teams/${teamId}`, { name: 'acme two' });
  // Each heartbeat brings the version along, and the catalog is read before the next one.
  const beats = async () => {
    const [row] = await sql<
      { beats: number }[]
    >`select max(beats)::float8 as beats from instances where status = 'live'`;
    return row!.beats;
  };
  const then = await beats();
  await until('three heartbeats', async () => (await beats()) >= then + 3);
  await sql.begin(async (tx) => {
    await tx`set local session_replication_role = replica`;
    await tx`update keys set revoked_at = null where id = ${keyId}`;
    await tx`delete from audit_log where resource_id = ${keyId} and action = 'revoke'`;
    await tx`update catalog_version set version = ${before}::float8::int8`;
    await tx`update instances set beats = 0`;
  });
  await until('the log', () => LOST.test(gateway.output));
  const lines = gateway.output.split('\n').filter((line) => LOST.test(line));
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain(`"resourceId":"${keyId}"`);
  expect(lines[0]).toContain('"action":"revoke"');
  expect(lines[0]).toContain('"actor":"admin key"');
}, 120_000);

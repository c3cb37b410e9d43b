/** The gateway behind a real PgBouncer, with a URL that says nothing about it: what was answered is there. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { temporaryFolder } from '../support/folder.ts';
import { type PgBouncer, startPgBouncer } from '../support/pgbouncer.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { programOrSkip } from '../support/programs.ts';
import { GatewayProcess, until } from './crash-gateway.ts';

const CALL = { model: 'gpt-4o-mini', max_tokens: 20, messages: [{ role: 'user', content: 'hello' }] };
const pgbouncer = programOrSkip('pgbouncer', 'pgbouncer');

describe.skipIf(pgbouncer.missing).each([
  ['session', 40],
  ['transaction', 4],
] as const)('in %s mode', (mode, poolSize) => {
  let simulator: Simulator;
  let test: TestDatabase;
  let gateway: GatewayProcess;
  let pooler: PgBouncer;
  beforeAll(async () => {
    simulator = await startSimulator();
    // Its first start migrates, behind the pooler too.
    test = await createTestDatabase({ migrated: false });
    pooler = await startPgBouncer(pgbouncer.path, mode, poolSize);
    gateway = await GatewayProcess.serve({
      TOLLGATE_DATA_DIR: await temporaryFolder(),
      DATABASE_URL: pooler.url(test.connection.database),
      OPENAI_API_KEY: 'sk-upstream',
      OPENAI_BASE_URL: simulator.url,
    });
  });
  afterAll(async () => {
    await gateway.kill();
    pooler.stop();
    await simulator.close();
    await test.drop();
  });

  it('each team that was made is in the database, no call fails, and the ledger has every billed call', async () => {
    const teams = await Promise.all(
      Array.from({ length: 10 }, (_, i) => gateway.team(`${mode}-${i}`, '1.00')),
    );
    const rows = await test.database.sql<{ id: string }[]>`select id from teams where deleted_at is null`;
    expect(rows.map(({ id }) => id)).toEqual(expect.arrayContaining(teams.map(({ teamId }) => teamId)));
    const statuses = await Promise.all(
      teams.flatMap(({ key }) =>
        Array.from({ length: 6 }, async () => {
          const response = await gateway.post(key, '/chat/completions', CALL);
          await response.arrayBuffer();
          return response.status;
        }),
      ),
    );
    expect(statuses).toEqual(statuses.map(() => 200));
    const billed = simulator.invoice().lines.map((line) => line.client_request_id);
    expect(billed).toHaveLength(60);
    await until('every event', async () => {
      const events = await test.database.sql<{ id: string }[]>`select id from usage_events`;
      const ids = new Set(events.map(({ id }) => id));
      return billed.every((id) => ids.has(id ?? ''));
    });
  });
});

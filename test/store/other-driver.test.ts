/** The ledger is plain Postgres: another driver, as finance's own tools have one, reads it to the last digit. */
import postgres from 'postgres';
import { expect, it } from 'vitest';
import { createTestDatabase } from '../support/postgres.ts';

it('another driver reads amounts to the last digit', async () => {
  const { connection, database, drop } = await createTestDatabase();
  const other = postgres({ ...connection, max: 1 });
  try {
    const [team] = await database.sql<{ id: string }[]>`
      insert into teams (id, name, created_at) values (gen_random_uuid(), 'team', now()) returning id`;
    await database.sql`
      insert into grants (id, team_id, amount_usd, starts_at, created_at)
      values (gen_random_uuid(), ${team!.id}, '18.000000000001', now(), now())`;
    const rows = await other`select amount_usd, team_id from grants`;
    expect([...rows]).toEqual([{ amount_usd: '18.000000000001', team_id: team!.id }]);
  } finally {
    await other.end();
    await drop();
  }
});

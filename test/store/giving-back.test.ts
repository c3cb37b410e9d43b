import { randomUUID } from 'node:crypto';
import { afterAll, expect, test } from 'vitest';
import { asId } from '../../src/domain/ids.ts';
import { usd } from '../../src/domain/money.ts';
import { flush } from '../../src/store/hot/flush.ts';
import { registerInstance } from '../../src/store/hot/instances.ts';
import { requestLease } from '../../src/store/hot/leases.ts';
import { counterSpec, insertSource, insertTeam } from '../support/catalog.ts';
import { createTestDatabase } from '../support/postgres.ts';

const { database, drop } = await createTestDatabase({ hotConnectionsMax: 12 });
const { sql } = database;
afterAll(drop);

test('concurrent returns and lease requests do not deadlock', async () => {
  const teamId = await insertTeam(sql);
  const specs = Array.from({ length: 6 }, () => counterSpec(teamId, { amount: usd('50.00') }));
  for (const spec of specs) await insertSource(sql, spec);
  const work = Array.from({ length: 8 }, async (_, worker) => {
    const instanceId = randomUUID();
    await registerInstance(sql, instanceId);
    const own = specs.map((_, index) => specs[(index * 5 + worker) % specs.length]!);
    for (let round = 1; round <= 15; round++) {
      const pools = own.map((spec) => ({ counters: [spec], min: usd('0.01'), want: usd('0.02') }));
      await requestLease(sql, { instanceId, teamId: asId(teamId), pools });
      const reports = own.map((spec) => ({
        teamId,
        counterId: spec.id,
        returned: usd('0.02') * BigInt(round),
        held: 0n,
      }));
      await flush(sql, { instanceId, events: [], reports });
    }
  });
  await Promise.all(work);
  const rows = await sql<{ leased: string }[]>`select leased::text from counters where team_id = ${teamId}`;
  expect(rows.map((row) => usd(row.leased))).toEqual(Array(6).fill(0n));
});

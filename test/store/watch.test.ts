import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ORGANIZATION_ID } from '../../src/domain/limit.ts';
import { usd } from '../../src/domain/money.ts';
import type { TightestBudget } from '../../src/store/budgets.ts';
import { readWatch } from '../../src/store/watch.ts';
import { insertTeam } from '../support/catalog.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';

const NOW = '2026-11-20T12:07:00Z';
/** An hour before, on a quarter of an hour: what is spent since then is spent in 67 minutes. */
const HOUR_AGO = '2026-11-20T11:00:00Z';
const MONTH = { starts: '2026-11-01T00:00:00Z', ends: '2026-12-01T00:00:00Z' };

let test: TestDatabase;
beforeAll(async () => {
  test = await createTestDatabase({ settings: { 'tollgate.now': NOW } });
});
afterAll(() => test.drop());

/** A team's limit by calendar month, and of it what was settled in this window and in the one before. */
async function limit(teamId: string, amount: string, settled: string, changes: Record<string, string> = {}) {
  const { sql } = test.database;
  const id = randomUUID();
  const row = {
    id,
    team_id: teamId,
    subject_type: 'team',
    subject_id: teamId,
    meter: 'cost_usd',
    amount,
    window: sql.json({ type: 'calendar', unit: 'month', timeZone: 'UTC' }),
    enforcement: 'strict',
    created_at: NOW,
    ...changes,
  };
  await sql`insert into limits ${sql([row])}`;
  const counter = (starts: string, ends: string, sum: string) => ({
    team_id: teamId,
    id: `${id}@${Date.parse(starts)}`,
    source: 'limit',
    source_id: id,
    subject_type: row.subject_type,
    subject_id: row.subject_id,
    meter: 'cost_usd',
    starts_at: starts,
    ends_at: ends,
    amount,
    settled: sum,
  });
  await sql`insert into counters ${sql([counter('2026-10-01T00:00:00Z', MONTH.starts, amount), counter(MONTH.starts, MONTH.ends, settled)])}`;
}

async function grant(teamId: string, amount: string, settled: string, expiresAt: string | null) {
  const { sql } = test.database;
  const id = randomUUID();
  const starts = '2026-09-01T00:00:00Z';
  await sql`insert into grants ${sql([{ id, team_id: teamId, amount_usd: amount, starts_at: starts, expires_at: expiresAt, created_at: starts }])}`;
  await sql`insert into counters ${sql([{ team_id: teamId, id: `${id}@${Date.parse(starts)}`, source: 'grant', source_id: id, subject_type: 'team', subject_id: teamId, meter: 'cost_usd', starts_at: starts, ends_at: expiresAt, amount, settled }])}`;
}

async function spend(teamId: string, bucket: string, cost: string) {
  await test.database.sql`
    insert into usage_rollups values (${teamId}, ${bucket}, ${randomUUID()}, 'm', 'responses', 1, 0, 0, 0, 0, 0, 0, 0, ${cost}, 0)`;
}

async function budgetOf(teamId: string): Promise<TightestBudget | undefined> {
  const { budgets } = await readWatch(test.database.db, 100);
  return budgets.find(({ team }) => team === teamId);
}

it('the tightest of a team’s cost limits is its budget, in its present window', async () => {
  const team = await insertTeam(test.database.sql);
  await limit(team, '50', '20');
  await limit(team, '30', '25');
  await limit(team, '1', '1', { subject_type: 'key' });
  await limit(team, '1', '1', { meter: 'requests' });
  await limit(team, '1', '1', { deleted_at: NOW });
  expect(await budgetOf(team)).toEqual({
    team,
    amount: usd('30'),
    remaining: usd('5'),
    exhaustedInSeconds: null,
    endsAtMs: Date.parse(MONTH.ends),
    grantExpiresAtMs: null,
  });
});

it('grants add up, and the first to expire with money left is named', async () => {
  const team = await insertTeam(test.database.sql);
  await grant(team, '18', '18', '2026-11-25T00:00:00Z');
  await grant(team, '10', '4', '2026-11-28T00:00:00Z');
  await grant(team, '5', '0', '2027-02-01T00:00:00Z');
  await grant(team, '9', '0', '2026-11-01T00:00:00Z');
  expect(await budgetOf(team)).toMatchObject({
    amount: usd('33'),
    remaining: usd('11'),
    endsAtMs: Date.parse('2027-02-01T00:00:00Z'),
    grantExpiresAtMs: Date.parse('2026-11-28T00:00:00Z'),
  });
});

it('a team whose grants have all expired has nothing left, whatever its limit says', async () => {
  const team = await insertTeam(test.database.sql);
  await grant(team, '18', '2', '2026-11-01T00:00:00Z');
  await limit(team, '50', '20');
  expect(await budgetOf(team)).toMatchObject({ amount: 0n, remaining: 0n });
});

it('a grant without an end keeps a budget from ending', async () => {
  const team = await insertTeam(test.database.sql);
  await grant(team, '5', '0', null);
  await grant(team, '5', '0', '2027-02-01T00:00:00Z');
  expect(await budgetOf(team)).toMatchObject({ endsAtMs: null });
});

it('a budget runs out at the rate of the last hour', async () => {
  const team = await insertTeam(test.database.sql);
  await limit(team, '50', '40');
  await spend(team, HOUR_AGO, '1.5');
  await spend(team, '2026-11-20T12:00:00Z', '0.51');
  await spend(team, '2026-11-20T10:45:00Z', '40');
  expect((await budgetOf(team))!.exhaustedInSeconds).toBeCloseTo((10 / 2.01) * 67 * 60, 6);
  const spent = await insertTeam(test.database.sql);
  await limit(spent, '50', '50.5');
  await spend(spent, HOUR_AGO, '1');
  expect(await budgetOf(spent)).toMatchObject({ remaining: usd('-0.5'), exhaustedInSeconds: 0 });
});

it('the budgets closest to their end come first, at most as many as requested', async () => {
  const { budgets } = await readWatch(test.database.db, 2);
  const { budgets: all } = await readWatch(test.database.db, 100);
  expect(budgets).toEqual(all.slice(0, 2));
  const used = all
    .filter(({ amount }) => amount > 0n)
    .map(({ amount, remaining }) => Number(remaining) / Number(amount));
  expect(used).toEqual(used.toSorted((a, b) => a - b));
});

it('the organization’s limit is a budget that every team spends', async () => {
  await limit(ORGANIZATION_ID, '1000', '900', { subject_type: 'org' });
  const { sql } = test.database;
  const [spent] = await sql<{ usd: number }[]>`
    select sum(cost_usd)::float8 as usd from usage_rollups where bucket_start >= ${HOUR_AGO}`;
  const { budgets } = await readWatch(test.database.db, 100);
  expect(budgets.find(({ team }) => team === '(organization)')).toMatchObject({
    remaining: usd('100'),
    exhaustedInSeconds: expect.closeTo((100 / spent!.usd) * 67 * 60, 3),
  });
});

it('a deleted team has no budget', async () => {
  const { sql } = test.database;
  const team = await insertTeam(sql);
  await limit(team, '50', '20');
  await sql`update teams set deleted_at = ${NOW} where id = ${team}`;
  expect(await budgetOf(team)).toBeUndefined();
});

it('the watch reads the charges of unknown outcomes and the events outside of every partition', async () => {
  const { sql } = test.database;
  const teamId = await insertTeam(sql);
  for (const [unknown, day] of [
    ['1.25', '2026-10-01'],
    ['2', '2026-11-20'],
    ['0', '2026-11-19'],
  ]) {
    const nothing = [randomUUID(), 'm', 'responses', 1, 0, 0, 0, 0, 0, 0, 0];
    await sql.unsafe(
      `insert into usage_days values (${Array.from({ length: 15 }, (_, i) => `$${i + 1}`).join(', ')})`,
      [teamId, `${day}T00:00:00Z`, ...nothing, '5', unknown],
    );
  }
  const id = randomUUID();
  await sql`insert into usage_events ${sql([{ team_id: teamId, created_at: NOW, id, key_id: id, instance_id: id, operation: 'responses', model: 'm', stream: false, outcome: 'unknown', provenance: 'unknown', input_tokens: 0, cached_input_tokens: 0, cache_write_tokens: 0, output_tokens: 0, reasoning_tokens: 0, cost_usd: '1', hold_usd: '1', allocations: '[]', stage_us: '{}' }])}`;
  expect(await readWatch(test.database.db, 0)).toMatchObject({
    unresolved: usd('3.25'),
    unpartitionedEvents: 1,
    archiveWaitingMonths: 0,
    quarantinedEvents: 0,
    jobs: { asked: 0, running: 0, held: 0n, oldestSeconds: 0 },
    unexplained: { final: 0n, moving: 0n },
  });
});

it('connections are counted by a closed list of states', async () => {
  const { connections } = await readWatch(test.database.db, 0);
  expect([...connections.keys()]).toEqual(['active', 'idle', 'idle_in_transaction', 'other']);
  expect(connections.get('active')).toBeGreaterThanOrEqual(1);
});

it('a soft limit is not a budget; the spend beyond it and beyond a lowered limit is read', async () => {
  const { sql } = test.database;
  const [soft, lowered, within] = await Promise.all([insertTeam(sql), insertTeam(sql), insertTeam(sql)]);
  await limit(soft, '10', '12.5', { enforcement: 'soft' });
  await limit(soft, '1', '1.25', { enforcement: 'soft' });
  await limit(lowered, '5', '6');
  await limit(within, '5', '5');
  const { budgets, overLimits } = await readWatch(test.database.db, 100);
  // Teams that are made here are named after their ids.
  const made: string[] = [soft, lowered, within];
  expect(overLimits.filter(({ team }) => made.includes(team))).toEqual([
    { team: soft, excess: usd('2.5') },
    { team: lowered, excess: usd('1') },
  ]);
  expect(budgets.map(({ team }) => team)).not.toContain(soft);
});

/** What is raised and when, on real counters. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { asId } from '../../src/domain/ids.ts';
import { usd } from '../../src/domain/money.ts';
import { warn } from '../../src/jobs/warn.ts';
import { type Database, openDatabase } from '../../src/store/database.ts';
import { catalogChanges, openWarnings } from '../../src/store/hot/catalog.ts';
import { raiseWarnings } from '../../src/store/warnings.ts';
import {
  counterOf,
  createTestAdmin,
  createTestInstance,
  type Json,
  type TestAdmin,
} from '../admin/support.ts';

const NOW = '2026-11-24T10:00:00.000Z';
const TODAY_MS = Date.parse('2026-11-24T00:00:00Z');
const TOMORROW_MS = Date.parse('2026-11-25T00:00:00Z');
const DAY = { type: 'calendar', unit: 'day', time_zone: 'UTC' };
const LIFETIME = { type: 'lifetime' };

let admin: TestAdmin;
let instance: Awaited<ReturnType<typeof createTestInstance>>;
beforeAll(async () => {
  admin = await createTestAdmin(NOW);
  instance = await createTestInstance(admin.database);
});
afterAll(() => admin.close());

const OPTIONS = { thresholds: [50, 80, 100], deliver: false };
const raise = async (database: Database = admin.database) => {
  const raised = (await warn(database, OPTIONS)) ?? [];
  return raised.map(({ counterId, threshold }) => [counterId.split('@')[0], threshold]).sort();
};

let teams = 0;
async function team(limit?: { amount: string; window?: object }) {
  const { id: teamId } = await admin.make('/teams', { name: `team ${++teams}`, plan: null });
  const key = await admin.make('/keys', { team_id: teamId, name: 'app' });
  const made = limit && (await limitOf(teamId, limit));
  return { teamId, keyId: key.id, limit: made! };
}

function limitOf(teamId: string, { amount, window = LIFETIME }: { amount: string; window?: object }) {
  return admin.make('/limits', { subject: { type: 'team', id: teamId }, meter: 'cost_usd', amount, window });
}

/** A call that costs this much, paid by the counter of a limit or grant. */
async function spend(
  of: { teamId: string; keyId: string },
  [source, row]: ['limit' | 'grant', Json],
  costUsd: string,
  [startsAtMs, endsAtMs, atMs]: [number, number | null, number] = [0, null, Date.parse(NOW)],
) {
  const counter = counterOf(source, row, of.teamId, startsAtMs, endsAtMs);
  const pools = [[{ counter, heldUsd: costUsd, settledUsd: costUsd }]];
  await instance.call({ teamId: of.teamId, keyId: of.keyId, atMs, costUsd, pools });
}

describe('a warning', () => {
  it('is raised at each threshold of a limit, once', async () => {
    const research = await team({ amount: '10' });
    const { limit } = research;
    await spend(research, ['limit', limit], '4.99');
    expect(await raise()).toEqual([]);
    await spend(research, ['limit', limit], '0.01');
    expect(await raise()).toEqual([[limit.id, 50]]);
    expect(await raise()).toEqual([]);
    await spend(research, ['limit', limit], '4');
    expect(await raise()).toEqual([[limit.id, 80]]);
    await spend(research, ['limit', limit], '1');
    expect(await raise()).toEqual([[limit.id, 100]]);
    expect(await raise()).toEqual([]);
  });

  it('is raised for every threshold that one step passes', async () => {
    const research = await team({ amount: '1' });
    await spend(research, ['limit', research.limit], '0.9');
    expect(await raise()).toEqual([
      [research.limit.id, 50],
      [research.limit.id, 80],
    ]);
  });

  it('is raised for a grant', async () => {
    const research = await team();
    const grant = await admin.make('/grants', { team_id: research.teamId, amount_usd: '2' });
    await spend(research, ['grant', grant], '1.7', [Date.parse(NOW), null, Date.parse(NOW)]);
    expect(await raise()).toEqual([
      [grant.id, 50],
      [grant.id, 80],
    ]);
  });

  it('is raised again in the next window, and not for windows that are over', async () => {
    const research = await team({ amount: '1', window: DAY });
    const yesterday = [TODAY_MS - 86_400_000, TODAY_MS, TODAY_MS - 1] as [number, number, number];
    const today = [TODAY_MS, TOMORROW_MS, TODAY_MS + 1] as [number, number, number];
    await spend(research, ['limit', research.limit], '0.9', yesterday);
    expect(await raise()).toEqual([]);
    await spend(research, ['limit', research.limit], '0.5', today);
    expect(await raise()).toEqual([[research.limit.id, 50]]);
    const tomorrow = openDatabase(admin.database.connection, {
      settings: { 'tollgate.now': '2026-11-25T00:00:01Z' },
    });
    await spend(research, ['limit', research.limit], '0.5', [
      TOMORROW_MS,
      TOMORROW_MS + 86_400_000,
      TOMORROW_MS + 1,
    ]);
    expect(await raise(tomorrow)).toEqual([[research.limit.id, 50]]);
    await tomorrow.close();
    await raise();
  });

  it('is raised again for a changed amount, and not for one that is changed back', async () => {
    const research = await team({ amount: '10' });
    const { limit } = research;
    await spend(research, ['limit', limit], '8');
    expect(await raise()).toHaveLength(2);
    const change = (amount: string) => admin.ask('PATCH', `/limits/${limit.id}`, { amount });
    await change('20');
    expect(await raise()).toEqual([]);
    await spend(research, ['limit', limit], '3');
    expect(await raise()).toEqual([[limit.id, 50]]);
    await change('10');
    expect(await raise()).toEqual([[limit.id, 100]]);
  });

  it('is not raised for a deleted budget', async () => {
    const research = await team({ amount: '1' });
    const other = await team({ amount: '1' });
    const grant = await admin.make('/grants', { team_id: research.teamId, amount_usd: '1' });
    await spend(research, ['grant', grant], '0.9', [Date.parse(NOW), null, Date.parse(NOW)]);
    await spend(other, ['limit', other.limit], '0.9');
    await admin.ask('DELETE', `/limits/${research.limit.id}`);
    await admin.ask('DELETE', `/grants/${grant.id}`);
    await admin.ask('DELETE', `/teams/${other.teamId}`);
    expect(await raise()).toEqual([]);
  });

  it('is raised once by concurrent replicas', async () => {
    const all = await Promise.all(Array.from({ length: 5 }, () => team({ amount: '1' })));
    for (const each of all) await spend(each, ['limit', each.limit], '1');
    const others = Array.from({ length: 3 }, () => openDatabase(admin.database.connection));
    // Without the lock that lets one alone look: the table itself holds.
    const raised = await Promise.all(others.map((database) => raiseWarnings(database, new Date(), OPTIONS)));
    expect(raised.flat()).toHaveLength(15);
    const [row] = await admin.database.sql`
      select count(*)::int as rows, count(distinct id)::int as ids from warnings where team_id = any(${all.map(({ teamId }) => teamId)})`;
    expect(row).toEqual({ rows: 15, ids: 15 });
    await Promise.all(others.map((database) => database.close()));
  });

  it('tells replicas that its team has changed', async () => {
    const { sql } = admin.database;
    const research = await team({ amount: '1' });
    await spend(research, ['limit', research.limit], '0.5');
    const { version } = await catalogChanges(sql, 0);
    await raise();
    const change = await catalogChanges(sql, version);
    expect(change).toMatchObject({ teamIds: [], rereadTeamIds: [research.teamId] });
    await raise();
    expect(await catalogChanges(sql, change.version)).toMatchObject({ teamIds: [], rereadTeamIds: [] });
  });

  it('stays on the account while its window lasts and its amount is unchanged', async () => {
    const research = await team({ amount: '1', window: DAY });
    const today = [TODAY_MS, TOMORROW_MS, TODAY_MS + 1] as [number, number, number];
    await spend(research, ['limit', research.limit], '0.9', today);
    await raise();
    const { sql } = admin.database;
    const warning = {
      ...{ sourceId: research.limit.id, endUser: null, tag: null },
      ...{ percent: 80, untilMs: TOMORROW_MS },
    };
    expect(await openWarnings(sql, [asId(research.teamId)])).toEqual([warning]);
    const tomorrow = openDatabase(admin.database.connection, {
      settings: { 'tollgate.now': '2026-11-25T00:00:00Z' },
    });
    expect(await openWarnings(tomorrow.sql, [asId(research.teamId)])).toEqual([]);
    await tomorrow.close();
    await admin.ask('PATCH', `/limits/${research.limit.id}`, { amount: '2' });
    expect(await openWarnings(sql, [asId(research.teamId)])).toEqual([]);
  });

  it('keeps the exact sum and amount of its time', async () => {
    const research = await team({ amount: '3' });
    await spend(research, ['limit', research.limit], '1.500000000001');
    await raise();
    const [row] = await admin.database.sql`
      select amount::text, settled::text, next_attempt_at from warnings where team_id = ${research.teamId}`;
    expect([usd(row!.amount), usd(row!.settled)]).toEqual([usd('3'), usd('1.500000000001')]);
    expect(row!.next_attempt_at).toBeNull();
  });
});

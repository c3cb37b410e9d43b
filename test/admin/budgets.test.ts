import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Grant, Limit } from '../../src/admin/contract.ts';
import { counterOf, createTestAdmin, createTestInstance, type Json, type TestAdmin } from './support.ts';

const NOW = '2026-11-24T10:00:00.000Z';
const YESTERDAY_MS = Date.parse('2026-11-23T00:00:00Z');
const TODAY_MS = Date.parse('2026-11-24T00:00:00Z');
const TOMORROW_MS = Date.parse('2026-11-25T00:00:00Z');

let admin: TestAdmin;
let instance: Awaited<ReturnType<typeof createTestInstance>>;
beforeAll(async () => {
  admin = await createTestAdmin(NOW);
  instance = await createTestInstance(admin.database);
});
afterAll(() => admin.close());

async function counters(sourceId: string): Promise<Record<string, unknown>[]> {
  return admin.database.sql`
    select id, amount::float8 as amount, settled::float8 as settled, leased::float8 as leased, ends_at
    from counters where source_id = ${sourceId} order by starts_at`;
}

async function makeTeam(name: string): Promise<{ team: Json; key: Json }> {
  const team = await admin.make('/teams', { name, plan: null });
  return { team, key: await admin.make('/keys', { team_id: team.id, name: 'app' }) };
}

describe('a limit', () => {
  test('is returned as it was created, on a team or on one of its keys', async () => {
    const { team, key } = await makeTeam('limits');
    const window = { type: 'calendar', unit: 'month', time_zone: 'Europe/Berlin' };
    for (const subject of [
      { type: 'team', id: team.id },
      { type: 'key', id: key.id },
    ]) {
      const made = await admin.make('/limits', { subject, meter: 'cost_usd', amount: '50', window });
      Limit.parse(made);
      expect(made).toMatchObject({
        team_id: team.id,
        subject,
        models: null,
        meter: 'cost_usd',
        amount: '50.00',
        window,
        enforcement: 'strict',
        created_at: NOW,
      });
      expect(await admin.get(`/limits/${made.id}`)).toEqual(made);
    }
    const listed = await admin.get(`/limits?team_id=${team.id}`);
    expect(listed.data).toHaveLength(2);
  });

  test('of the whole installation has no team, in responses and in the audit log', async () => {
    const window = { type: 'lifetime' };
    for (const subject of [{ type: 'org' }, { type: 'user', id: null, team_id: null }]) {
      const made = await admin.make('/limits', { subject, meter: 'requests', amount: '1000000', window });
      Limit.parse(made);
      expect(made).toMatchObject({ team_id: null, subject });
      expect(await admin.get(`/limits/${made.id}`)).toEqual(made);
      const { data } = await admin.get(`/audit?resource_id=${made.id}`);
      expect(data).toEqual([expect.objectContaining({ team_id: null })]);
      expect(data[0]?.after).toMatchObject({ id: made.id, team_id: null });
      await admin.ask('DELETE', `/limits/${made.id}`);
    }
  });

  test('changes its amount together with the counters that are still open, not with closed ones', async () => {
    const { team } = await makeTeam('changing');
    const limit = await admin.make('/limits', {
      subject: { type: 'team', id: team.id },
      meter: 'cost_usd',
      amount: '10',
      window: { type: 'calendar', unit: 'day', time_zone: 'UTC' },
    });
    await instance.hold(counterOf('limit', limit, team.id, YESTERDAY_MS, TODAY_MS), '1');
    await instance.hold(counterOf('limit', limit, team.id, TODAY_MS, TOMORROW_MS), '4');
    const changed = await admin.ask('PATCH', `/limits/${limit.id}`, { amount: '3' });
    expect(changed).toMatchObject({ status: 200, body: { amount: '3.00' } });
    expect(await counters(limit.id)).toMatchObject([
      { amount: 10, leased: 1 },
      { amount: 3, leased: 4 },
    ]);
    await expect(
      instance.hold(counterOf('limit', limit, team.id, TODAY_MS, TOMORROW_MS), '0.01'),
    ).rejects.toThrow('left');
  });

  test('is listed with its use on request, equal to the balance', async () => {
    const { team, key } = await makeTeam('used limits');
    const make = (subject: object, window: object) =>
      admin.make('/limits', { subject, meter: 'cost_usd', amount: '10', window });
    const today = { type: 'calendar', unit: 'day', time_zone: 'UTC' };
    const limit = await make({ type: 'team', id: team.id }, today);
    const ofKey = await make({ type: 'key', id: key.id }, { type: 'lifetime' });
    const ofUsers = await make({ type: 'user', team_id: team.id }, { type: 'lifetime' });
    const counter = counterOf('limit', limit, team.id, TODAY_MS, TOMORROW_MS);
    const spent = [{ counter, heldUsd: '4', settledUsd: '2.5' }];
    const call = { teamId: team.id, keyId: key.id, atMs: Date.parse(NOW), costUsd: '2.5', pools: [spent] };
    await instance.call(call);

    const plain = await admin.get(`/limits?team_id=${team.id}`);
    for (const each of plain.data) expect(each).not.toHaveProperty('state');
    const { data } = await admin.get(`/limits?team_id=${team.id}&state=true`);
    const stateOf = ({ id }: Json) => data.find((each: Json) => each.id === id)?.state;
    const used = { settled: '2.50', held: '0.00', remaining: '7.50' };
    const [starts, ends] = [TODAY_MS, TOMORROW_MS].map((ms) => new Date(ms).toISOString());
    expect(stateOf(limit)).toEqual({ ...used, window_starts_at: starts, resets_at: ends });
    expect(stateOf(ofKey)).toEqual({ ...used, window_starts_at: null, resets_at: null });
    expect(stateOf(ofUsers)).toBeUndefined();
    const balance = await admin.get(`/teams/${team.id}/balance`);
    expect(balance.limits).toHaveLength(2);
    for (const each of balance.limits) expect(each).toMatchObject(stateOf(each) as Json);
  });

  test('is deleted once and keeps its history', async () => {
    const { team } = await makeTeam('no limits');
    const limit = await admin.make('/limits', {
      subject: { type: 'team', id: team.id },
      meter: 'cost_usd',
      amount: '10',
      window: { type: 'lifetime' },
    });
    const deleted = await admin.ask('DELETE', `/limits/${limit.id}`);
    expect(deleted.body).toEqual({ ...limit, deleted_at: NOW });
    expect(await admin.ask('DELETE', `/limits/${limit.id}`)).toEqual(deleted);
    expect(await admin.ask('PATCH', `/limits/${limit.id}`, { amount: '1' })).toMatchObject({ status: 409 });
    expect((await admin.get(`/limits?team_id=${team.id}`)).data).toEqual([]);
    expect((await admin.get(`/limits?team_id=${team.id}&include_deleted=true`)).data).toHaveLength(1);
  });

  test('is not made for a revoked key', async () => {
    const { key } = await makeTeam('revoked');
    await admin.ask('DELETE', `/keys/${key.id}`);
    const answer = await admin.ask('POST', '/limits', {
      subject: { type: 'key', id: key.id },
      meter: 'cost_usd',
      amount: '1',
      window: { type: 'lifetime' },
    });
    expect(answer).toMatchObject({ status: 409, body: { error: { param: 'subject.id' } } });
  });
});

describe('a grant', () => {
  test('starts now and never expires by default', async () => {
    const { team } = await makeTeam('credit');
    const made = await admin.make('/grants', { team_id: team.id, amount_usd: '7.5' });
    Grant.parse(made);
    expect(made).toMatchObject({ amount_usd: '7.50', starts_at: NOW, expires_at: null, deleted_at: null });
    const dated = await admin.make('/grants', {
      team_id: team.id,
      amount_usd: '1',
      starts_at: '2026-12-01',
      expires_at: '2027-01-01T00:00:00+01:00',
    });
    expect(dated).toMatchObject({
      starts_at: '2026-12-01T00:00:00.000Z',
      expires_at: '2026-12-31T23:00:00.000Z',
    });
  });

  test('changes together with its counter', async () => {
    const { team } = await makeTeam('more credit');
    const grant = await admin.make('/grants', { team_id: team.id, amount_usd: '5' });
    const counter = counterOf('grant', grant, team.id, Date.parse(NOW));
    await instance.hold(counter, '5');
    await admin.ask('PATCH', `/grants/${grant.id}`, { amount_usd: '6', expires_at: '2027-01-01' });
    expect(await counters(grant.id)).toMatchObject([{ amount: 6, ends_at: new Date('2027-01-01') }]);
    await instance.hold(counter, '1');
    const endless = await admin.ask('PATCH', `/grants/${grant.id}`, { expires_at: null });
    expect(endless.body).toMatchObject({ amount_usd: '6.00', expires_at: null });
    expect(await counters(grant.id)).toMatchObject([{ amount: 6, leased: 6, ends_at: null }]);
  });

  test('pays nothing after its deletion, also when nothing of it was used', async () => {
    const { team } = await makeTeam('less credit');
    const used = await admin.make('/grants', { team_id: team.id, amount_usd: '5' });
    const unused = await admin.make('/grants', { team_id: team.id, amount_usd: '5' });
    const counter = counterOf('grant', used, team.id, Date.parse(NOW));
    await instance.hold(counter, '2');
    for (const { id } of [used, unused]) {
      const deleted = await admin.ask('DELETE', `/grants/${id}`);
      expect(deleted).toMatchObject({ status: 200, body: { deleted_at: NOW } });
      expect(await admin.ask('DELETE', `/grants/${id}`)).toEqual(deleted);
      expect(await admin.ask('PATCH', `/grants/${id}`, { amount_usd: '9' })).toMatchObject({ status: 409 });
    }
    expect(await counters(used.id)).toMatchObject([{ amount: 2, leased: 2 }]);
    await expect(instance.hold(counter, '0.01')).rejects.toThrow('left');
    const never = counterOf('grant', unused, team.id, Date.parse(NOW));
    await expect(instance.hold(never, '0.01')).rejects.toThrow('left');
  });
});

/** Departments over the admin API: their tree, what is in them, and what is audited. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Department, Departments, Team } from '../../src/admin/contract.ts';
import { usd } from '../../src/domain/money.ts';
import { createTestAdmin, createTestInstance, type Json, type TestAdmin } from './support.ts';

let admin: TestAdmin;
beforeAll(async () => {
  admin = await createTestAdmin('2026-11-29T10:20:30.456Z');
});
afterAll(() => admin.close());

const noSuch = '019abcde-0000-7000-8000-000000000000';
const made = (name: string, parent: Json | null = null) =>
  admin.make('/departments', { name, ...(parent ? { parent_id: parent.id } : {}) });
const move = (department: Json, parentId: string | null) =>
  admin.ask('PATCH', `/departments/${department.id}`, { parent_id: parentId });
const conflict = { status: 409, body: { error: { code: 'conflict' } } };

const departmentIn = (row: unknown) =>
  (row as { department_id: string | null } | null)?.department_id ?? null;

/** A chain of departments, each in the one before. */
async function chain(name: string, levels: number): Promise<Json[]> {
  const departments: Json[] = [];
  for (let level = 1; level <= levels; level++)
    departments.push(await made(`${name} ${level}`, departments.at(-1) ?? null));
  return departments;
}

test('a department is made, shown, listed, renamed and deleted like every other resource', async () => {
  const research = await made('research');
  Department.parse(research);
  expect(research).toEqual({
    id: expect.any(String),
    name: 'research',
    parent_id: null,
    created_at: '2026-11-29T10:20:30.456Z',
    deleted_at: null,
  });
  const vision = await made('vision', research);
  expect(vision.parent_id).toBe(research.id);
  expect(await admin.get(`/departments/${vision.id}`)).toEqual(vision);
  const first = await admin.get('/departments?limit=1');
  Departments.parse(first);
  expect(first.data).toHaveLength(1);
  const rest = await admin.get(`/departments?limit=1000&after=${first.next}`);
  expect([...first.data, ...rest.data].map(({ id }) => id)).toEqual(
    expect.arrayContaining([research.id, vision.id]),
  );
  const renamed = await admin.ask('PATCH', `/departments/${vision.id}`, { name: 'seeing' });
  expect(renamed).toMatchObject({ status: 200, body: { name: 'seeing', parent_id: research.id } });
  const deleted = await admin.ask('DELETE', `/departments/${vision.id}`);
  expect(deleted).toMatchObject({ status: 200, body: { deleted_at: '2026-11-29T10:20:30.456Z' } });
  expect(await admin.ask('DELETE', `/departments/${vision.id}`)).toEqual(deleted);
  expect(JSON.stringify(await admin.get('/departments'))).not.toContain(vision.id);
  expect(JSON.stringify(await admin.get('/departments?include_deleted=true'))).toContain(vision.id);
});

test('a department that is named in capitals is deleted with its limits', async () => {
  const { id } = await made('shouting');
  const limit = await admin.make('/limits', {
    ...{ subject: { type: 'department', id }, meter: 'cost_usd', amount: '1' },
    window: { type: 'lifetime' },
  });
  expect((await admin.ask('DELETE', `/departments/${id.toUpperCase()}`)).status).toBe(200);
  expect((await admin.get(`/limits/${limit.id}`)).deleted_at).not.toBeNull();
});

test('a name is given once among departments that are there', async () => {
  const first = await made('twice');
  const again = await admin.ask('POST', '/departments', { name: 'twice' });
  expect(again).toMatchObject({ status: 409, body: { error: { code: 'conflict', param: 'name' } } });
  await admin.ask('DELETE', `/departments/${first.id}`);
  expect((await admin.ask('POST', '/departments', { name: 'twice' })).status).toBe(201);
});

describe('the tree', () => {
  test('has five levels at most, whether a department is made or moved', async () => {
    const levels = await chain('deep', 5);
    const sixth = await admin.ask('POST', '/departments', { name: 'deep 6', parent_id: levels[4]!.id });
    expect(sixth).toMatchObject({ ...conflict, body: { error: { param: 'parent_id' } } });
    expect(JSON.stringify(sixth.body)).toContain('at most 5 levels');
    const [top] = await chain('two', 2);
    expect(await move(top!, levels[3]!.id)).toMatchObject(conflict);
    expect((await move(top!, levels[2]!.id)).status).toBe(200);
  });

  test('has no circle', async () => {
    const [top, middle, low] = await chain('circle', 3);
    for (const parent of [top, middle, low]) expect(await move(top!, parent!.id)).toMatchObject(conflict);
    expect((await move(low!, top!.id)).status).toBe(200);
    expect((await move(low!, null)).body.parent_id).toBeNull();
  });

  test('has no circle either when two departments are moved under each other at once', async () => {
    for (let turn = 0; turn < 8; turn++) {
      const [left, right] = [await made(`left ${turn}`), await made(`right ${turn}`)];
      const ends = await Promise.all([move(left, right.id), move(right, left.id)]);
      expect(ends.map(({ status }) => status).sort()).toEqual([200, 409]);
    }
  });
});

describe('a team', () => {
  test('is in a department, or in none, and moves', async () => {
    const [sales, support] = [await made('sales'), await made('support')];
    const team = await admin.make('/teams', { name: 'emea', plan: null, department_id: sales.id });
    Team.parse(team);
    expect(team.department_id).toBe(sales.id);
    expect((await admin.make('/teams', { name: 'alone', plan: null })).department_id).toBeNull();
    for (const to of [support.id, null, sales.id]) {
      const moved = await admin.ask('PATCH', `/teams/${team.id}`, { department_id: to });
      expect(moved).toMatchObject({ status: 200, body: { department_id: to } });
    }
    const log = await admin.get(`/audit?resource=team&team_id=${team.id}`);
    expect(log.data.map(({ action }) => action).sort()).toEqual(['change', 'change', 'change', 'create']);
    const steps = log.data.map(({ before, after }) => [before, after].map((row) => departmentIn(row)));
    expect(steps).toContainEqual([support.id, null]);
    expect(steps).toContainEqual([null, sales.id]);
  });

  test('is in no department that does not exist or was deleted', async () => {
    const gone = await made('gone');
    await admin.ask('DELETE', `/departments/${gone.id}`);
    const team = await admin.make('/teams', { name: 'homeless', plan: null });
    for (const [id, status] of [
      [noSuch, 404],
      [gone.id, 409],
    ] as const) {
      const error = { status, body: { error: { param: 'department_id' } } };
      expect(await admin.ask('PATCH', `/teams/${team.id}`, { department_id: id })).toMatchObject(error);
      const body = { name: 'new', plan: null, department_id: id };
      expect(await admin.ask('POST', '/teams', body)).toMatchObject(error);
    }
    expect((await admin.ask('PATCH', `/teams/${team.id}`, { department_id: 'x' })).status).toBe(400);
  });
});

test('only an empty department is deleted; the error says what is in it', async () => {
  const [top, low] = await chain('full', 2);
  const team = await admin.make('/teams', { name: 'inside', plan: null, department_id: top!.id });
  const limit = await admin.make('/limits', {
    subject: { type: 'department', id: top!.id },
    meter: 'cost_usd',
    amount: '5',
    window: { type: 'lifetime' },
  });
  const refused = await admin.ask('DELETE', `/departments/${top!.id}`);
  expect(refused).toMatchObject(conflict);
  expect(JSON.stringify(refused.body)).toContain('it has 1 team and 1 department');
  await admin.ask('DELETE', `/teams/${team.id}`);
  await admin.ask('DELETE', `/departments/${low!.id}`);
  expect((await admin.ask('DELETE', `/departments/${top!.id}`)).status).toBe(200);
  expect((await admin.get(`/limits/${limit.id}`)).deleted_at).toBe('2026-11-29T10:20:30.456Z');
});

test('every change of the tree is in the audit log', async () => {
  const [top, low] = await chain('audited', 2);
  await move(low!, null);
  await admin.ask('DELETE', `/departments/${top!.id}`);
  // The clock stands still here, so entries have no order among themselves.
  const { data } = await admin.get('/audit?resource=department&limit=1000');
  const actionsOf = ({ id }: Json) =>
    data
      .filter((entry) => entry.resource_id === id)
      .map(({ action }) => action)
      .sort();
  expect(actionsOf(top!)).toEqual(['create', 'delete']);
  expect(actionsOf(low!)).toEqual(['change', 'create']);
  const moved = data.find(({ action, resource_id }) => action === 'change' && resource_id === low!.id);
  expect(moved).toMatchObject({ before: { parent_id: top!.id }, after: { parent_id: null } });
});

test('a limit of a department needs one that is there; a balance shows those that bind the team', async () => {
  const [top, low] = await chain('budget', 2);
  const other = await made('elsewhere');
  const limitOn = (id: string, amount: string) => ({
    ...{ subject: { type: 'department', id }, meter: 'cost_usd', amount },
    window: { type: 'calendar', unit: 'month', time_zone: 'UTC' },
  });
  expect(await admin.ask('POST', '/limits', limitOn(noSuch, '1'))).toMatchObject({
    status: 404,
    body: { error: { param: 'subject.id' } },
  });
  expect((await admin.ask('POST', '/limits/preview', limitOn(noSuch, '1'))).status).toBe(404);
  expect((await admin.ask('POST', '/limits/preview', limitOn(low!.id, '1'))).status).toBe(200);
  const limit = await admin.make('/limits', limitOn(top!.id, '10'));
  expect(limit).toMatchObject({ team_id: null, subject: { type: 'department', id: top!.id } });
  await admin.make('/limits', limitOn(low!.id, '4'));
  await admin.make('/limits', limitOn(other.id, '3'));
  const team = await admin.make('/teams', { name: 'bound', plan: null, department_id: low!.id });
  const amounts = async () =>
    (await admin.get(`/teams/${team.id}/balance`)).limits.map(({ amount }) => amount).sort();
  expect(await amounts()).toEqual(['10.00', '4.00']);
  await admin.ask('PATCH', `/teams/${team.id}`, { department_id: other.id });
  expect(await amounts()).toEqual(['3.00']);
});

test('usage by department counts a call where its team was, and what is below one department on request', async () => {
  const [top, low] = await chain('spending', 2);
  const mover = await admin.make('/teams', {
    name: 'mover',
    plan: null,
    unlimited: true,
    department_id: low!.id,
  });
  const outside = await admin.make('/teams', { name: 'outside', plan: null, unlimited: true });
  const instance = await createTestInstance(admin.database);
  const key = await admin.make('/keys', { team_id: mover.id, name: 'any' });
  const atMs = Date.parse('2026-11-29T10:05:00Z');
  const spend = (team: Json, path: Json[], costUsd: string, outcome: 'settled' | 'unknown' = 'settled') =>
    instance.call({
      ...{ teamId: team.id, keyId: key.id, atMs, costUsd, outcome },
      ...(path.length === 0 ? {} : { departments: path.map(({ id }) => id) }),
    });
  await spend(mover, [low!, top!], '1.00');
  await spend(mover, [top!], '0.20');
  const lost = await spend(mover, [low!, top!], '7.00', 'unknown');
  await admin.make(`/unknown/${lost}/release`, { cost_usd: '0', reason: 'the upstream has no such call' });
  await spend(outside, [], '0.03');
  const usage = async (query: string) => {
    const { data } = await admin.get(`/usage?interval=total&team_id=${mover.id}&${query}`);
    return data.map(({ department_name: name, cost_usd: cost, calls }) => [name, cost, calls]);
  };
  expect((await usage('group_by=department')).sort()).toEqual([
    ['spending 1', '0.20', 1],
    ['spending 2', '1.00', 2],
  ]);
  expect(await usage(`department_id=${top!.id}`)).toEqual([[undefined, '1.20', 3]]);
  expect(await usage(`department_id=${low!.id}&group_by=department`)).toEqual([['spending 2', '1.00', 2]]);
  const all = await admin.get('/usage?interval=day&group_by=department,team');
  const ofOutside = all.data.filter(({ team_id: id }) => id === outside.id);
  expect(ofOutside).toMatchObject([{ department_id: null, department_name: null, cost_usd: '0.03' }]);
  const dearest = await admin.get('/usage?interval=day&group_by=department&top=1');
  expect(dearest.data.map(({ department_id: id, other, cost_usd: cost }) => [id, other, cost])).toEqual([
    [low!.id, undefined, '1.00'],
    [undefined, true, '0.23'],
  ]);
  const whole = await admin.get('/usage?interval=total');
  const sumOf = (rows: Json[]) => rows.reduce((sum, { cost_usd: cost }) => sum + usd(String(cost)), 0n);
  expect(sumOf(all.data)).toBe(sumOf(whole.data));
});

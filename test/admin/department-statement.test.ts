/** What a department was charged in a month, and the departments of calls in the exports. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { tableOf } from './csv.ts';
import { ADMIN_KEY, createTestAdmin, createTestInstance, type Json, type TestAdmin } from './support.ts';

const at = (text: string) => Date.parse(text);

let admin: TestAdmin;
beforeAll(async () => {
  admin = await createTestAdmin('2026-06-03T10:00:00.000Z');
});
afterAll(() => admin.close());

function request(path: string) {
  return admin.app.request(`/admin/v1${path}`, { headers: { authorization: `Bearer ${ADMIN_KEY}` } });
}
const table = async (path: string) => tableOf(await request(path));

describe('the statement of a department', () => {
  const MAY = '2026-05';
  let science: Json;
  let physics: Json;
  let atlas: Json;
  beforeAll(async () => {
    const instance = await createTestInstance(admin.database);
    science = await admin.make('/departments', { name: 'Science' });
    physics = await admin.make('/departments', { name: 'Physics', parent_id: science.id });
    atlas = await admin.make('/teams', { name: 'atlas', plan: null, department_id: physics.id });
    const cms = await admin.make('/teams', { name: 'cms', plan: null, department_id: science.id });
    const keys = await Promise.all(
      [atlas, cms].map((team) => admin.make('/keys', { team_id: team.id, name: 'app' })),
    );
    const atMs = at(`${MAY}-10T10:00:00Z`);
    const inPhysics = { departments: [physics.id, science.id] };
    const calls = [
      { ...inPhysics, teamId: atlas.id, keyId: keys[0]!.id, costUsd: '0.100000000001' },
      { ...inPhysics, teamId: atlas.id, keyId: keys[0]!.id, costUsd: '0.2', tags: { project: 'alpha' } },
      // Admitted before its team came to Physics.
      { teamId: atlas.id, keyId: keys[0]!.id, costUsd: '5' },
      { departments: [science.id], teamId: cms.id, keyId: keys[1]!.id, costUsd: '0.4' },
    ];
    for (const call of calls) await instance.call({ ...call, atMs });
  });
  const csv = (department: Json, query = '') =>
    table(`/departments/${department.id}/statement?month=${MAY}&format=csv${query}`);

  test('has the charges of all teams below it, by team, of the calls that it admitted', async () => {
    const rows = await csv(science);
    expect(rows.map((row) => [row.department_name, row.team_name, row.calls, row.cost_usd])).toEqual([
      ['Science', 'atlas', '2', '0.300000000001'],
      ['Science', 'cms', '1', '0.40'],
    ]);
    const below = await csv(physics);
    expect(below.map((row) => [row.department_id, row.team_id, row.cost_usd])).toEqual([
      [physics.id, atlas.id, '0.300000000001'],
    ]);
    expect((await csv(science, `&team_id=${atlas.id}`)).map(({ team_name }) => team_name)).toEqual(['atlas']);
  });

  test('is a page to print with a column of teams', async () => {
    const page = await (await request(`/departments/${science.id}/statement?month=${MAY}`)).text();
    expect(page).toContain('<dt>Department</dt><dd>Science</dd>');
    expect(page).toContain('<th scope="col">Team</th>');
    expect(page).toContain('Total</th><td>0.700000000001</td>');
  });

  test('is there only for a department that exists', async () => {
    for (const id of ['019abcde-0000-7000-8000-000000000000', 'x'])
      expect((await request(`/departments/${id}/statement?month=${MAY}`)).status).toBe(404);
  });

  test('and the exports name the departments of a call from the top', async () => {
    const lines = await table('/focus.csv?from=2026-05-01&to=2026-06-01');
    const shown = lines.map((row) => [
      row.SubAccountName,
      row.x_DepartmentPath,
      row.x_DepartmentId,
      row.Tags,
    ]);
    expect(shown).toEqual(
      expect.arrayContaining([
        ['atlas', 'Science / Physics', physics.id, ''],
        ['atlas', 'Science / Physics', physics.id, '{"project":"alpha"}'],
        ['atlas', '', '', ''],
        ['cms', 'Science', science.id, ''],
      ]),
    );
    expect(lines.reduce((total, row) => total + usd(row.BilledCost!), 0n)).toBe(usd('5.700000000001'));
    const calls = await request('/events.csv?from=2026-05-01T00:00:00Z&to=2026-06-01T00:00:00Z');
    expect((await calls.text()).match(/Science \/ Physics/g)).toHaveLength(2);
  });
});

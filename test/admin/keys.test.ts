import { afterAll, beforeAll, expect, test } from 'vitest';
import { Key, MadeKey } from '../../src/admin/contract.ts';
import { hashKey } from '../../src/auth/keys.ts';
import { findKey } from '../../src/store/catalog.ts';
import { createTestAdmin, type Json, type TestAdmin } from './support.ts';

let admin: TestAdmin;
let team: Json;
beforeAll(async () => {
  admin = await createTestAdmin('2026-11-24T10:00:00Z');
  team = await admin.make('/teams', { name: 'research' });
});
afterAll(() => admin.close());

const find = (key: unknown) => findKey(admin.database.sql, hashKey(String(key)));

test('a key is shown once, works at once, and is stored as a hash only', async () => {
  const made = await admin.make('/keys', { team_id: team.id, name: 'app', models: ['gpt-4o-mini'] });
  MadeKey.parse(made);
  expect(made.key).toMatch(/^tg-[\w-]{43}$/);
  expect(String(made.key).startsWith(String(made.prefix))).toBe(true);
  const record = await find(made.key);
  expect(record).toMatchObject({ revoked: false, expiresAtMs: null });
  expect(record?.account.principal).toMatchObject({
    teamId: team.id,
    keyId: made.id,
    models: ['gpt-4o-mini'],
  });
  const shown = await admin.get(`/keys/${made.id}`);
  Key.parse(shown);
  const { key, ...rest } = made;
  expect(shown).toEqual(rest);
  expect(await admin.snapshot()).not.toContain(key);
});

test('a key changes its name, expiry and models, each to nothing too', async () => {
  const { id, key } = await admin.make('/keys', { team_id: team.id, name: 'app' });
  const change = { name: 'renamed', expires_at: '2026-12-01T00:00:00+01:00', models: ['a', 'b'] };
  const changed = await admin.ask('PATCH', `/keys/${id}`, change);
  expect(changed.body).toMatchObject({ ...change, expires_at: '2026-11-30T23:00:00.000Z' });
  expect((await find(key))?.expiresAtMs).toBe(Date.parse('2026-11-30T23:00:00Z'));
  const cleared = await admin.ask('PATCH', `/keys/${id}`, { expires_at: null, models: null });
  expect(cleared.body).toMatchObject({ name: 'renamed', expires_at: null, models: null });
});

test('a revoked key stays in the history and never comes back', async () => {
  const { id, key } = await admin.make('/keys', { team_id: team.id, name: 'leaked' });
  const revoked = await admin.ask('DELETE', `/keys/${id}`);
  expect(revoked).toMatchObject({ status: 200, body: { revoked_at: '2026-11-24T10:00:00.000Z' } });
  expect((await find(key))?.revoked).toBe(true);
  expect(await admin.ask('DELETE', `/keys/${id}`)).toEqual(revoked);
  expect(await admin.ask('PATCH', `/keys/${id}`, { name: 'x' })).toMatchObject({ status: 409 });
  const listed = async (filter: string) =>
    (await admin.get(`/keys?team_id=${team.id}${filter}`)).data.map((row) => row.id);
  expect(await listed('')).not.toContain(id);
  expect(await listed('&include_deleted=true')).toContain(id);
});

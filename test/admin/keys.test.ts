import { afterAll, beforeAll, expect, test } from 'vitest';
import { Key, MadeKey } from '../../src/admin/contract.ts';
import { hashKey } from '../../src/auth/keys.ts';
import { findKey } from '../../src/store/hot/catalog.ts';
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
  expect(made.key).toMatch(/^tg-[\w-]{49}$/);
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

test('a key changes its name, expiry and models, the last two also to null', async () => {
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

test('a rotated key has a new text at once; it stays the same key', async () => {
  const { id, key, ...before } = await admin.make('/keys', { team_id: team.id, name: 'app', models: ['m'] });
  const rotated = await admin.ask('POST', `/keys/${id}/rotate`, {});
  expect(rotated.status).toBe(201);
  MadeKey.parse(rotated.body);
  expect(rotated.body).toMatchObject({ id, name: before.name, models: ['m'], previous_expires_at: null });
  expect(rotated.body.key).not.toBe(key);
  expect(rotated.body.prefix).toBe(String(rotated.body.key).slice(0, 9));
  expect((await find(rotated.body.key))?.account.principal.keyId).toBe(id);
  expect(await find(key)).toBeNull();
  expect(await admin.snapshot()).not.toContain(String(rotated.body.key));
  const [entry] = (await admin.get(`/audit?resource_id=${id}&limit=1000`)).data.filter(
    (each) => each.action === 'rotate',
  );
  expect(entry).toMatchObject({ before: { prefix: before.prefix }, after: { prefix: rotated.body.prefix } });
});

test('with grace the text before works as long, but no longer than the key itself', async () => {
  const made = await admin.make('/keys', { team_id: team.id, name: 'app' });
  const { body } = await admin.ask('POST', `/keys/${made.id}/rotate`, { grace_seconds: 3600 });
  expect(body.previous_expires_at).toBe('2026-11-24T11:00:00.000Z');
  const expiryOf = async (key: unknown) => (await find(key))?.expiresAtMs;
  expect(await expiryOf(made.key)).toBe(Date.parse('2026-11-24T11:00:00Z'));
  expect(await expiryOf(body.key)).toBeNull();
  await admin.ask('PATCH', `/keys/${made.id}`, { expires_at: '2026-11-24T10:30:00Z' });
  expect(await expiryOf(made.key)).toBe(Date.parse('2026-11-24T10:30:00Z'));
  expect(await expiryOf(body.key)).toBe(Date.parse('2026-11-24T10:30:00Z'));
  await admin.ask('POST', `/keys/${made.id}/rotate`, {});
  expect([await find(made.key), await find(body.key)]).toEqual([null, null]);
});

test('a key that does not exist or was revoked is not rotated (404, 409)', async () => {
  const { id } = await admin.make('/keys', { team_id: team.id, name: 'gone' });
  await admin.ask('DELETE', `/keys/${id}`);
  expect(await admin.ask('POST', `/keys/${id}/rotate`, {})).toMatchObject({ status: 409 });
  const nowhere = '/keys/019abcde-0000-7000-8000-000000000000/rotate';
  expect(await admin.ask('POST', nowhere, {})).toMatchObject({ status: 404 });
  for (const grace_seconds of [-1, 1.5, 2_678_401, '1']) {
    expect(await admin.ask('POST', `/keys/${id}/rotate`, { grace_seconds })).toMatchObject({
      status: 400,
      body: { error: { param: 'grace_seconds' } },
    });
  }
});

test('a key says what becomes of a call when little money is left, or leaves it to its team', async () => {
  const ofKey = async (text: unknown) => (await find(text))?.account.onShortage;
  const made = await admin.make('/keys', { team_id: team.id, name: 'agent', on_shortage: 'refuse' });
  expect(made).toMatchObject({ on_shortage: 'refuse' });
  expect(await ofKey(made.key)).toBe('refuse');
  const plain = await admin.make('/keys', { team_id: team.id, name: 'plain' });
  expect(plain).toMatchObject({ on_shortage: null });
  expect(await ofKey(plain.key)).toBeNull();
  const path = `/teams/${team.id}`;
  expect((await admin.ask('PATCH', path, { on_shortage: 'refuse' })).body).toMatchObject({
    on_shortage: 'refuse',
  });
  expect(await ofKey(plain.key)).toBe('refuse');
  const shorten = await admin.ask('PATCH', `/keys/${made.id}`, { on_shortage: 'shorten' });
  expect(shorten.body).toMatchObject({ on_shortage: 'shorten', name: 'agent' });
  expect(await ofKey(made.key)).toBe('shorten');
  await admin.ask('PATCH', `/keys/${made.id}`, { name: 'renamed' });
  expect(await ofKey(made.key)).toBe('shorten');
  await admin.ask('PATCH', `/keys/${made.id}`, { on_shortage: null });
  expect(await ofKey(made.key)).toBe('refuse');
  for (const where of [path, `/keys/${made.id}`]) {
    expect((await admin.ask('PATCH', where, { on_shortage: 'deny' })).status).toBe(400);
  }
  await admin.ask('PATCH', path, { on_shortage: null });
  expect(await ofKey(made.key)).toBeNull();
});

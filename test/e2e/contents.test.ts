/** What calls say, kept encrypted of teams that ask for it, and taken out as examples for fine-tuning. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pruneContents } from '../../src/store/contents.ts';
import { until } from './crash-gateway.ts';
import { ADMIN_KEY, type Stack, startStack } from './stack.ts';

const KEY = '0123456789abcdef'.repeat(4);
const SECRET = 'the word is heliotrope';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({
    simulator: { profile: { plainText: true } },
    env: { TOLLGATE_ENCRYPTION_KEY: KEY },
  });
});
afterAll(() => stack.stop());

async function keepingTeam(days = 30) {
  const team = await stack.team({ grantUsd: '50.00' });
  await stack.admin('PATCH', `/teams/${team.teamId}`, { content_retention_days: days });
  return team;
}

const CHAT = {
  model: 'gpt-4o-mini',
  max_completion_tokens: 30,
  messages: [
    { role: 'system', content: 'Be short. 说短一点。' },
    { role: 'user', content: SECRET },
  ],
};
const RESPONSE = { model: 'gpt-4.1', instructions: 'Be short.', input: SECRET, max_output_tokens: 40 };

/** Sends a call; returns its id and its answer as the client read it. */
async function ask(key: string, path: string, body: object): Promise<{ id: string; text: string }> {
  const response = await stack.post(key, path, body);
  expect(response.status).toBe(200);
  return { id: response.headers.get('x-tollgate-request-id')!, text: await response.text() };
}

const label = (call_id: string, given: object) => stack.admin('POST', '/labels', { call_id, ...given });

async function exported(query: string): Promise<Record<string, unknown>[]> {
  const headers = { authorization: `Bearer ${ADMIN_KEY}` };
  const response = await fetch(`${stack.app.url}/admin/v1/labels/export?${query}`, { headers });
  const text = await response.text();
  expect(response.status, text).toBe(200);
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

async function rowsOf(teamId: string): Promise<{ event_id: string; sealed: Buffer }[]> {
  return stack.database.sql<{ event_id: string; sealed: Buffer }[]>`
    select event_id, sealed from call_contents where team_id = ${teamId} order by event_at`;
}

/** Contents are stored a second after their calls. */
async function keptRows(teamId: string, count: number) {
  await until(`${count} contents`, async () => (await rowsOf(teamId)).length === count);
  return rowsOf(teamId);
}

describe('contents of calls', () => {
  it('are kept of no team that did not ask for it', async () => {
    const silent = await stack.team({ grantUsd: '5.00' });
    const keeping = await keepingTeam();
    const { id } = await ask(silent.key, '/chat/completions', CHAT);
    await ask(keeping.key, '/chat/completions', CHAT);
    await keptRows(keeping.teamId, 1);
    expect(await rowsOf(silent.teamId)).toEqual([]);
    await expect(label(id, { label: 'edited', edited_text: 'No.' })).rejects.toThrow(/409.*not kept/);
  });

  it('are stored encrypted, and come out as the examples of labelled calls', async () => {
    const { teamId, key } = await keepingTeam();
    const chat = await ask(key, '/chat/completions', CHAT);
    const stream = await ask(key, '/chat/completions', { ...CHAT, stream: true });
    const response = await ask(key, '/responses', RESPONSE);
    const unlabelled = await ask(key, '/responses', { ...RESPONSE, stream: true });
    const refused = await ask(key, '/chat/completions', CHAT);
    for (const { sealed } of await keptRows(teamId, 5)) {
      expect(sealed.toString('latin1')).not.toContain('heliotrope');
      expect(sealed.length).toBeGreaterThan(100);
    }
    expect(await exported(`team_id=${teamId}`)).toEqual([]);
    await label(chat.id, { label: 'accepted' });
    await label(stream.id, { label: 'edited', edited_text: 'It is heliotrope, 是的。' });
    await label(response.id, { label: 'accepted' });
    await label(refused.id, { label: 'rejected' });
    const answer = JSON.parse(chat.text).choices[0].message.content;
    const said = JSON.parse(response.text).output.at(-1).content[0].text;
    const turn = (content: string) => ({ role: 'assistant', content });
    expect(await exported(`team_id=${teamId}`)).toEqual([
      { messages: [...CHAT.messages, turn(answer)] },
      { messages: [...CHAT.messages, turn('It is heliotrope, 是的。')] },
      {
        messages: [{ role: 'system', content: 'Be short.' }, { role: 'user', content: SECRET }, turn(said)],
      },
    ]);
    expect(await exported(`team_id=${teamId}&label=edited`)).toHaveLength(1);
    // Whoever checks an answer reads it where it is labelled; each reading is noted.
    const read = (id: string) => stack.admin('GET', `/events/${id}/content`);
    expect(await read(chat.id)).toMatchObject({
      ...{ call_id: chat.id, state: 'kept', response: chat.text, edited_text: null },
      request: expect.stringContaining('heliotrope'),
      example: { messages: [...CHAT.messages, turn(answer)] },
    });
    expect(await read(stream.id)).toMatchObject({ edited_text: 'It is heliotrope, 是的。' });
    // More than are noted one by one in an hour: they hide no export.
    for (let times = 0; times < 35; times++) await read(chat.id);
    expect(await exported(`team_id=${teamId}&label=accepted`)).toHaveLength(2);
    await label(stream.id, { label: 'accepted' });
    await label(unlabelled.id, { label: 'accepted' });
    const texts = (await exported(`team_id=${teamId}`)).map(
      ({ messages }) => (messages as { content: string }[]).at(-1)!.content,
    );
    expect(texts).toHaveLength(4);
    // A stream's answer is put together from its events.
    const pieces = [...stream.text.matchAll(/^data: (\{.*\})$/gm)].map(([, json]) => JSON.parse(json!));
    expect(texts[1]).toBe(pieces.map(({ choices }) => choices[0]?.delta?.content ?? '').join(''));
    interface Entry {
      action: string;
      after: { filter?: { export?: string; label?: string; team_id?: string } } | null;
    }
    await until('the export in the audit log', async () => {
      const { data } = await stack.admin<{ data: Entry[] }>('GET', '/audit?limit=100');
      const noted = data.filter(({ action }) => action === 'export').map(({ after }) => after?.filter);
      const has = (wanted: object) =>
        noted.some((filter) => JSON.stringify({ ...filter, ...wanted }) === JSON.stringify(filter));
      return (
        has({ export: 'labels', label: 'edited', team_id: teamId }) &&
        has({ export: 'labels', label: 'accepted', team_id: teamId }) &&
        has({ export: 'content', call_id: chat.id, team_id: teamId })
      );
    });
  });

  it('open for their own row alone', async () => {
    const { teamId, key } = await keepingTeam();
    const one = await ask(key, '/chat/completions', CHAT);
    const two = await ask(key, '/chat/completions', {
      ...CHAT,
      messages: [{ role: 'user', content: 'two' }],
    });
    await keptRows(teamId, 2);
    for (const { id } of [one, two]) await label(id, { label: 'accepted' });
    await stack.database.sql`
      update call_contents set sealed = (select sealed from call_contents where event_id = ${two.id}::uuid)
      where event_id = ${one.id}::uuid`;
    const opened = ({ id }: { id: string }) => stack.admin('GET', `/events/${id}/content`);
    expect(await opened(one)).toMatchObject({ state: 'other_key', request: null });
    expect(await opened(two)).toMatchObject({ state: 'kept' });
    const left = await exported(`team_id=${teamId}`);
    await stack.admin('POST', '/labels', { call_id: two.id, label: 'rejected' });
    // None that opens is no empty file.
    await expect(exported(`team_id=${teamId}`)).rejects.toThrow(/another key/);
    expect(left.map(({ messages }) => (messages as object[])[0])).toEqual([{ role: 'user', content: 'two' }]);
  });

  it('outlive neither their days, nor the wish to keep them, nor their team', async () => {
    const { teamId, key } = await keepingTeam(30);
    const { id } = await ask(key, '/chat/completions', CHAT);
    await keptRows(teamId, 1);
    await label(id, { label: 'accepted' });
    const { sql } = stack.database;
    await sql`update call_contents set event_at = event_at - interval '10 days' where team_id = ${teamId}`;
    await stack.admin('PATCH', `/teams/${teamId}`, { content_retention_days: 11 });
    expect(await exported(`team_id=${teamId}`)).toHaveLength(1);
    await stack.admin('PATCH', `/teams/${teamId}`, { content_retention_days: 9 });
    // At once, whenever the row is deleted.
    expect(await exported(`team_id=${teamId}`)).toEqual([]);
    expect(await stack.admin('GET', `/events/${id}/content`)).toMatchObject({ state: 'not_kept' });
    const other = await keepingTeam();
    await ask(other.key, '/chat/completions', CHAT);
    await keptRows(other.teamId, 1);
    await stack.admin('PATCH', `/teams/${other.teamId}`, { content_retention_days: null });
    expect(await rowsOf(other.teamId)).toEqual([]);
    await stack.admin('PATCH', `/teams/${other.teamId}`, { content_retention_days: 3 });
    await until('the setting', async () => {
      await ask(other.key, '/chat/completions', CHAT);
      return (await rowsOf(other.teamId)).length > 0;
    });
    await stack.admin('DELETE', `/teams/${other.teamId}`);
    expect(await rowsOf(other.teamId)).toEqual([]);
    await pruneContents(sql);
    expect(await rowsOf(teamId)).toEqual([]);
  });

  it('are exported by who has the permission of its own, of the teams in scope', async () => {
    const { teamId, key } = await keepingTeam();
    const outside = await keepingTeam();
    const ids: string[] = [];
    for (const each of [key, outside.key]) {
      const { id } = await ask(each, '/chat/completions', CHAT);
      await label(id, { label: 'accepted' });
      ids.push(id);
    }
    await keptRows(teamId, 1);
    await keptRows(outside.teamId, 1);
    const tokenOf = async (role: string) =>
      (
        await stack.admin<{ token: string }>('POST', '/tokens', {
          name: role,
          roles: [{ role, scope: { type: 'team', id: teamId } }],
        })
      ).token;
    const asked = async (role: string, path = '/labels/export') =>
      fetch(`${stack.app.url}/admin/v1${path}`, {
        headers: { authorization: `Bearer ${await tokenOf(role)}` },
      });
    expect((await asked('team_lead')).status).toBe(403);
    const content = (role: string, id: string) => asked(role, `/events/${id}/content`);
    expect((await content('team_lead', ids[0]!)).status).toBe(403);
    expect((await content('admin', ids[0]!)).status).toBe(200);
    expect((await content('admin', ids[1]!)).status).toBe(404);
    const lines = (await (await asked('admin')).text()).split('\n').filter((line) => line !== '');
    expect(lines).toHaveLength(1);
  });
});

it('a team without a key to seal with is refused, and says what is missing', async () => {
  const bare = await startStack();
  try {
    const { teamId } = await bare.team();
    const asked = bare.admin('PATCH', `/teams/${teamId}`, { content_retention_days: 7 });
    await expect(asked).rejects.toThrow(/409.*TOLLGATE_ENCRYPTION_KEY/);
    const team = await bare.admin<{ content_retention_days: number | null }>('GET', `/teams/${teamId}`);
    expect(team.content_retention_days).toBeNull();
  } finally {
    await bare.stop();
  }
});

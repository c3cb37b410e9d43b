/** Tags over HTTP: where they come from, what they are refused for, what they count, and limits of them. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openSocket } from '../simulator/socket.ts';
import { noonZone } from '../support/noon.ts';
import { type Stack, startStack } from './stack.ts';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ env: { TOLLGATE_WORKERS: '1' } });
  await define({ name: 'project', values: ['alpha', 'beta'], sources: ['key', 'header', 'metadata'] });
  await define({ name: 'run', pattern: 'run-*', max_values: 5, sources: ['header'] });
  await define({ name: 'session', sources: ['metadata'] });
});
afterAll(() => stack.stop());

const CALL = { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'hello' }], max_tokens: 20 };
const LIFETIME = { type: 'lifetime' };

interface Refusal {
  error: Record<string, string | number | null>;
}
interface Event {
  id: string;
  cost_usd: string;
  tags: Record<string, string>;
}
interface Sum {
  tag_name?: string;
  tag_value?: string | null;
  team_id?: string;
  model?: string;
  calls: number;
  cost_usd: string;
}

const define = (tag: Record<string, unknown>) => stack.admin('POST', '/tags', tag);
const limit = (body: Record<string, unknown>) =>
  stack.admin<{ id: string }>('POST', '/limits', { window: LIFETIME, ...body });
const events = (teamId: string, query = '') =>
  stack.admin<{ data: Event[] }>('GET', `/events?team_id=${teamId}${query}`).then(({ data }) => data);
const usage = (query: string) =>
  stack.admin<{ data: Sum[] }>('GET', `/usage?interval=total&${query}`).then(({ data }) => data);

function call(key: string, tags: string | null, body: object = {}): Promise<Response> {
  const headers: Record<string, string> = tags === null ? {} : { 'x-tollgate-tags': tags };
  return stack.post(key, '/chat/completions', { ...CALL, ...body }, headers);
}

/** Makes calls one after the other; returns their statuses, and the code of the last error. */
async function calls(key: string, tags: string | null, count: number) {
  const statuses: number[] = [];
  let error: Refusal['error'] = {};
  for (let at = 0; at < count; at++) {
    const response = await call(key, tags);
    statuses.push(response.status);
    const body = (await response.json()) as Partial<Refusal>;
    if (body.error) error = body.error;
  }
  return { statuses, error };
}

async function keyWith(teamId: string, tags: Record<string, string>) {
  const { key } = await stack.admin<{ key: string }>('POST', '/keys', {
    team_id: teamId,
    name: 'tagged',
    tags,
  });
  return key;
}

it('tags of the key, the header and metadata stand on the event', async () => {
  const { teamId } = await stack.team({ unlimited: true });
  const key = await keyWith(teamId, { project: 'alpha', owner: 'platform' });
  const response = await call(key, 'run=run-1,project=beta', {
    metadata: { session: 's-9', other: 'theirs' },
    store: true,
  });
  expect(response.status).toBe(200);
  const [event] = await events(teamId);
  expect(event?.tags).toEqual({ project: 'alpha', owner: 'platform', run: 'run-1', session: 's-9' });
});

it('metadata of a response within a realtime session is read too', async () => {
  const { teamId, key } = await stack.team({ unlimited: true });
  const socket = await openSocket(`${stack.app.url}/v1/realtime?model=gpt-realtime`, {
    authorization: `Bearer ${key}`,
  });
  const response = { max_output_tokens: 100, output_modalities: ['text'], metadata: { session: 's-9' } };
  socket.send({ type: 'response.create', response });
  await socket.next('response.done');
  socket.close();
  await socket.closed();
  await stack.idle();
  const [event] = await events(teamId);
  expect(event?.tags).toEqual({ session: 's-9' });
});

it.each([
  ['colour=red', 'invalid_tag', /'colour' is not allowed.*'project', 'run'/],
  ['project=gamma', 'invalid_tag', /one of 'alpha', 'beta'/],
  ['run=walk', 'invalid_tag', /like 'run-\*'/],
  ['nonsense', 'invalid_tag', /name=value/],
])('x-tollgate-tags: %s is refused before anything is sent', async (tags, code, text) => {
  const { teamId, key } = await stack.team({ unlimited: true });
  const response = await call(key, tags);
  const { error } = (await response.json()) as Refusal;
  expect([response.status, error.code, error.param]).toEqual([400, code, 'x-tollgate-tags']);
  expect(error.message).toMatch(text);
  expect(await events(teamId)).toEqual([]);
});

it('a limit of a value counts its calls alone, whichever key makes them, and its denial names it', async () => {
  const { teamId, key } = await stack.team({ unlimited: true });
  const own = await keyWith(teamId, { project: 'beta' });
  const subject = { type: 'tag', name: 'project', value: 'beta', team_id: teamId };
  const { id } = await limit({ subject, meter: 'requests', amount: '3' });
  expect((await calls(key, 'project=beta', 2)).statuses).toEqual([200, 200]);
  // Its own tag cannot be escaped.
  const { statuses, error } = await calls(own, 'project=alpha', 2);
  expect(statuses).toEqual([200, 429]);
  expect(error).toMatchObject({ code: 'insufficient_quota', limit_id: id });
  expect((await calls(key, 'project=alpha', 1)).statuses).toEqual([200]);
  expect((await calls(key, null, 1)).statuses).toEqual([200]);
  const shown = await stack.admin<{ subject: object }>('GET', `/limits/${id}`);
  expect(shown.subject).toEqual(subject);
});

it('a limit without a value counts each value by itself: each run at most two calls', async () => {
  const { teamId, key } = await stack.team({ unlimited: true });
  await limit({ subject: { type: 'tag', name: 'run', team_id: teamId }, meter: 'requests', amount: '2' });
  await limit({ subject: { type: 'tag', name: 'run', team_id: teamId }, meter: 'cost_usd', amount: '2' });
  expect((await calls(key, 'run=run-a', 3)).statuses).toEqual([200, 200, 429]);
  expect((await calls(key, 'run=run-b', 3)).statuses).toEqual([200, 200, 429]);
  expect((await calls(key, null, 3)).statuses).toEqual([200, 200, 200]);
});

it('a limit of a value of every team counts all teams together', async () => {
  await define({ name: 'centre', sources: ['header'] });
  const { id } = await limit({
    subject: { type: 'tag', name: 'centre', value: '4711' },
    meter: 'requests',
    amount: '3',
  });
  const [one, two] = [await stack.team({ unlimited: true }), await stack.team({ unlimited: true })];
  expect((await calls(one.key, 'centre=4711', 2)).statuses).toEqual([200, 200]);
  const { statuses, error } = await calls(two.key, 'centre=4711', 2);
  expect(statuses).toEqual([200, 429]);
  expect(error.limit_id).toBe(id);
  await stack.admin('DELETE', `/limits/${id}`);
});

it('a limit that is made later counts what its value has used before', async () => {
  const { teamId, key } = await stack.team({ unlimited: true });
  // A key that no call has named is read with all that binds it by now.
  const newKey = () => keyWith(teamId, {});
  expect((await calls(key, 'run=run-x', 2)).statuses).toEqual([200, 200]);
  await stack.settled();
  const subject = { type: 'tag', name: 'run', value: 'run-x', team_id: teamId };
  for (const window of [
    LIFETIME,
    { type: 'rolling', seconds: 3600 },
    { type: 'calendar', unit: 'month', time_zone: noonZone() },
  ]) {
    const { id } = await limit({ subject, meter: 'requests', amount: '2', window });
    expect((await calls(await newKey(), 'run=run-x', 1)).statuses).toEqual([429]);
    await stack.admin('DELETE', `/limits/${id}`);
  }
  expect((await calls(await newKey(), 'run=run-x', 1)).statuses).toEqual([200]);
});

it('a team opens as many values as the tag allows, and another team has its own', async () => {
  const { key } = await stack.team({ unlimited: true });
  const other = await stack.team({ unlimited: true });
  for (let run = 1; run <= 5; run++) expect((await calls(key, `run=run-${run}`, 1)).statuses).toEqual([200]);
  const { statuses, error } = await calls(key, 'run=run-6', 1);
  expect([statuses, error.code]).toEqual([[429], 'too_many_tag_values']);
  expect(error.message).toMatch(/max_values/);
  expect((await calls(key, 'run=run-3', 1)).statuses).toEqual([200]);
  expect((await calls(other.key, 'run=run-6', 1)).statuses).toEqual([200]);
  const tag = await stack.admin<{ open_values: number }>('GET', '/tags/run');
  expect(tag.open_values).toBe(5);
});

it('a required tag is asked for, and a rule that changes binds', async () => {
  const { key } = await stack.team({ unlimited: true });
  await define({ name: 'stage', values: ['test'], required: true, sources: ['header'] });
  const refused = await call(key, null);
  expect(refused.status).toBe(400);
  expect(((await refused.json()) as Refusal).error).toMatchObject({
    code: 'missing_tag',
    param: 'x-tollgate-tags',
  });
  expect((await calls(key, 'stage=test', 1)).statuses).toEqual([200]);
  await stack.admin('DELETE', '/tags/stage');
  await expect.poll(async () => (await calls(key, null, 1)).statuses, { timeout: 30_000 }).toEqual([200]);
});

it('spend by tag adds up to what the events say, with what bears no tag, and is filtered by one', async () => {
  const { teamId, key } = await stack.team({ unlimited: true });
  await calls(key, 'project=alpha,run=run-1', 2);
  await calls(key, 'project=beta', 1);
  await calls(key, null, 1);
  const all = await events(teamId);
  const sum = (list: Event[]) =>
    list.reduce((total, event) => total + Math.round(Number(event.cost_usd) * 1e12), 0);
  const pico = (usd: string) => Math.round(Number(usd) * 1e12);
  const rows = await usage(`group_by=tag:project&team_id=${teamId}`);
  expect(rows.map(({ tag_name, tag_value, calls: count }) => [tag_name, tag_value, count])).toEqual([
    ['project', 'alpha', 2],
    ['project', 'beta', 1],
    ['project', null, 1],
  ]);
  for (const row of rows)
    expect(pico(row.cost_usd)).toBe(sum(all.filter(({ tags }) => (tags.project ?? null) === row.tag_value)));
  const alpha = await usage(`tag=project%3Dalpha&group_by=model&team_id=${teamId}`);
  expect(alpha.map(({ model, calls: count }) => [model, count])).toEqual([['gpt-4o-mini', 2]]);
  const daily = await stack.admin<{ data: Sum[] }>(
    'GET',
    `/usage?interval=day&time_zone=Asia/Kolkata&group_by=tag:run,team,model&team_id=${teamId}`,
  );
  expect(daily.data.map(({ tag_value, calls: count }) => [tag_value, count])).toEqual([
    ['run-1', 2],
    [null, 2],
  ]);
  expect((await events(teamId, '&tag=project%3Dbeta')).map(({ tags }) => tags)).toEqual([
    { project: 'beta' },
  ]);
});

/** What the upstream keeps for a team: files, uploads, conversations, stored answers and lists of one's own, by the official SDK. */
import { randomBytes } from 'node:crypto';
import OpenAI, { toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Stack, startStack } from './stack.ts';

const MODEL = 'gpt-5-mini';

let stack: Stack;
let client: OpenAI;
let stranger: OpenAI;
let teamId: string;

beforeAll(async () => {
  stack = await startStack({ env: { TOLLGATE_FREE_CALLS_PER_MINUTE: '100000' } });
  const own = await stack.team({ grantUsd: '100.00' });
  const other = await stack.team({ grantUsd: '100.00' });
  ({ teamId } = own);
  const baseURL = `${stack.app.url}/v1`;
  client = new OpenAI({ apiKey: own.key, baseURL, maxRetries: 0 });
  stranger = new OpenAI({ apiKey: other.key, baseURL, maxRetries: 0 });
});
afterAll(() => stack.stop());

const fileOf = (text: string) => toFile(Buffer.from(text), 'a.jsonl');
const add = (by: OpenAI, text = '{}\n') =>
  fileOf(text).then((file) => by.files.create({ file, purpose: 'user_data' }));

async function idsOf(list: AsyncIterable<{ id: string }>): Promise<string[]> {
  const ids: string[] = [];
  for await (const { id } of list) ids.push(id);
  return ids;
}

it('a name that Postgres cannot store is that of nothing: 404, where a look-up fails for good', async () => {
  const job = client.fineTuning.jobs.create({ training_file: '\0', model: 'gpt-4o-mini' });
  await expect(job).rejects.toMatchObject({ status: 404, param: 'training_file' });
});

describe('a file', () => {
  it('comes back as it was sent, and is gone when it is deleted', async () => {
    const text = randomBytes(200_000).toString('base64');
    const { id, bytes } = await add(client, text);
    expect(bytes).toBe(text.length);
    expect((await client.files.retrieve(id)).purpose).toBe('user_data');
    const content = await client.files.content(id);
    expect(content.headers.get('content-length')).toBe(String(text.length));
    expect(await content.text()).toBe(text);
    expect(await client.files.delete(id)).toMatchObject({ id, deleted: true });
    await expect(client.files.retrieve(id)).rejects.toMatchObject({ status: 404 });
  });

  it('is recorded with its size and purpose before its id leaves', async () => {
    const { id } = await add(client, 'abcdef');
    const rows = await stack.database.sql`select team_id, kind, weight from objects where id = ${id}`;
    expect(rows).toEqual([{ team_id: teamId, kind: 'file', weight: { bytes: 6, purpose: 'user_data' } }]);
  });

  it('is refused as JSON, too large, and where the upstream refuses it', async () => {
    const url = `${stack.app.url}/v1/files`;
    const headers = { authorization: `Bearer ${client.apiKey}` };
    const json = await fetch(url, {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json' },
      body: '{}',
    });
    expect([json.status, ((await json.json()) as { error: { code: string } }).error.code]).toEqual([
      400,
      'invalid_request',
    ]);
    const data = new FormData();
    data.append('file', new Blob(['x']), 'x');
    const lacking = await fetch(url, { method: 'POST', headers, body: data });
    expect([lacking.status, await lacking.text()]).toEqual([400, expect.stringContaining('purpose')]);
  });

  it('may be sent in parts', async () => {
    const upload = await client.uploads.create({
      ...{ bytes: 6, filename: 'c.txt', mime_type: 'text/plain', purpose: 'user_data' },
    });
    const parts = [await fileOf('abc'), await fileOf('def')];
    const ids: string[] = [];
    for (const data of parts) ids.push((await client.uploads.parts.create(upload.id, { data })).id);
    const { file } = await client.uploads.complete(upload.id, { part_ids: ids });
    expect(await (await client.files.content(file?.id ?? '')).text()).toBe('abcdef');
    await expect(stranger.files.content(file?.id ?? '')).rejects.toMatchObject({ status: 404 });
    expect(await client.uploads.cancel(upload.id)).toMatchObject({ status: 'cancelled' });
  });
});

describe('a list', () => {
  it("has one's own objects alone, on pages that are full, in both orders", async () => {
    const own: string[] = [];
    for (let index = 0; index < 7; index++) {
      own.push((await add(client)).id);
      await add(stranger);
    }
    const newest = own.toReversed();
    const first = await client.files.list({ limit: 3 });
    expect(first.data.map(({ id }) => id)).toEqual(newest.slice(0, 3));
    expect(first).toMatchObject({ has_more: true });
    expect((await idsOf(client.files.list({ limit: 3 }))).slice(0, 7)).toEqual(newest);
    expect((await idsOf(client.files.list({ order: 'asc', limit: 2 }))).slice(-7)).toEqual(own);
    const all = await client.files.list();
    expect(all).toMatchObject({ has_more: false });
    expect(await client.files.list({ purpose: 'batch' })).toMatchObject({ data: [], has_more: false });
    const strangers = await idsOf(stranger.files.list());
    expect(all.data.filter(({ id }) => strangers.includes(id))).toEqual([]);
  });

  it('goes on when what it found is deleted on the way', async () => {
    const before = await idsOf(client.files.list());
    for await (const { id } of client.files.list({ limit: 2 })) await client.files.delete(id);
    expect(before.length).toBeGreaterThan(4);
    expect(await idsOf(client.files.list())).toEqual([]);
  });

  it('of stored completions has those of the team, streamed ones too', async () => {
    const messages = [{ role: 'user' as const, content: 'hi' }];
    const body = { model: MODEL, messages, max_completion_tokens: 64, store: true };
    const { id } = await client.chat.completions.create({ ...body, metadata: { a: 'b' } });
    let streamed = '';
    for await (const chunk of await client.chat.completions.create({ ...body, stream: true }))
      streamed = chunk.id;
    await stranger.chat.completions.create(body);
    expect(await client.chat.completions.retrieve(id)).toMatchObject({ id });
    expect(await idsOf(client.chat.completions.list({ limit: 1 }))).toEqual([id, streamed]);
    expect(await idsOf(client.chat.completions.list({ metadata: { a: 'b' } }))).toEqual([id]);
    expect((await client.chat.completions.messages.list(id)).data).toHaveLength(1);
    expect(await client.chat.completions.update(id, { metadata: { c: 'd' } })).toMatchObject({
      metadata: { c: 'd' },
    });
    expect(await client.chat.completions.delete(id)).toMatchObject({ deleted: true });
  });
});

describe('a response', () => {
  it('is read, counted and deleted by its team', async () => {
    const { id } = await client.responses.create({ model: MODEL, input: 'hi', max_output_tokens: 64 });
    expect(await client.responses.retrieve(id)).toMatchObject({ id });
    expect((await client.responses.inputItems.list(id)).data).toHaveLength(1);
    await expect(client.responses.cancel(id)).rejects.toMatchObject({ status: 400 });
    expect(
      (await client.responses.inputTokens.count({ model: MODEL, input: 'hi' })).input_tokens,
    ).toBeGreaterThan(0);
    await client.responses.delete(id);
    await expect(client.responses.retrieve(id)).rejects.toMatchObject({ status: 404 });
  });
});

describe('a conversation', () => {
  it('is made, filled, read by a response, and holds what was put into it', async () => {
    const text = 'word '.repeat(2000);
    const item = { type: 'message' as const, role: 'user' as const, content: text };
    const { id } = await client.conversations.create({ items: [item], metadata: { a: 'b' } });
    await client.conversations.items.create(id, { items: [item] });
    expect((await client.conversations.items.list(id)).data).toHaveLength(2);
    await client.responses.create({ model: MODEL, input: 'go on', conversation: id, max_output_tokens: 64 });
    await stack.settled();
    const [event] = await stack.database.sql<{ hold_usd: string; cost_usd: string }[]>`
      select hold_usd, cost_usd from usage_events where operation = 'responses' order by id desc limit 1`;
    // $0.25 for a million tokens of input: more than the text's bytes, less than the window of 272,000 tokens.
    expect(Number(event?.hold_usd)).toBeGreaterThan(2 * text.length * 0.25e-6);
    expect(Number(event?.hold_usd)).toBeLessThan(100_000 * 0.25e-6);
    expect(Number(event?.cost_usd)).toBeLessThan(Number(event?.hold_usd));
    await client.conversations.update(id, { metadata: { c: 'd' } });
    const items = await client.conversations.items.list(id);
    const first = items.data.at(-1)?.id ?? '';
    expect(await client.conversations.items.retrieve(first, { conversation_id: id })).toMatchObject({
      id: first,
    });
    await client.conversations.items.delete(first, { conversation_id: id });
    await client.conversations.delete(id);
    await expect(client.conversations.retrieve(id)).rejects.toMatchObject({ status: 404 });
  });
});

describe('an object that all teams share', () => {
  it('is read and listed by each and changed by none', async () => {
    const upstream = new OpenAI({ apiKey: 'sk-upstream', baseURL: stack.simulator.url });
    const store = await upstream.vectorStores.create({ name: 'handbook' });
    const { id } = await upstream.files.create({ file: await fileOf('shared'), purpose: 'user_data' });
    await upstream.vectorStores.files.create(store.id, { file_id: id });
    await expect(client.files.retrieve(id)).rejects.toMatchObject({ status: 404 });
    const share = { team_id: null };
    await stack.admin('POST', '/objects', { kind: 'file', id, ...share });
    await stack.admin('POST', '/objects', { kind: 'vector_store', id: store.id, ...share });
    for (const by of [client, stranger]) {
      expect(await (await by.files.content(id)).text()).toBe('shared');
      expect(await idsOf(by.files.list())).toContain(id);
      expect((await by.vectorStores.list()).data.map((each) => each.id)).toEqual([store.id]);
      expect((await by.vectorStores.files.list(store.id)).data).toHaveLength(1);
      await expect(by.files.delete(id)).rejects.toMatchObject({ status: 403 });
      await expect(by.vectorStores.update(store.id, { name: 'x' })).rejects.toMatchObject({ status: 403 });
    }
    await expect(stack.admin('POST', '/objects', { kind: 'file', id, ...share })).rejects.toThrow(/409/);
    await expect(
      stack.admin('POST', '/objects', { kind: 'response', id: 'resp_1', ...share }),
    ).rejects.toThrow(/400/);
  });
});

describe('skills, evals and consents', () => {
  it('belong to their team, are listed to it alone, and cost nothing', async () => {
    const billed = stack.simulator.invoice().billed_lines;
    const skill = await client.skills.create({ files: [await fileOf('zip')] });
    const made = await client.skills.versions.create(skill.id, { files: [await fileOf('zip')] });
    expect(made.skill_id).toBe(skill.id);
    expect(await idsOf(client.skills.versions.list(skill.id))).toEqual([made.id]);
    expect(await (await client.skills.content.retrieve(skill.id)).text()).toBe('zip');
    await client.skills.update(skill.id, { default_version: '1' });
    const source = { type: 'custom', item_schema: { type: 'object' } } as const;
    const ev = await client.evals.create({ data_source_config: source, testing_criteria: [] });
    expect(await idsOf(client.evals.runs.list(ev.id))).toEqual([]);
    const form = new FormData();
    form.append('recording', new Blob(['RIFF']), 'a.wav');
    const url = `${stack.app.url}/v1/audio/voice_consents`;
    const headers = (by: OpenAI) => ({ authorization: `Bearer ${by.apiKey}` });
    const sent = await fetch(url, { method: 'POST', headers: headers(client), body: form });
    const consent = ((await sent.json()) as { id: string }).id;
    const consentsOf = async (by: OpenAI) => {
      const { data } = (await (await fetch(url, { headers: headers(by) })).json()) as {
        data: { id: string }[];
      };
      return data.map(({ id }) => id);
    };
    expect(await idsOf(client.skills.list())).toEqual([skill.id]);
    expect(await idsOf(client.evals.list())).toEqual([ev.id]);
    expect(await consentsOf(client)).toEqual([consent]);
    expect(await idsOf(stranger.skills.list())).toEqual([]);
    expect(await idsOf(stranger.evals.list())).toEqual([]);
    expect(await consentsOf(stranger)).toEqual([]);
    expect(stack.simulator.invoice().billed_lines).toBe(billed);
    await client.evals.delete(ev.id);
    await expect(client.evals.retrieve(ev.id)).rejects.toMatchObject({ status: 404 });
  });

  it('a skill may come as JSON, which names nothing of another team', async () => {
    const { id } = await client.skills.create();
    expect((await client.skills.retrieve(id)).id).toBe(id);
    const { id: file_id } = await stranger.files.create({ purpose: 'user_data', file: await fileOf('x') });
    await expect(client.post('/skills', { body: { files: [{ file_id }] } })).rejects.toMatchObject({
      ...{ status: 404, param: 'files[0].file_id' },
    });
  });

  it('a stored skill runs in the team’s containers, and in no other’s', async () => {
    const skill = await client.skills.create({ files: [await fileOf('zip')] });
    const skills = [{ type: 'skill_reference', skill_id: skill.id } as const];
    const container = { name: 'c', skills };
    expect((await client.containers.create(container)).id).toMatch(/^cntr_/);
    await expect(stranger.containers.create(container)).rejects.toMatchObject({
      ...{ status: 404, param: 'skills[0].skill_id' },
    });
    const environment = { type: 'container_auto', skills } as const;
    const tools: OpenAI.Responses.Tool[] = [{ type: 'shell', environment }];
    const asked = { model: MODEL, input: 'hi', max_output_tokens: 64, max_tool_calls: 0, tools };
    const { response } = await client.responses.create(asked).withResponse();
    // What a stored skill says stands nowhere in the request: the model's window is held, though no call is made.
    expect(Number(response.headers.get('x-tollgate-cost-usd'))).toBeLessThan(0.06);
    await expect(stranger.responses.create(asked)).rejects.toMatchObject({
      ...{ status: 404, param: 'tools[0].environment.skills[0].skill_id' },
    });
  });

  it('a voice is refused, and the reason says why', async () => {
    await expect(client.post('/audio/voices', { body: {} })).rejects.toMatchObject({
      ...{ status: 404, message: expect.stringMatching(/no price of a custom voice is published/) },
    });
  });
});

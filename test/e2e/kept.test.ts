/**
 * What the upstream keeps: later calls that name it are held at what it weighs. The simulator, which keeps it too, is the
 * judge: it bills what it reads again.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Config, readConfig } from '../../src/config.ts';
import { type App, startApp } from '../../src/main/start.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { disagreements, readEvents } from './books.ts';
import { ADMIN_KEY, type Stack, startStack } from './stack.ts';

const MODEL = 'gpt-5-mini';

interface Answer {
  id: string;
  output: { id: string; type: string; encrypted_content?: string }[];
  usage: { input_tokens: number; output_tokens_details: { reasoning_tokens: number } };
  error?: { code: string; message: string; param: string | null } | null;
}

let stack: Stack;
let second: App;
let secondFolder: string;
let key: string;
let teamId: string;
let strangerKey: string;

beforeAll(async () => {
  stack = await startStack({ simulator: { profile: { cacheChance: 0 } } });
  secondFolder = mkdtempSync(join(tmpdir(), 'tollgate-kept-'));
  const config = readConfig({
    PORT: '0',
    OPENAI_API_KEY: 'sk-upstream',
    OPENAI_BASE_URL: stack.simulator.url,
    TOLLGATE_DATA_DIR: secondFolder,
    TOLLGATE_ADMIN_KEY: ADMIN_KEY,
  }) as Config;
  const log = createLog({ level: 'silent', logCalls: false, secrets: [] });
  second = await startApp({ config, log, version: 'test', connection: stack.database.connection });
  ({ key, teamId } = await stack.team({ grantUsd: '500.00' }));
  ({ key: strangerKey } = await stack.team({ grantUsd: '500.00' }));
});
afterAll(async () => {
  await second.stop();
  await stack.stop();
  rmSync(secondFolder, { recursive: true, force: true });
});

async function respond(body: object, options: { by?: string; at?: App; headers?: object } = {}) {
  const { by = key, at = stack.app, headers = {} } = options;
  const response = await fetch(`${at.url}/v1/responses`, {
    method: 'POST',
    headers: { authorization: `Bearer ${by}`, 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ model: MODEL, max_output_tokens: 2000, ...body }),
  });
  return { status: response.status, body: (await response.json()) as Answer, headers: response.headers };
}

/** Repeats a 503 as the SDKs do: on a busy machine Postgres may be slow to lend. */
async function ok(body: object, options: Parameters<typeof respond>[1] = {}): Promise<Answer> {
  let answer = await respond(body, options);
  for (let retry = 0; retry < 2 && answer.status === 503; retry++) {
    await setTimeout(Number(answer.headers.get('retry-after-ms')));
    answer = await respond(body, options);
  }
  expect([answer.status, answer.body.error ?? null]).toEqual([200, null]);
  return answer.body;
}

/** Every call cost what was billed, and no more than it held. */
async function checkBooks(): Promise<void> {
  await stack.idle();
  await Promise.all([stack.settled(), fetch(`${second.url}/admin/v1/events?limit=1`, admin)]);
  const lines = stack.simulator.invoice().lines.filter(({ operation }) => operation?.startsWith('responses'));
  expect(disagreements(await readEvents(stack), lines)).toEqual([]);
}
const admin = { headers: { authorization: `Bearer ${ADMIN_KEY}` } };

/** The input that the last call of the team was held at, in tokens at the price of input of the model. */
async function lastHold(): Promise<number> {
  await stack.settled();
  const events = await readEvents(stack, teamId);
  const last = events.toSorted((a, b) => (a.id < b.id ? -1 : 1)).at(-1)!;
  // $0.25 and $2.00 for a million tokens of input and output.
  return (Number(last.hold_usd) - 2000 * 2e-6) / 0.25e-6;
}
const WINDOW = 272_000;

const turns = ['one', 'two', 'three', 'four', 'five'];

describe.each(['random', 'all_turns', 'current_turn'] as const)(
  'a conversation of five turns on a reasoning model, with %s reasoning given again,',
  (reasoningContext) => {
    beforeAll(() => stack.simulator.setProfile({ reasoningContext }));
    afterAll(checkBooks);

    it('goes on behind previous_response_id, on either replica', async () => {
      let previous: string | null = null;
      for (const [index, text] of turns.entries()) {
        const at = index % 2 === 0 ? stack.app : second;
        const answer: Answer = await ok({ input: `turn ${text}`, previous_response_id: previous }, { at });
        if (index > 0 && at === stack.app) expect(await lastHold()).toBeLessThan(WINDOW / 4);
        previous = answer.id;
      }
    });

    it('goes on with references to items', async () => {
      const input: object[] = [];
      for (const text of turns) {
        input.push({ role: 'user', content: `turn ${text}` });
        const answer = await ok({ input });
        input.push(...answer.output.map(({ id }) => ({ type: 'item_reference', id })));
      }
      expect(await lastHold()).toBeLessThan(WINDOW / 4);
    });

    it('goes on with reasoning items by their id, and the rest in full', async () => {
      const input: object[] = [];
      for (const text of turns) {
        input.push({ role: 'user', content: `turn ${text}` });
        input.push(...(await ok({ input })).output);
      }
      expect(await lastHold()).toBeLessThan(WINDOW / 4);
    });

    it('goes on with encrypted reasoning, which nothing keeps', async () => {
      const input: object[] = [];
      const stateless = { store: false, include: ['reasoning.encrypted_content'] };
      for (const text of turns) {
        input.push({ role: 'user', content: `turn ${text}` });
        const { output } = await ok({ input, ...stateless });
        input.push(...output.map(({ id: _, ...item }) => item));
      }
      expect(await lastHold()).toBeLessThan(WINDOW / 4);
      const rows = await stack.database
        .sql`select 1 from objects where team_id = ${teamId} and names && ${input.map((item) =>
        String((item as { id?: string }).id),
      )}::text[]`;
      expect(rows).toEqual([]);
    });
  },
);

describe('what the upstream keeps', () => {
  afterAll(checkBooks);

  it.each([
    ['previous_response_id', (id: string) => ({ input: 'x', previous_response_id: id }), 'resp'],
    ['input[0].id', (id: string) => ({ input: [{ type: 'item_reference', id }] }), 'msg'],
    ['input[0].id', (id: string) => ({ input: [{ type: 'reasoning', id, summary: [] }] }), 'rs'],
    ['conversation', (id: string) => ({ input: 'x', conversation: id }), 'conv'],
  ] as const)('belongs to its team: %s of another, or of none, is not found', async (param, bodyOf, kind) => {
    const made = await ok({ input: 'mine' });
    const ids = { resp: made.id, rs: made.output[0]!.id, msg: made.output[1]!.id, conv: 'conv_x' };
    const lines = stack.simulator.invoice().line_count;
    const asked = [ids[kind], `${kind}_unknown`].map((id) => respond(bodyOf(id), { by: strangerKey }));
    for (const { status, body } of await Promise.all(asked)) {
      expect([status, body.error?.code, body.error?.param]).toEqual([404, 'not_found', param]);
      expect(body.error?.message).toContain('"store": false');
      expect(body.error?.message).toContain('reasoning.encrypted_content');
    }
    expect(stack.simulator.invoice().line_count).toBe(lines);
  });

  it('weighs its bytes for another model, and the window where reasoning is hidden in it', async () => {
    const plain = await ok({ model: 'gpt-4o-mini', input: 'x'.repeat(3000) });
    await ok({ model: 'gpt-4.1-mini', input: 'go on', previous_response_id: plain.id });
    const hold = async () => Number((await newest()).hold_usd);
    // $0.40 and $1.60 for a million tokens.
    const tokens = ((await hold()) - 2000 * 1.6e-6) / 0.4e-6;
    expect(tokens).toBeGreaterThan(3000);
    expect(tokens).toBeLessThan(9000);
    const thought = await ok({ input: 'think' });
    await ok({ model: 'gpt-5', input: 'go on', previous_response_id: thought.id });
    // $1.25 and $10.00: the whole window of 272,000 tokens.
    expect(await hold()).toBeGreaterThanOrEqual(272_000 * 1.25e-6);
  });

  it('weighs the hold where no usage was reported', async () => {
    const silent = await ok({ input: 'a'.repeat(400) }, { headers: { 'x-simulator': 'fault=no_usage' } });
    await ok({ input: 'go on', previous_response_id: silent.id });
    expect(await lastHold()).toBeGreaterThan(400 + 2000);
  });

  it('weighs the hold where a stream broke off', async () => {
    const headers = { 'x-simulator': 'fault=cut_mid_stream' };
    const response = await stack.post(
      key,
      '/responses',
      { model: MODEL, input: 'a'.repeat(400), max_output_tokens: 2000, stream: true },
      headers,
    );
    const id = /"id":"(resp_\w+)"/.exec(await response.text())![1]!;
    await ok({ input: 'go on', previous_response_id: id });
    expect(await lastHold()).toBeGreaterThan(400 + 2000);
  });

  it('leaves one row a stored response, for as long as the upstream keeps it', async () => {
    const { id, output } = await ok({ input: 'once' });
    await stack.settled();
    const rows = await stack.database.sql<{ names: string[]; days: number }[]>`
      select names, extract(epoch from expires_at - created_at)::float8 / 86400 as days
      from objects where id = ${id}`;
    expect(rows).toEqual([{ names: output.map((item) => item.id), days: 30 }]);
  });

  async function newest() {
    await stack.settled();
    return (await readEvents(stack, teamId)).toSorted((a, b) => (a.id < b.id ? -1 : 1)).at(-1)!;
  }
});

describe('a conversation', () => {
  afterAll(checkBooks);

  async function converse(
    body: { max_tokens?: number } = { max_tokens: 0 },
    owner = teamId,
  ): Promise<string> {
    const made = await fetch(`${stack.simulator.url}/conversations`, {
      method: 'POST',
      headers: { authorization: 'Bearer sk-upstream' },
      body: '{}',
    });
    const { id } = (await made.json()) as { id: string };
    await stack.admin('POST', '/objects', { kind: 'conversation', id, team_id: owner, ...body });
    return id;
  }

  it('goes on for five turns, on either replica, at what was counted', async () => {
    stack.simulator.setProfile({ reasoningContext: 'random' });
    const conversation = await converse();
    for (const [index, text] of turns.entries()) {
      const at = index % 2 === 0 ? stack.app : second;
      await ok({ input: `turn ${text}`, conversation: { id: conversation } }, { at });
    }
    await ok({ input: 'last', conversation });
    expect(await lastHold()).toBeLessThan(WINDOW / 4);
  });

  it('holds the window while what it holds is not known, and less once a call has counted it', async () => {
    stack.simulator.setProfile({ reasoningContext: 'all_turns' });
    const conversation = await converse({});
    await ok({ input: 'one', conversation });
    expect(await lastHold()).toBeGreaterThanOrEqual(WINDOW);
    await stack.settled();
    await ok({ input: 'two', conversation });
    expect(await lastHold()).toBeLessThan(WINDOW / 4);
    stack.simulator.setProfile({ reasoningContext: 'random' });
  });

  it('counts calls that are under way in it, on every replica', async () => {
    const conversation = await converse();
    const slow = { headers: { 'x-simulator': 'first_byte_ms=5000' } };
    const call = (text: string, options: Parameters<typeof respond>[1]) =>
      ok({ input: text, conversation }, options);
    const underWay = [
      call('a'.repeat(5000), slow),
      call('b'.repeat(5000), { ...slow, at: second }),
      call('c'.repeat(5000), slow),
    ];
    await until(async () => (await callsIn(conversation)) === 3);
    await call('now', {});
    expect(await lastHold()).toBeGreaterThan(3 * (5000 + 2000));
    await Promise.all(underWay);
    for (const text of turns) await call(text, { at: second });
    await until(async () => (await callsIn(conversation)) === 0);
  });

  it('is left by a call that is denied, and by one that the upstream declines', async () => {
    const conversation = await converse();
    const headers = { 'x-simulator': 'fault=rate_limit' };
    expect((await respond({ input: 'x', conversation }, { headers })).status).toBe(429);
    const denied = await respond({ input: 'x', conversation, max_output_tokens: 2_000_000_000 });
    expect(denied.status).toBeGreaterThanOrEqual(400);
    await until(async () => (await callsIn(conversation)) === 0);
  });

  it('still counts a call of unknown outcome', async () => {
    const conversation = await converse();
    const headers = { 'x-simulator': 'fault=html_502' };
    const lost = { model: MODEL, input: 'a'.repeat(3000), conversation, max_output_tokens: 2000 };
    expect((await stack.post(key, '/responses', lost, headers)).status).toBe(502);
    await ok({ input: 'on', conversation });
    expect(await lastHold()).toBeGreaterThan(3000 + 2000);
    expect(await callsIn(conversation)).toBeGreaterThanOrEqual(1);
  });

  it('is weighed again for a call that waited while a later one wrote into it', async () => {
    const { key: by, teamId: owner } = await stack.team({ limitUsd: '0.006' });
    const conversation = await converse({ max_tokens: 0 }, owner);
    // $0.004 of output each: the second waits for the first.
    const first = ok({ input: 'x' }, { by, headers: { 'x-simulator': 'first_byte_ms=5000,output=20' } });
    await until(
      async () =>
        (await stack.admin<{ held_usd: string }>('GET', `/teams/${owner}/balance`)).held_usd > '0.004',
    );
    const second = respond({ input: 'x', conversation }, { by });
    await until(async () => (await callsIn(conversation)) === 1);
    await ok({ input: 'x', conversation, max_output_tokens: 16 }, { by });
    await first;
    expect((await second).status).toBe(200);
    await until(async () => (await callsIn(conversation)) === 0);
  });

  it('is given to a team once', async () => {
    const id = await converse();
    const again = stack.admin('POST', '/objects', { kind: 'conversation', id, team_id: teamId });
    await expect(again).rejects.toThrow('409');
    const entries = await stack.admin<{ data: { resource_id: string }[] }>('GET', '/audit?resource=object');
    expect(entries.data[0]).toMatchObject({ resource_id: id, team_id: teamId, action: 'create' });
  });

  it('takes calls at once also of a team that has nothing lent yet', async () => {
    const { key: by, teamId: owner } = await stack.team({ grantUsd: '5.00' });
    const conversation = await converse({ max_tokens: 0 }, owner);
    const calls = ['a', 'b', 'c', 'd', 'e', 'f'].map((text, at) =>
      respond({ input: text, conversation }, { by, at: at % 2 === 0 ? stack.app : second }),
    );
    for (const { status } of await Promise.all(calls)) expect(status).toBe(200);
  });

  async function callsIn(conversation: string): Promise<number> {
    const [row] = await stack.database.sql<{ count: number }[]>`
      select count(*)::int4 as count from conversation_calls where conversation_id = ${conversation}`;
    return row!.count;
  }

  async function until(condition: () => Promise<boolean>): Promise<void> {
    await expect.poll(condition, { timeout: 30_000 }).toBe(true);
  }
});

describe('a compaction', () => {
  afterAll(checkBooks);

  const compact = (body: object) => stack.post(key, '/responses/compact', { model: MODEL, ...body });

  it("holds the model's longest output, and its summary weighs what was written", async () => {
    const before = await ok({ input: 'x'.repeat(20_000) });
    for (const body of [
      { input: [{ role: 'user', content: 'x'.repeat(20_000) }], instructions: 'be brief' },
      { previous_response_id: before.id },
    ]) {
      const response = await compact(body);
      const { output } = (await response.json()) as Answer;
      expect(response.status).toBe(200);
      expect(output.map(({ type }) => type)).toEqual(['compaction']);
      await stack.settled();
      const event = (await readEvents(stack, teamId)).findLast(
        ({ operation }) => operation === 'responses.compact',
      )!;
      // 128,000 tokens at $2.00 for a million.
      expect(Number(event.hold_usd)).toBeGreaterThan(0.256);
      await ok({ input: [...output, { role: 'user', content: 'go on' }] });
      expect(await lastHold()).toBeLessThan(WINDOW / 4);
    }
  });

  it('refuses what it has not', async () => {
    for (const [body, param] of [
      [{ input: 'x', stream: true }, 'stream'],
      [{ input: 'x', tools: [] }, 'tools'],
      [{ input: 'x', previous_response_id: 'resp_unknown' }, 'previous_response_id'],
    ] as const) {
      const response = await compact(body);
      expect([response.ok, ((await response.json()) as Answer).error?.param]).toEqual([false, param]);
    }
  });
});

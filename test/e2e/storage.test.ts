/** What lasts upstream is billed to the team that made it: containers by their sessions, vector stores by the day. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { chargeStorage, readSize } from '../../src/jobs/storage.ts';
import { readRateBook } from '../../src/store/rate-cards.ts';
import type { KeptStore } from '../../src/store/storage.ts';
import { UpstreamReader } from '../../src/upstreams/read.ts';
import { createUpstream } from '../../src/wire/client.ts';
import { disagreements, readBalance, readEvents } from './books.ts';
import { type Stack, startStack } from './stack.ts';

let stack: Stack;
beforeAll(async () => {
  // A byte of a file takes a mebibyte in a store.
  stack = await startStack({ simulator: { profile: { storedBytesPerByte: 1024 * 1024 } } });
});
afterAll(() => stack.stop());

interface Reply {
  status: number;
  body: { id: string; error: { code: string; param: string | null; message: string } };
}

async function call(key: string, method: string, path: string, body?: object): Promise<Reply> {
  const isForm = body instanceof FormData;
  const response = await fetch(`${stack.app.url}/v1${path}`, {
    method,
    headers: {
      authorization: `Bearer ${key}`,
      ...(body === undefined || isForm ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: isForm ? body : JSON.stringify(body) }),
  });
  return { status: response.status, body: (await response.json()) as Reply['body'] };
}

async function made(key: string, path: string, body: object): Promise<string> {
  const reply = await call(key, 'POST', path, body);
  expect([path, reply.status, reply.body.error ?? null]).toEqual([path, 200, null]);
  return reply.body.id;
}

function form(fields: Record<string, string>): FormData {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields))
    data.append(name, name === 'file' ? new Blob([value]) : value);
  return data;
}

describe('a container', () => {
  it('is billed a session when it is made, and the calls within it none', async () => {
    const { teamId, key } = await stack.team({ grantUsd: '100.00' });
    const id = await made(key, '/containers', { name: 'c', memory_limit: '4g' });
    const body = { model: 'gpt-5-mini', input: 'hi', max_output_tokens: 100 };
    const tools = [{ type: 'code_interpreter', container: id }];
    expect((await stack.post(key, '/responses', { ...body, tools })).status).toBe(200);
    const file = await made(key, `/containers/${id}/files`, form({ file: 'abc' }));
    expect((await call(key, 'GET', `/containers/${id}/files/${file}`)).status).toBe(200);
    const content = await fetch(`${stack.app.url}/v1/containers/${id}/files/${file}/content`, {
      headers: { authorization: `Bearer ${key}` },
    });
    expect(await content.text()).toBe('abc');
    await stack.settled();
    const events = await readEvents(stack, teamId);
    const ids = new Set(events.map((event) => event.id));
    const lines = stack.simulator.invoice().lines.filter((line) => ids.has(line.client_request_id ?? ''));
    expect(disagreements(events, lines, () => false)).toEqual([]);
    const [first, second] = events;
    expect([first?.operation, first?.model, first?.cost_usd]).toEqual([
      'containers.create',
      'container',
      '0.12',
    ]);
    expect(first?.quantities).toEqual({ container_sessions: 4 });
    expect(second?.quantities?.container_sessions).toBeUndefined();
  });

  it('takes no file of another team, in JSON or in a form, and another team not even its name', async () => {
    const { key } = await stack.team({ grantUsd: '100.00' });
    const { key: stranger } = await stack.team({ grantUsd: '100.00' });
    const file = await made(stranger, '/files', form({ purpose: 'user_data', file: '{}' }));
    const id = await made(key, '/containers', { name: 'c' });
    for (const body of [{ file_id: file }, form({ file_id: file })]) {
      const reply = await call(key, 'POST', `/containers/${id}/files`, body);
      expect([reply.status, reply.body.error?.param]).toEqual([404, 'file_id']);
    }
    const wrong = await call(key, 'POST', '/containers', { name: 'c', file_ids: [file] });
    expect([wrong.status, wrong.body.error.param]).toEqual([404, 'file_ids[0]']);
    expect((await call(stranger, 'GET', `/containers/${id}`)).status).toBe(404);
  });

  it('is not made where a session cannot be paid', async () => {
    const { key } = await stack.team({ grantUsd: '0.10' });
    const { status, body } = await call(key, 'POST', '/containers', { name: 'c', memory_limit: '4g' });
    expect([status, body.error.code]).toEqual([429, 'insufficient_quota']);
    expect((await call(key, 'POST', '/containers', { name: 'c', memory_limit: '2g' })).status).toBe(400);
  });
});

/** Charges what is due, as one of the replicas would. */
/** Asks an upstream, as the gateway asks its own. */
async function reading<Result>(baseUrl: string, ask: (reader: UpstreamReader) => Promise<Result>) {
  const timeoutMs = 30_000;
  const waits = { connectTimeoutMs: timeoutMs, headersTimeoutMs: timeoutMs, bodyTimeoutMs: timeoutMs };
  const upstream = createUpstream({ baseUrl, connections: 1, pausedTimeoutMs: timeoutMs, ...waits });
  const headers = ['authorization', 'Bearer sk-upstream'];
  try {
    return await ask(new UpstreamReader({ upstream, headers, timeoutMs }));
  } finally {
    await upstream.close();
  }
}

async function charge(nowMs: number): Promise<number | null> {
  const { database, simulator } = stack;
  const book = await readRateBook(database.sql);
  return reading(simulator.url, (reader) => {
    const readBytes = (store: KeptStore) => readSize(reader, store);
    const options = { database, readBytes, rates: () => book, nowMs: () => nowMs };
    return chargeStorage(options, new AbortController().signal);
  });
}

async function billDay(): Promise<bigint> {
  const response = await fetch(`${stack.simulator.url.replace('/v1', '')}/storage-day`, { method: 'POST' });
  return BigInt(((await response.json()) as { cost_pico_usd: string }).cost_pico_usd);
}

const DAY_MS = 86_400_000;

describe('a vector store', () => {
  it('is asked for its size as often as three times, and has none when it is gone', async () => {
    const replies = [500, 503, 200, 404, 500, 500, 500, 200, 200];
    const seen: string[] = [];
    const server = createServer((request, response) => {
      seen.push(`${request.method} ${request.url} ${request.headers['openai-beta']}`);
      response.writeHead(replies[seen.length - 1] ?? 0, { 'content-type': 'application/json' });
      response.end(seen.length === 9 ? '{"usage_bytes":-1}' : '{"usage_bytes":2048}');
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as AddressInfo;
    const store = { id: 'vs_1/2', upstream: null } as KeptStore;
    await reading(`http://127.0.0.1:${port}/v1`, async (reader) => {
      expect(await readSize(reader, store)).toBe(2048);
      expect(await readSize(reader, store)).toBeNull();
      await expect(readSize(reader, store)).rejects.toThrow('status 500');
      expect(await readSize(reader, store)).toBe(2048);
      await expect(readSize(reader, store)).rejects.toThrow('status 200');
      await expect(readSize(null, store)).rejects.toThrow('not configured');
    });
    expect(seen).toEqual(replies.map(() => 'GET /v1/vector_stores/vs_1%2F2 assistants=v2'));
    server.close();
  });

  it('is charged by the day to the team that made it, once, and in sum as the account is billed', async () => {
    const teams = [await stack.team({ grantUsd: '5.00' }), await stack.team({ limitUsd: '5.00' })];
    for (const { keyId } of teams)
      await stack.admin('PATCH', `/keys/${keyId}`, { member: 'ada', tags: { project: 'alpha' } });
    for (const [index, { key }] of teams.entries()) {
      const file = await made(
        key,
        '/files',
        form({ purpose: 'user_data', file: 'x'.repeat(700 + 801 * index) }),
      );
      const store = await made(key, '/vector_stores', { name: 's', file_ids: index === 0 ? [file] : [] });
      if (index === 1) await made(key, `/vector_stores/${store}/file_batches`, { file_ids: [file] });
      expect((await call(key, 'POST', `/vector_stores/${store}/search`, { query: 'x' })).status).toBe(200);
    }
    // Days on which the gateway's own job charges nothing, whenever this runs: the stores are not made yet for it.
    const now = (Math.floor(Date.now() / DAY_MS) + 10.5) * DAY_MS;
    await stack.database.sql`
      update objects set created_at = ${new Date(now).toISOString()} where kind = 'vector_store'`;
    const bill = await billDay();
    // Two replicas at once, and once more.
    await Promise.all([charge(now), charge(now)]);
    await charge(now);
    const later = (await billDay()) + bill;
    expect(await charge(now + DAY_MS)).toBe(2);
    const all = await Promise.all(teams.map(({ teamId }) => readEvents(stack, teamId)));
    const stored = all.flat().filter(({ operation }) => operation === 'vector_stores.storage');
    expect(stored).toHaveLength(4);
    expect(stored.reduce((sum, { cost_usd: cost }) => sum + usd(cost), 0n)).toBe(later);
    expect(
      new Set(stored.map(({ model, outcome, provenance }) => `${model} ${outcome} ${provenance}`)),
    ).toEqual(new Set(['vector_store settled reported']));
    for (const { key_id: keyId, team_id: teamId, tags } of stored) {
      expect(teams.find((team) => team.teamId === teamId)?.keyId).toBe(keyId);
      expect(tags).toEqual({ member: 'ada', project: 'alpha' });
    }
    // The rest of what the teams did there cost nothing, and their budgets have it.
    for (const [index, { teamId }] of teams.entries()) {
      const cost = (all[index] ?? []).reduce((sum, event) => sum + usd(event.cost_usd), 0n);
      const { settled_usd: settled, grants, limits } = await readBalance(stack, teamId);
      expect(usd(settled)).toBe(cost);
      expect(usd(grants[0]?.settled_usd ?? limits[0]?.settled ?? '0')).toBe(cost);
    }
  });

  it('costs on where nothing is left, and nothing more can be added', async () => {
    const { teamId, key } = await stack.team({ grantUsd: '0.11' });
    const file = await made(key, '/files', form({ purpose: 'user_data', file: 'x'.repeat(3000) }));
    const store = await made(key, '/vector_stores', { file_ids: [file] });
    await charge(Date.now() + 2 * DAY_MS);
    const { remaining_usd: remaining, settled_usd: settled } = await readBalance(stack, teamId);
    expect(Number(remaining)).toBeLessThanOrEqual(0);
    expect(Number(settled)).toBeGreaterThan(0.11);
    // What the gateway had leased before the charge may be spent until the lease ends.
    const status = async () => (await call(key, 'POST', '/vector_stores', {})).status;
    await expect.poll(status, { timeout: 30_000, interval: 100 }).toBe(429);
    for (const [path, body] of [
      ['/vector_stores', {}],
      [`/vector_stores/${store}/files`, { file_id: file }],
      [`/vector_stores/${store}/file_batches`, { file_ids: [file] }],
      ['/containers', { name: 'c' }],
    ] as const) {
      const reply = await call(key, 'POST', path, body);
      expect([path, reply.status, reply.body.error?.code]).toEqual([path, 429, 'insufficient_quota']);
    }
    expect((await call(key, 'DELETE', `/vector_stores/${store}`)).status).toBe(200);
    const before = (await readEvents(stack, teamId)).length;
    await charge(Date.now() + 3 * DAY_MS);
    expect((await readEvents(stack, teamId)).length).toBe(before);
  });
});

/** Several upstreams from a configuration file, over real HTTP: who gets which call, what it costs there, and what an end of one does. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { openSocket } from '../simulator/socket.ts';
import { readEvents, readMetric } from './books.ts';
import { type Stack, startStack } from './stack.ts';

const folder = mkdtempSync(join(tmpdir(), 'tollgate-upstreams-'));
const path = join(folder, 'tollgate.yaml');
let first: Simulator;
let second: Simulator;
let stack: Stack;
let key: string;
let teamId: string;

function write(upstreams: string): void {
  writeFileSync(path, `upstreams:\n${upstreams}`);
}

const both = () => `
  - name: first
    base_url: ${first.url}
    key: sk-first
    models: ['gpt-5*']
  - name: second
    base_url: ${second.url}
    key: sk-second
    models: ['gpt-5*', 'gpt-4.1', mini, 'gpt-realtime']
    model_names: { mini: gpt-4.1-mini-2025-04-14, gpt-realtime: gpt-realtime-2025-08-28 }
    weight: 0
    price_percent: 110
`;

beforeAll(async () => {
  [first, second] = await Promise.all([startSimulator({ seed: 2 }), startSimulator({ seed: 3 })]);
  write(both());
  stack = await startStack({ env: { TOLLGATE_CONFIG_FILE: path } });
  ({ key, teamId } = await stack.team({ grantUsd: '100.00' }));
});
afterAll(async () => {
  await stack.stop();
  await Promise.all([first.close(), second.close()]);
  rmSync(folder, { recursive: true });
});

const ask = (model: string, fields: object = {}, headers: Record<string, string> = {}) =>
  stack.post(
    key,
    '/chat/completions',
    { model, messages: [{ role: 'user', content: 'hi' }], ...fields },
    headers,
  );

it('a call goes to the upstream whose models have its name', async () => {
  for (const [model, simulator] of [
    ['gpt-5-mini', first],
    ['gpt-4.1', second],
  ] as const) {
    const before = simulator.invoice().line_count;
    const response = await ask(model);
    expect(response.status).toBe(200);
    await response.text();
    expect(simulator.invoice().line_count).toBe(before + 1);
  }
  expect((await ask('gpt-4o')).status).toBe(404);
});

it('a model has the name of the client in the response, and that of the upstream in its request', async () => {
  const response = await ask('mini');
  expect(((await response.json()) as { model: string }).model).toBe('mini');
  const stream = await (await ask('mini', { stream: true })).text();
  expect(stream).toContain('"model":"mini"');
  expect(stream).not.toContain('gpt-4.1-mini');
  const lines = second.invoice().lines.slice(-2);
  expect(lines.map(({ model }) => model)).toEqual(Array(2).fill('gpt-4.1-mini-2025-04-14'));
  const { event } = await lastCall();
  expect(event.model).toBe('mini');
});

it('a realtime session is one of the upstream that serves its model, by its name there', async () => {
  const socket = await openSocket(`${stack.app.url}/v1/realtime?model=gpt-realtime`, {
    authorization: `Bearer ${key}`,
  });
  expect(await socket.next('session.created')).toMatchObject({ session: { model: 'gpt-realtime' } });
  socket.send({ type: 'session.update', session: { type: 'realtime', model: 'gpt-realtime' } });
  expect(await socket.next('session.updated')).toMatchObject({ session: { model: 'gpt-realtime' } });
  socket.send({ type: 'response.create', response: { output_modalities: ['text'] } });
  await socket.next('response.done');
  socket.close();
  await stack.idle();
  const { line } = await lastCall();
  const event = (await readEvents(stack)).at(-1)!;
  expect(line.model).toBe('gpt-realtime-2025-08-28');
  expect(event).toMatchObject({ operation: 'realtime.responses', model: 'gpt-realtime', upstream: 'second' });
  expect(usd(event.cost_usd)).toBe((BigInt(line.cost_pico_usd) * 110n + 99n) / 100n);
});

it('an upstream bills a percentage of the price list, and the hold is at that price', async () => {
  await (await ask('gpt-4.1')).text();
  const { event, line } = await lastCall();
  const bill = BigInt(line.cost_pico_usd);
  expect(usd(event.cost_usd)).toBe((bill * 110n + 99n) / 100n);
  expect(event.provenance).toBe('reported');
  expect(usd(event.hold_usd) >= usd(event.cost_usd)).toBe(true);
});

it('the list of models is the union of what the upstreams serve, by the names of clients', async () => {
  const response = await fetch(`${stack.app.url}/v1/models`, { headers: { authorization: `Bearer ${key}` } });
  const { data } = (await response.json()) as { data: { id: string }[] };
  const ids = data.map(({ id }) => id);
  expect(ids).toEqual(expect.arrayContaining(['gpt-5-mini', 'gpt-4.1', 'mini']));
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids).not.toContain('gpt-4o');
});

it('an event names its upstream, and the metrics and the list of upstreams have what it did there', async () => {
  await (await ask('gpt-4.1')).text();
  const { event } = await lastCall();
  expect(event.upstream).toBe('second');
  const { data } = await stack.admin<{ data: { name: string; state: string; calls: { settled: number } }[] }>(
    'GET',
    '/upstreams',
  );
  expect(data.map(({ name, state }) => [name, state])).toEqual([
    ['first', 'up'],
    ['second', 'up'],
  ]);
  const calls = await readMetric(stack, 'tollgate_upstream_calls_total');
  expect(calls.get('upstream="second",outcome="settled"')).toBe(data[1]!.calls.settled);
  const found = await stack.admin<{ data: unknown[] }>('GET', '/events?upstream=second');
  expect(found.data).toHaveLength(data[1]!.calls.settled);
});

it('a viewer of one team sees the upstreams that serve it, with the calls and the spend of that team alone', async () => {
  const other = await stack.team({ grantUsd: '1.00' });
  write(`${both()}
  - { name: third, base_url: "${second.url}", key: sk-third, models: [none], teams: [${other.teamId}] }
`);
  process.emit('SIGHUP');
  interface Row {
    name: string;
    teams: string[] | null;
    calls: { settled: number };
    cost_usd: string;
  }
  const all = async () => (await stack.admin<{ data: Row[] }>('GET', '/upstreams')).data;
  await expect
    .poll(async () => (await all()).map(({ name }) => name), { timeout: 30_000 })
    .toEqual(['first', 'second', 'third']);
  const seenBy = async (teamId: string, query = '') => {
    const roles = [{ role: 'viewer', scope: { type: 'team', id: teamId } }];
    const { token } = await stack.admin<{ token: string }>('POST', '/tokens', { name: 'viewer', roles });
    const headers = { authorization: `Bearer ${token}` };
    const response = await fetch(`${stack.app.url}/admin/v1/upstreams${query}`, { headers });
    return response.ok ? ((await response.json()) as { data: Row[] }).data : response.status;
  };
  const rows = await all();
  expect(rows[1]!.calls.settled).toBeGreaterThan(0);
  expect(await seenBy(teamId)).toEqual(rows.slice(0, 2));
  expect(await seenBy(other.teamId)).toMatchObject([
    { name: 'first', calls: { settled: 0 }, cost_usd: '0.00' },
    { name: 'second', calls: { settled: 0 }, cost_usd: '0.00' },
    { name: 'third', teams: [other.teamId] },
  ]);
  expect(await seenBy(other.teamId, `?team_id=${teamId}`)).toBe(403);
});

it('what an upstream keeps is asked of that upstream alone', async () => {
  let id = '';
  /** Whether a response is made by one of them. */
  const isMadeBy = async (simulator: Simulator, fields: object = {}) => {
    const before = simulator.invoice().line_count;
    const response = await stack.post(key, '/responses', { model: 'gpt-5-mini', input: 'hi', ...fields });
    expect(response.status).toBe(200);
    ({ id } = (await response.json()) as { id: string });
    return simulator.invoice().line_count > before;
  };
  const rewritten = both()
    .replace('weight: 0', 'weight: 1')
    .replace('key: sk-first', 'key: sk-first\n    weight: 0');
  write(rewritten);
  process.emit('SIGHUP');
  await expect.poll(() => isMadeBy(second), { timeout: 30_000 }).toBe(true);
  const kept = id;
  write(both());
  process.emit('SIGHUP');
  await expect.poll(() => isMadeBy(first), { timeout: 30_000 }).toBe(true);
  expect(await isMadeBy(second, { previous_response_id: kept })).toBe(true);
  const headers = { authorization: `Bearer ${key}` };
  expect((await fetch(`${stack.app.url}/v1/responses/${kept}`, { headers })).status).toBe(200);
});

it('what was made without Tollgate is asked of the upstream that an administrator names', async () => {
  const headers = { authorization: `Bearer ${key}` };
  const at = { first, second };
  for (const [upstream, simulator] of Object.entries(at)) {
    const id = `file-${upstream}`;
    await stack.admin('POST', '/objects', { kind: 'file', id, team_id: null, upstream });
    const before = simulator.invoice().line_count;
    await (await fetch(`${stack.app.url}/v1/files/${id}`, { headers })).text();
    expect(simulator.invoice().line_count).toBe(before + 1);
  }
});

it.each([
  ['a response that may have been billed', { html_502: 1 }, 502, 0],
  ['an error that bills nothing', { server_error: 1 }, 200, 1],
  ['a rate limit', { rate_limit: 1 }, 200, 1],
] as const)('%s: the call goes to another upstream, or not at all', async (_, faults, status, elsewhere) => {
  first.setProfile({ faults });
  const before = [first.invoice().line_count, second.invoice().line_count] as const;
  const response = await ask('gpt-5-mini');
  await response.text();
  expect(response.status).toBe(status);
  expect(second.invoice().line_count - before[1]).toBe(elsewhere);
  expect(first.invoice().line_count - before[0]).toBe(1);
  await stack.idle();
  const lines = [...first.invoice().lines, ...second.invoice().lines];
  const events = new Map((await readEvents(stack)).map((event) => [event.id, event]));
  // Each attempt is an event of its own.
  for (const line of lines)
    if (line.operation === 'chat.completions')
      expect(events.has(line.client_request_id ?? ''), line.model ?? '').toBe(true);
  first.setProfile({ faults: {} });
});

it('an upstream that cannot be reached costs nothing, and its calls go elsewhere', async () => {
  await first.close();
  // Others settings make it another upstream, of which nothing is known yet.
  writeFileSync(path, `upstreams:${both().replace('name: first', 'name: first\n    connections: 7')}`);
  process.emit('SIGHUP');
  const unreachable = async () => {
    const response = await ask('gpt-5-mini');
    expect(response.status).toBe(200);
    await response.text();
    return (await readEvents(stack)).filter(({ reason }) => reason === 'upstream_unreachable').length;
  };
  await expect.poll(unreachable, { timeout: 30_000 }).toBeGreaterThan(0);
});

it('a changed file is taken over without a restart; one with a fault changes nothing', async () => {
  write('  - name: first\n    base_url: nowhere\n');
  process.emit('SIGHUP');
  expect((await ask('gpt-5-mini')).status).toBe(200);
  expect((await ask('gpt-4.1')).status).toBe(200);
  write(`
  - { name: second, base_url: "${second.url}", key: sk-second, models: [gpt-4o] }
`);
  await expect.poll(async () => (await ask('gpt-4o')).status, { timeout: 30_000 }).toBe(200);
  expect((await ask('gpt-4.1')).status).toBe(404);
});

/** The newest event and its line of the second upstream's invoice. */
async function lastCall() {
  await stack.idle();
  const line = second.invoice().lines.at(-1)!;
  const event = (await readEvents(stack)).find(({ id }) => id === line.client_request_id)!;
  return { event, line };
}

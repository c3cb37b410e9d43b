/** How sessions on WebSockets end, and where they go: times, a gateway that stops or is killed, and one of several upstreams. */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { WebSocket } from 'ws';
import { usd } from '../../src/domain/money.ts';
import { startSimulator } from '../../src/simulator/simulator.ts';
import { openSocket, type TestSocket } from '../simulator/socket.ts';
import { readEvents } from './books.ts';
import { GatewayProcess, until } from './crash-gateway.ts';
import { type Stack, startStack } from './stack.ts';

const create = (order: string, fields: object = {}) => ({
  type: 'response.create',
  model: 'gpt-5.5',
  input: 'Say hello.',
  max_output_tokens: 400,
  metadata: { simulator: order },
  ...fields,
});

const SLOWLY = 'output=40,chunk_tokens=1,chunk_ms=25';

const connect = (url: string, key: string) =>
  openSocket(`${url}/v1/responses`, { authorization: `Bearer ${key}` });

/** The status with which a handshake is refused. */
async function refused(url: string, key: string): Promise<number> {
  const headers = { authorization: `Bearer ${key}` };
  const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/responses`, { headers });
  const [request, response] = await once(socket, 'unexpected-response');
  request.destroy();
  return response.statusCode;
}

const codeOf = async (socket: TestSocket) => ((await socket.next('error')).error as { code: string }).code;

it('a session ends when nothing moves on it, and when it is as old as one may become, but for the response under way', async () => {
  const stack = await startStack({
    env: { TOLLGATE_SESSION_IDLE_MS: '400', TOLLGATE_SESSION_MS: '600' },
  });
  onTestFinished(() => stack.stop());
  const { key } = await stack.team({ grantUsd: '5.00' });
  const idle = await connect(stack.app.url, key);
  const busy = await connect(stack.app.url, key);
  busy.send(create(SLOWLY));
  await idle.closed();
  expect(idle.closedWith).toBe(1001);
  await busy.closed();
  expect(busy.closedWith).toBe(1000);
  expect(busy.events.slice(-2)).toMatchObject([
    { type: 'response.completed' },
    { type: 'error', status: 400, error: { code: 'websocket_connection_limit_reached' } },
  ]);
});

it('a response that does not come ends the session once those of other lanes have, each in the ledger as it ended', async () => {
  const stack = await startStack({ env: { TOLLGATE_UPSTREAM_TIMEOUT_MS: '2000' } });
  onTestFinished(() => stack.stop());
  const { key, teamId } = await stack.team({ grantUsd: '5.00' });
  const socket = await connect(stack.app.url, key);
  socket.send(create('fault=hang', { stream_id: 'mute' }));
  socket.send(create('output=60,chunk_tokens=1,chunk_ms=80', { stream_id: 'slow' }));
  await socket.closed();
  const ended = socket.events.filter(({ type }) => type === 'error' || type === 'response.completed');
  expect(ended.toSorted((a, b) => (a.type < b.type ? -1 : 1))).toMatchObject([
    { type: 'error', stream_id: 'mute', status: 504 },
    { type: 'response.completed', stream_id: 'slow' },
  ]);
  expect(socket.closedWith).toBe(1011);
  await stack.idle();
  const events = await readEvents(stack, teamId);
  expect(events.map(({ outcome, reason }) => [outcome, reason]).toSorted()).toEqual([
    ['settled', null],
    ['unknown', 'upstream_timeout'],
  ]);
  const settled = events.find(({ outcome }) => outcome === 'settled');
  const line = stack.simulator.invoice().lines.find(({ completed, fault }) => completed && fault === null);
  expect(usd(settled?.cost_usd ?? '0')).toBe(BigInt(line?.cost_pico_usd ?? -1));
});

it('a gateway that stops ends its sessions, those with a response under way after it', async () => {
  const stack = await startStack();
  const { key } = await stack.team({ grantUsd: '5.00' });
  const idle = await connect(stack.app.url, key);
  const busy = await connect(stack.app.url, key);
  busy.send(create(SLOWLY));
  await busy.next('response.output_text.delta');
  const stopped = stack.stop();
  await idle.closed();
  expect(idle.closedWith).toBe(1012);
  expect(busy.closedWith).toBeNull();
  await busy.closed();
  expect([busy.closedWith, busy.events.at(-1)?.type]).toEqual([1012, 'response.completed']);
  await stopped;
});

it('a gateway that is killed in mid-session has the call in its journal: charged at its hold, and the one before as billed', async () => {
  const simulator = await startSimulator();
  const dataDir = mkdtempSync(join(tmpdir(), 'tollgate-socket-'));
  const env = { TOLLGATE_DATA_DIR: dataDir, OPENAI_API_KEY: 'sk-upstream', OPENAI_BASE_URL: simulator.url };
  let gateway = await GatewayProcess.serve(env);
  onTestFinished(async () => {
    await gateway.kill();
    await simulator.close();
    rmSync(dataDir, { recursive: true, force: true });
  });
  const { key, teamId } = await gateway.team('killed', '5.00');
  const socket = await connect(gateway.url, key);
  socket.send(create('output=5'));
  await socket.next('response.completed');
  socket.send(create(SLOWLY));
  await socket.next('response.output_text.delta');
  await gateway.kill();
  await socket.closed();
  expect(socket.closedWith).toBe(1006);

  gateway = await GatewayProcess.serve(env);
  type Event = { outcome: string; reason: string | null; cost_usd: string; hold_usd: string };
  let events: Event[] = [];
  await until('both events', async () => {
    events = (await gateway.admin<{ data: Event[] }>('GET', `/events?team_id=${teamId}`)).data;
    return events.length === 2;
  });
  expect(events.map(({ outcome, reason }) => [outcome, reason])).toEqual([
    ['settled', null],
    ['unknown', 'crash'],
  ]);
  expect(events[1]!.cost_usd).toBe(events[1]!.hold_usd);
  const again = await connect(gateway.url, key);
  again.send(create('output=5'));
  await again.next('response.completed');
  again.close();
});

it('a session stays with the upstream of its first call, which is one that has WebSockets', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tollgate-socket-'));
  const path = join(folder, 'tollgate.yaml');
  const [plain, first, second] = [await startSimulator(), await startSimulator(), await startSimulator()];
  const upstream = (name: string, url: string, rest: string) =>
    `  - { name: ${name}, base_url: '${url}', key: sk-${name}, ${rest} }\n`;
  writeFileSync(
    path,
    `upstreams:\n${upstream('plain', plain.url, "models: ['gpt-5.5'], weight: 100, has_websockets: false")}${upstream(
      'first',
      first.url,
      "models: ['gpt-5.5'], weight: 1",
    )}${upstream('second', second.url, "models: ['gpt-4.1'], teams: [team-1]")}`,
  );
  let stack: Stack | null = null;
  onTestFinished(async () => {
    await stack?.stop();
    for (const simulator of [plain, first, second]) await simulator.close();
    rmSync(folder, { recursive: true });
  });
  stack = await startStack({ env: { TOLLGATE_CONFIG_FILE: path } });
  const { key, teamId } = await stack.team({ grantUsd: '5.00' });
  const socket = await connect(stack.app.url, key);
  for (let turn = 0; turn < 3; turn++) {
    socket.send(create('output=5'));
    await socket.next('response.completed');
  }
  socket.send(create('output=5', { model: 'gpt-4.1' }));
  expect(await codeOf(socket)).toBe('not_found');
  socket.close();
  const other = await connect(stack.app.url, key);
  other.send(create('output=5', { model: 'gpt-4.1' }));
  await other.next('response.completed');
  other.close();
  expect([plain, first, second].map((simulator) => simulator.invoice().line_count)).toEqual([0, 3, 1]);
  await stack.idle();
  expect((await readEvents(stack, teamId)).map(({ upstream: name }) => name)).toEqual([
    ...Array(3).fill('first'),
    'second',
  ]);
});

it('where no upstream has WebSockets a handshake gets 426, which says what to do', async () => {
  const stack = await startStack({ env: { TOLLGATE_UPSTREAM_PROFILE: 'compatible' } });
  onTestFinished(() => stack.stop());
  const { key } = await stack.team({ grantUsd: '5.00' });
  expect(await refused(stack.app.url, key)).toBe(426);
});

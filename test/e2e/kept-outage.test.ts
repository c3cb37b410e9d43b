/** What the upstream keeps is known after a kill, and while Postgres does not answer nothing unknown passes. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { temporaryFolder } from '../support/folder.ts';
import { GatewayProcess, standStill, until } from './crash-gateway.ts';

interface Answer {
  id: string;
  error?: { code: string } | null;
}

let simulator: Simulator;
let gateway: GatewayProcess;
let dataDir: string;
let key: string;
let teamId: string;
/** Lets the database go on where it stands still. */
let goOn = () => {};

beforeAll(async () => {
  simulator = await startSimulator({ profile: { cacheChance: 0 } });
  dataDir = await temporaryFolder();
  gateway = await serve();
  ({ teamId, key } = await gateway.team('kept', '50.00'));
});
afterAll(async () => {
  goOn();
  await gateway.kill();
  await simulator.close();
});

function serve(): Promise<GatewayProcess> {
  return GatewayProcess.serve({
    TOLLGATE_DATA_DIR: dataDir,
    OPENAI_API_KEY: 'sk-upstream',
    OPENAI_BASE_URL: simulator.url,
    TOLLGATE_LEASE_TTL_MS: '60000',
  });
}

function isJournaled(text: string): boolean {
  const files = readdirSync(dataDir, { recursive: true, encoding: 'utf8' });
  const journals = files.filter((name) => name.endsWith('.log'));
  return journals.some((name) => readFileSync(join(dataDir, name), 'utf8').includes(text));
}

async function respond(body: object): Promise<{ status: number; headers: Headers; body: Answer }> {
  const wanted = { model: 'gpt-5-mini', max_output_tokens: 200, input: 'hello', ...body };
  const response = await gateway.post(key, '/responses', wanted);
  return {
    status: response.status,
    headers: response.headers,
    body: (await response.json()) as Answer,
  };
}

/** Lets the database stand still, and makes a call on money that was lent before. */
async function servedInSilence(body: object): Promise<Awaited<ReturnType<typeof respond>>> {
  for (let tries = 1; ; tries++) {
    // Money is lent ahead for calls of this size; on a busy machine, perhaps not in time.
    for (let call = 0; call < 12; call++)
      await until('a call', async () => (await respond(body)).status === 200);
    goOn = standStill(dataDir);
    const response = await respond(body);
    if (response.status === 200 || tries === 5) return response;
    goOn();
  }
}

it('a response that only the journal of a killed gateway knows is continued by the next one', async () => {
  const last = await servedInSilence({});
  expect(last.status).toBe(200);
  // Its line is written after its response.
  await until('journaled', async () => isJournaled(last.body.id));
  await gateway.kill();
  goOn();
  gateway = await serve();
  let next = await respond({ previous_response_id: last.body.id });
  await until('its continuation', async () => {
    if (next.body.error?.code === 'ledger_unavailable')
      next = await respond({ previous_response_id: last.body.id });
    return next.body.error?.code !== 'ledger_unavailable';
  });
  expect([next.status, next.body.error ?? null]).toEqual([200, null]);
  const { lines } = simulator.invoice();
  const events = await gateway.admin<{ data: { id: string; hold_usd: string; cost_usd: string }[] }>(
    'GET',
    `/events?team_id=${teamId}&limit=1000`,
  );
  for (const { client_request_id: id, cost_pico_usd: bill } of lines) {
    const event = events.data.find((each) => each.id === id)!;
    expect(Number(event.hold_usd)).toBeGreaterThanOrEqual(Number(bill) / 1e12);
  }
}, 240_000);

it('while Postgres does not answer what memory knows goes on, and the rest is asked to come back', async () => {
  let known = await respond({});
  await until('a first call', async () => {
    if (known.status !== 200) known = await respond({});
    return known.status === 200;
  });
  const next = await servedInSilence({ previous_response_id: known.body.id });
  const [made, unknown, conversation] = await Promise.all([
    // It is there upstream, and its id does not leave before it is recorded whose it is.
    gateway.post(key, '/conversations', {}),
    respond({ previous_response_id: 'resp_unknown' }),
    respond({ conversation: 'conv_unknown' }),
  ]);
  expect(next.status).toBe(200);
  for (const refused of [unknown, conversation]) {
    expect([refused.status, refused.body.error?.code]).toEqual([503, 'ledger_unavailable']);
    expect(Number(refused.headers.get('retry-after-ms'))).toBeGreaterThan(0);
  }
  expect([made.status, await made.text()]).toEqual([503, expect.not.stringContaining('conv_')]);
  expect(simulator.invoice().lines.some((line) => line.operation === 'conversations.create')).toBe(true);
  goOn();
  await until(
    'not found',
    async () => (await respond({ previous_response_id: 'resp_unknown' })).status === 404,
  );
}, 240_000);

/**
 * Postgres that does not answer: calls go on, on what was lent; then they are refused, and told to come back; nothing
 * is lost.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { temporaryFolder } from '../support/folder.ts';
import { GatewayProcess, standStill, until } from './crash-gateway.ts';

const CALL = { model: 'gpt-4o-mini', max_tokens: 20, messages: [{ role: 'user', content: 'hello' }] };

let simulator: Simulator;
let gateway: GatewayProcess;
let dataDir: string;
/** Lets the database go on where it stands still. */
let goOn = () => {};

beforeAll(async () => {
  simulator = await startSimulator();
  dataDir = await temporaryFolder();
  gateway = await GatewayProcess.serve({
    TOLLGATE_DATA_DIR: dataDir,
    OPENAI_API_KEY: 'sk-upstream',
    OPENAI_BASE_URL: simulator.url,
    TOLLGATE_LEASE_TTL_MS: '9000',
  });
});
afterAll(async () => {
  goOn();
  await gateway.kill();
  await simulator.close();
});

async function status(key: string): Promise<number> {
  const response = await gateway.post(key, '/chat/completions', CALL);
  await response.arrayBuffer();
  return response.status;
}

it('without Postgres calls are served from leases, then get a retryable error, and every event is in the ledger afterwards', async () => {
  const { teamId, key } = await gateway.team('outage', '5.00');
  const soft = await gateway.admin<{ id: string }>('POST', '/teams', { name: 'soft', plan: null });
  await gateway.admin('POST', '/limits', {
    subject: { type: 'team', id: soft.id },
    meter: 'cost_usd',
    amount: '0.0001',
    window: { type: 'lifetime' },
    enforcement: 'soft',
  });
  await gateway.admin('PATCH', `/teams/${soft.id}`, { fail_open: true });
  const made = { team_id: soft.id, name: 'soft' };
  const { key: softKey } = await gateway.admin<{ key: string }>('POST', '/keys', made);
  // The keys are known, and money is lent ahead.
  for (let tries = 1; ; tries++) {
    for (let i = 0; i < 20; i++)
      for (const each of [key, softKey]) await until('a call', async () => (await status(each)) === 200);
    goOn = standStill(dataDir);
    // On a busy machine money may not be lent ahead in time.
    if ((await status(key)) === 200 || tries === 5) break;
    goOn();
  }
  await until('degraded', async () => {
    const ready = await fetch(`${gateway.url}/readyz`);
    return ready.status === 200 && ((await ready.json()) as { degraded?: boolean }).degraded === true;
  });
  expect(await status(key)).toBe(200);
  await until('not ready', async () => (await fetch(`${gateway.url}/readyz`)).status === 503);
  const refused = await gateway.post(key, '/chat/completions', CALL);
  expect(refused.status).toBe(503);
  expect(Number(refused.headers.get('retry-after-ms'))).toBeGreaterThan(0);
  expect(await refused.json()).toMatchObject({ error: { code: 'ledger_unavailable' } });
  expect(await status(softKey)).toBe(200);

  goOn();
  await until('served again', async () => (await status(key)) === 200);
  for (const id of [teamId, soft.id]) {
    const events = await gateway.admin<{ data: { id: string }[] }>('GET', `/events?team_id=${id}&limit=1000`);
    const ids = events.data.map((event) => event.id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.length).toBeGreaterThanOrEqual(21);
  }
  const { lines } = simulator.invoice();
  const all = await gateway.admin<{ data: { id: string }[] }>('GET', '/events?limit=1000');
  const billed = lines.map((line) => line.client_request_id);
  expect(billed.filter((id) => !all.data.some((event) => event.id === id))).toEqual([]);
}, 120_000);

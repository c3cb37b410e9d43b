/** Replicas on one PostgreSQL that production would have: one grant for all of them, whoever of them is killed. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Postgres } from '../../bench/attack/postgres.ts';
import { usd } from '../../src/domain/money.ts';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { temporaryFolder } from '../support/folder.ts';
import { expectTrueBooks, readBooks } from './crash-books.ts';
import { type Environment, GatewayProcess, until } from './crash-gateway.ts';
import { startLoad } from './crash-load.ts';

const GRANT_USD = '0.01';

let folder: string;
let simulator: Simulator;
let postgres: Postgres;
const gateways: GatewayProcess[] = [];

beforeAll(async () => {
  folder = await temporaryFolder();
  simulator = await startSimulator({ mode: 'worst' });
  postgres = await Postgres.make(folder);
});
afterAll(async () => {
  await Promise.all(gateways.map((gateway) => gateway.kill()));
  await postgres?.stop();
  await simulator?.close();
});

async function serve(name: string): Promise<GatewayProcess> {
  const dataDir = join(folder, name);
  mkdirSync(dataDir, { recursive: true });
  const env: Environment = {
    TOLLGATE_DATA_DIR: dataDir,
    DATABASE_URL: postgres.url,
    OPENAI_API_KEY: 'sk-upstream',
    OPENAI_BASE_URL: simulator.url,
    TOLLGATE_LOG_LEVEL: 'warn',
    TOLLGATE_QUEUE_TIMEOUT_MS: '500',
  };
  const gateway = await GatewayProcess.serve(env);
  gateways.push(gateway);
  return gateway;
}

it('two replicas never spend more than their shared grant while one is killed and restarted', async () => {
  // Two first starts at once: one of them makes the tables.
  const [one, two] = await Promise.all([serve('one'), serve('two')]);
  const { teamId, key } = await one.team('shared', GRANT_USD);
  const loads = [startLoad(one, [key], 12), startLoad(two, [key], 12)];
  await until(
    'half of the grant spent',
    () => BigInt(simulator.invoice().total_pico_usd) > usd(GRANT_USD) / 2n,
  );
  await two.kill();
  await loads[1]!.ended;
  const again = await serve('two');
  loads.push(startLoad(again, [key], 12));

  const body = { model: 'gpt-4o-mini', max_tokens: 200, messages: [{ role: 'user', content: 'hi' }] };
  await until('the grant spent', async () => {
    const answer = await again.post(key, '/chat/completions', body);
    const { error } = (await answer.json()) as { error?: { code: string } };
    return error?.code === 'insufficient_quota';
  });
  for (const load of loads) load.stop();
  await Promise.all(loads.map((load) => load.ended));
  for (const gateway of [one, again]) {
    gateway.signal('SIGTERM');
    expect(await gateway.ended()).toBe(0);
  }

  const books = await readBooks(postgres);
  expectTrueBooks(books, simulator);
  expect(books.counters).toMatchObject([{ teamId, amount: usd(GRANT_USD), leased: 0n }]);
  expect(books.instances).toEqual({ stopped: 2, adopted: 1 });
  expect(books.events.filter(({ reason }) => reason === 'crash').length).toBeGreaterThan(0);
  // What is left would not have paid for one more of these calls.
  const dearest = books.events.reduce((most, { hold }) => (hold > most ? hold : most), 0n);
  expect(usd(GRANT_USD) - books.counters[0]!.settled).toBeLessThan(dearest);
});

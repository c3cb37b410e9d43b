/** Killed under load, twenty times on one data folder: nothing lost, nothing twice, nothing above a limit. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { type EmbeddedPostgres, startEmbedded } from '../../src/store/embedded/supervisor.ts';
import { temporaryFolder } from '../support/folder.ts';
import { expectTrueBooks, readBooks } from './crash-books.ts';
import { type Environment, GatewayProcess, postgresOf, until } from './crash-gateway.ts';
import { inFlight, startLoad } from './crash-load.ts';

const CALLERS = 36;
const IN_FLIGHT = 20;
const ENDED_MS = 250;
/** Enough for some of its callers at once, so that the grant is under pressure in every round. */
const TIGHT_USD = '0.002';

let simulator: Simulator;
let dataDir: string;
let env: Environment;
let gateway: GatewayProcess;
let roomy: string;
/** A database that outlives the gateway: the test's own process runs it. */
let survivor: EmbeddedPostgres | null = null;

beforeAll(async () => {
  simulator = await startSimulator();
  dataDir = await temporaryFolder();
  env = {
    TOLLGATE_DATA_DIR: dataDir,
    OPENAI_API_KEY: 'sk-upstream',
    OPENAI_BASE_URL: simulator.url,
    TOLLGATE_LOG_LEVEL: 'warn',
  };
  gateway = await GatewayProcess.serve(env);
  roomy = (await gateway.team('roomy', '100.00')).key;
});
afterAll(async () => {
  await gateway?.kill();
  await survivor?.stop();
  await simulator?.close();
});

/** Calls that the upstream worked on when the gateway was last killed. */
let struck: number;
let before: number;

async function killGateway(): Promise<void> {
  struck = inFlight(simulator, before);
  await gateway.kill();
}

const KILLS = {
  'the gateway alone': killGateway,
  'the gateway, then its Postgres': async () => {
    const postgres = postgresOf(dataDir)!;
    await killGateway();
    killIfAlive(postgres);
  },
  'its Postgres, then the gateway': async () => {
    killIfAlive(postgresOf(dataDir)!);
    await delay(50);
    await killGateway();
  },
  'the gateway, and its successors while they start': async (round: number) => {
    await killGateway();
    for (const afterMs of [200, 350 + 60 * round]) {
      const successor = new GatewayProcess(env);
      await delay(afterMs);
      await successor.kill();
    }
  },
  'the gateway, whose Postgres goes on': async () => {
    await killGateway();
    expect(postgresOf(dataDir)).not.toBeNull();
  },
};

function killIfAlive(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    expect((error as NodeJS.ErrnoException).code).toBe('ESRCH');
  }
}

describe.each(Object.entries(KILLS))('a kill of %s', (what, kill) => {
  beforeAll(async () => {
    if (what !== 'the gateway, whose Postgres goes on') return;
    await gateway.kill();
    await until('the end of the old Postgres', () => postgresOf(dataDir) === null);
    survivor = await startEmbedded({ dataDir });
    gateway = await GatewayProcess.serve(env);
  });

  it.each([1, 2, 3, 4])('loses no call, round %i', async (round) => {
    before = simulator.invoice().line_count;
    const tight = await gateway.team(`tight ${what} ${round}`, TIGHT_USD);
    const load = startLoad(gateway, [roomy, roomy, tight.key], CALLERS);
    await until('calls in flight', () => inFlight(simulator, before) >= IN_FLIGHT);
    await delay(ENDED_MS + 150 * round);
    await until('calls in flight', () => inFlight(simulator, before) >= IN_FLIGHT);

    const killedAtMs = performance.now();
    await kill(round);
    await load.ended;
    gateway = await GatewayProcess.serve(env);

    const books = await readBooks({ dataDir });
    expectTrueBooks(books, simulator);
    const lines = simulator.invoice().lines.filter((line) => line.line > before);
    const events = new Map(books.events.map((event) => [event.id, event]));
    const crashed = lines.filter((line) => events.get(line.client_request_id!)?.reason === 'crash');
    expect(struck).toBeGreaterThan(0);
    expect(crashed.length).toBeGreaterThanOrEqual(struck);
    // Its end is written after the client has its answer, at once, and long before Postgres has it.
    const answered = load.finished.filter(({ atMs }) => atMs < killedAtMs - ENDED_MS);
    expect(answered.filter(({ id }) => events.get(id)?.outcome !== 'settled')).toEqual([]);
    expect(books.counters.every(({ leased }) => leased === 0n)).toBe(true);
    expect(readdirSync(join(dataDir, 'journal'))).toHaveLength(1);
  });
});

it('after all kills the gateway serves calls as before', async () => {
  const answer = await gateway.post(roomy, '/chat/completions', {
    model: 'gpt-4o-mini',
    messages: [{ role: 'user', content: 'still there?' }],
  });
  expect(answer.status).toBe(200);
  gateway.signal('SIGTERM');
  expect(await gateway.ended()).toBe(0);
  // The gateway was the last to use the database, so it stopped that; its owner here starts it again.
  const isThere = () =>
    readBooks({ dataDir }).then(
      () => true,
      () => false,
    );
  await until('the database', isThere);
  expectTrueBooks(await readBooks({ dataDir }), simulator);
  expect(readdirSync(join(dataDir, 'journal'))).toEqual([]);
  await survivor!.stop();
  expect(existsSync(join(dataDir, 'postgres/postmaster.pid'))).toBe(false);
});

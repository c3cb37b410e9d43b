/**
 * Several workers under one supervisor: one port, one page of metrics, and one of them killed, hung or told to stop.
 */
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { toFloatUsd } from '../../src/domain/money.ts';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { type EmbeddedPostgres, startEmbedded } from '../../src/store/embedded/supervisor.ts';
import { temporaryFolder } from '../support/folder.ts';
import { parse } from '../telemetry/reading.ts';
import { type Books, expectTrueBooks, readBooks } from './crash-books.ts';
import { type Environment, GatewayProcess, isAlive, postgresOf, until } from './crash-gateway.ts';
import { inFlight, startLoad } from './crash-load.ts';

const CHAT = { model: 'gpt-4o-mini', max_tokens: 100, messages: [{ role: 'user', content: 'hello' }] };
const STREAM = { ...CHAT, stream: true };
/** Long enough for all to be in flight at once, also on a busy machine. */
const SECONDS = { 'x-simulator': 'chunks=100,chunk_ms=50' };
const FOR_EVER = { 'x-simulator': 'chunks=1000,chunk_ms=50' };
const TIGHT_USD = '0.002';

let simulator: Simulator;
let dataDir: string;
let env: Environment;
let line: number;
beforeAll(async () => {
  simulator = await startSimulator();
  dataDir = await temporaryFolder();
  env = {
    TOLLGATE_DATA_DIR: dataDir,
    TOLLGATE_WORKERS: '2',
    OPENAI_API_KEY: 'sk-upstream',
    OPENAI_BASE_URL: simulator.url,
    TOLLGATE_LOG_LEVEL: 'info',
    TOLLGATE_LOG_CALLS: 'false',
  };
});
afterAll(() => simulator.close());
beforeEach(() => {
  line = simulator.invoice().line_count;
});

async function serve(extra: Environment = {}): Promise<GatewayProcess> {
  const gateway = await GatewayProcess.serve({ ...env, ...extra });
  onTestFinished(async () => {
    if (gateway.running) await gateway.killAll().catch(() => gateway.kill());
  });
  return gateway;
}

/** The page of metrics, asked for on a connection of its own. */
async function metricsOf(gateway: GatewayProcess): Promise<Map<string, number>> {
  const page = await fetch(`${gateway.url}/metrics`, { headers: { connection: 'close' } });
  return parse(await page.text());
}

/** Sum over all labels. */
function sum(values: Map<string, number>, name: string): number {
  const own = [...values].filter(([series]) => series === name || series.startsWith(`${name}{`));
  return own.reduce((total, [, value]) => total + value, 0);
}

/** Asks with a connection of its own; returns which process answered. */
function pidOf(gateway: GatewayProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    const agent = new Agent({ keepAlive: false });
    const sent = request(`${gateway.url}/healthz`, { agent }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve((JSON.parse(text) as { pid: number }).pid));
    });
    sent.on('error', reject).end();
  });
}

/** Starts streams that never end, on connections of their own, so that every worker has some. */
async function streams(gateway: GatewayProcess, key: string, count: number, headers: Environment) {
  const before = inFlight(simulator, line);
  const answers = Array.from({ length: count }, async () => {
    const response = await gateway.post(key, '/chat/completions', STREAM, headers);
    return response.text().catch(() => 'broken');
  });
  await until('all streams in flight', () => inFlight(simulator, line) === before + count);
  return answers;
}

async function booksAfterwards(): Promise<Books> {
  expect(postgresOf(dataDir)).toBeNull();
  const postgres: EmbeddedPostgres = await startEmbedded({ dataDir });
  try {
    return await readBooks({ dataDir });
  } finally {
    await postgres.stop();
  }
}

describe('two workers', { timeout: 300_000 }, () => {
  it('share the port, and their metrics page has the sums of both', async () => {
    const gateway = await serve();
    const pids = await gateway.ready(2);
    const answered = await Promise.all(Array.from({ length: 10 }, () => pidOf(gateway)));
    expect(new Set(answered)).toEqual(new Set(pids));
    expect(pids).not.toContain(gateway.pid);

    const { key } = await gateway.team('counted', '10.00');
    const calls = Array.from({ length: 40 }, () => gateway.post(key, '/chat/completions', CHAT));
    for (const response of await Promise.all(calls)) {
      expect(response.status).toBe(200);
      await response.text();
    }
    await until('all events in Postgres', async () => (await readBooks({ dataDir })).events.length === 40);
    // A call is counted after its response.
    await until(
      'all calls counted',
      async () => sum(await metricsOf(gateway), 'tollgate_calls_total') === 40,
    );
    const values = await metricsOf(gateway);
    const { events } = await readBooks({ dataDir });
    const cost = events.reduce((total, event) => total + event.cost, 0n);
    expect(values.get('tollgate_calls_total{team="counted"}')).toBe(40);
    expect(values.get('tollgate_cost_usd_total{team="counted"}')).toBe(toFloatUsd(cost));
    expect(sum(values, 'tollgate_call_duration_seconds_count')).toBe(40);
    expect(values.get('tollgate_workers')).toBe(2);
    // Both have served: no one instance has all events.
    expect(new Set(readdirSync(join(dataDir, 'journal'))).size).toBe(2);
    gateway.signal('SIGTERM');
    expect(await gateway.ended()).toBe(0);
  });

  it('lose nothing when one is killed under load: its journal is adopted, the budget holds, another one starts', async () => {
    const gateway = await serve();
    const [victim, other] = await gateway.ready(2);
    const roomy = (await gateway.team('roomy', '100.00')).key;
    const tight = (await gateway.team('tight', TIGHT_USD)).key;
    const load = startLoad(gateway, [roomy, roomy, tight], 36);
    await until('calls in flight', () => inFlight(simulator, line) >= 20);
    const before = await metricsOf(gateway);

    process.kill(victim!, 'SIGKILL');
    // By the worker that lives, which need not start first; where the machine is so busy that the other one is there before, by that.
    await gateway.says(/"worker":[12],"journal".*adopted the journal/);
    const pids = await gateway.ready(2);
    expect(pids).toContain(other);
    expect(pids).not.toContain(victim);
    const after = await metricsOf(gateway);
    expect(after.get('tollgate_worker_restarts_total')).toBe(1);
    expect(sum(after, 'tollgate_calls_total')).toBeGreaterThanOrEqual(sum(before, 'tollgate_calls_total'));

    const second = startLoad(gateway, [roomy, tight], 12);
    await until('calls of the second load', () => second.finished.length > 10);
    load.stop();
    second.stop();
    await Promise.all([load.ended, second.ended]);
    expect(readdirSync(join(dataDir, 'journal'))).toHaveLength(2);
    gateway.signal('SIGTERM');
    expect(await gateway.ended()).toBe(0);

    const books = await booksAfterwards();
    expectTrueBooks(books, simulator);
    expect(books.events.filter(({ reason }) => reason === 'crash').length).toBeGreaterThan(0);
    expect(books.lent).toEqual(new Map());
    expect(readdirSync(join(dataDir, 'journal'))).toEqual([]);
  });

  it('end together on SIGTERM, after their calls', async () => {
    const gateway = await serve();
    const pids = await gateway.ready(2);
    const { key } = await gateway.team('draining', '10.00');
    const answers = await streams(gateway, key, 40, SECONDS);
    gateway.signal('SIGTERM');
    for (const text of await Promise.all(answers)) expect(text).toMatch(/data: \[DONE\]\n\n$/);
    expect(await gateway.ended()).toBe(0);
    expect(pids.filter(isAlive)).toEqual([]);
    expectTrueBooks(await booksAfterwards(), simulator);
    expect(readdirSync(join(dataDir, 'journal'))).toEqual([]);
    expect(existsSync(join(dataDir, 'postgres/postmaster.pid'))).toBe(false);
  });

  it('end at once on a second signal, leaving their journals to the next start', async () => {
    const gateway = await serve();
    await gateway.ready(2);
    const { key } = await gateway.team('hurried', '10.00');
    const answers = await streams(gateway, key, 20, FOR_EVER);
    gateway.signal('SIGTERM');
    await gateway.says(/"worker":2,"signal":"SIGTERM"/);
    await new Promise((resolve) => setTimeout(resolve, 1100));
    expect(inFlight(simulator, line)).toBe(20);
    const hurriedMs = performance.now();
    gateway.signal('SIGTERM');
    expect(await gateway.ended()).toBe(1);
    // Far below the time that calls have to end by themselves.
    expect(performance.now() - hurriedMs).toBeLessThan(25_000);
    for (const text of await Promise.all(answers)) expect(text).toMatch(/upstream_interrupted/);
    expect(postgresOf(dataDir)).toBeNull();

    const next = await serve();
    await next.ready(2);
    expect(readdirSync(join(dataDir, 'journal'))).toHaveLength(2);
    next.signal('SIGTERM');
    expect(await next.ended()).toBe(0);
    expectTrueBooks(await booksAfterwards(), simulator);
  });

  it('are ready, and have a page of metrics, while one of them hangs; the sums do not fall', async () => {
    const gateway = await serve();
    const [hanging] = await gateway.ready(2);
    const { key } = await gateway.team('hanging', '10.00');
    const calls = Array.from({ length: 20 }, () => gateway.post(key, '/chat/completions', CHAT));
    for (const response of await Promise.all(calls)) await response.text();
    const counted = async () => sum(await metricsOf(gateway), 'tollgate_calls_total');
    await until('all calls counted', async () => (await counted()) === 20);
    process.kill(hanging!, 'SIGSTOP');
    onTestFinished(() => {
      if (isAlive(hanging!)) process.kill(hanging!, 'SIGCONT');
    });
    // A connection that is handed to the one that hangs waits; it has no second one until it took that.
    const pages = Array.from({ length: 3 }, () =>
      fetch(`${gateway.url}/metrics`, { headers: { connection: 'close' } }).then((response) =>
        response.text(),
      ),
    );
    const values = parse(await Promise.any(pages));
    expect(values.get('tollgate_workers_reporting')).toBe(1);
    expect(values.get('tollgate_workers')).toBe(2);
    expect(sum(values, 'tollgate_calls_total')).toBe(20);
    const ready = Array.from({ length: 3 }, () => fetch(`${gateway.url}/readyz`));
    expect((await Promise.any(ready)).status).toBe(200);

    process.kill(hanging!, 'SIGCONT');
    await Promise.all([...pages, ...ready]);
    await gateway.ready(2);
    gateway.signal('SIGTERM');
    expect(await gateway.ended()).toBe(0);
  });

  it('end the connections that a hanging worker was handed, once it is killed', async () => {
    const gateway = await serve();
    const [hanging] = await gateway.ready(2);
    process.kill(hanging!, 'SIGSTOP');
    const asked = Array.from({ length: 6 }, () =>
      pidOf(gateway).then(
        () => 'response',
        () => 'end',
      ),
    );
    // The one that lives has served all but the one that the other holds.
    let settled = 0;
    for (const one of asked) void one.then(() => settled++);
    await until('five responses', () => settled === 5);
    process.kill(hanging!, 'SIGKILL');
    await until('an end of the last', () => settled === 6);
    expect((await Promise.all(asked)).toSorted()).toEqual(['end', ...Array(5).fill('response')]);
    await gateway.ready(2);
    gateway.signal('SIGTERM');
    expect(await gateway.ended()).toBe(0);
  });

  it('finish their calls when the supervisor is killed, and leave nothing running', async () => {
    const gateway = await serve();
    const pids = await gateway.ready(2);
    const { key } = await gateway.team('orphaned', '10.00');
    const answers = await streams(gateway, key, 20, SECONDS);
    await gateway.kill();
    for (const text of await Promise.all(answers)) expect(text).toMatch(/data: \[DONE\]\n\n$/);
    await until('the end of all workers', () => !pids.some(isAlive));
    const next = await serve();
    await next.ready(2);
    next.signal('SIGTERM');
    expect(await next.ended()).toBe(0);
    expectTrueBooks(await booksAfterwards(), simulator);
    expect(readdirSync(join(dataDir, 'journal'))).toEqual([]);
  });

  it('start again after a loss of power, and lose nothing', async () => {
    const gateway = await serve();
    await gateway.ready(2);
    const { key } = await gateway.team('struck', '10.00');
    const load = startLoad(gateway, [key], 30);
    await until('calls in flight', () => inFlight(simulator, line) >= 20);
    await gateway.killAll();
    await load.ended;
    const next = await serve();
    await next.ready(2);
    expect(readdirSync(join(dataDir, 'journal'))).toHaveLength(2);
    expectTrueBooks(await readBooks({ dataDir }), simulator);
    next.signal('SIGTERM');
    expect(await next.ended()).toBe(0);
  });

  it('are no longer restarted when none stays alive, and the log says so', { timeout: 120_000 }, async () => {
    const gateway = await serve();
    const pids = await gateway.ready(2);
    const journals = join(dataDir, 'journal');
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    await until('the end of both', () => !pids.some(isAlive));
    rmSync(journals, { recursive: true });
    writeFileSync(journals, 'a file where the folder should be');
    onTestFinished(() => rmSync(journals, { recursive: true, force: true }));
    expect(await gateway.ended()).toBe(1);
    expect(gateway.output).toMatch(/no worker stays alive: giving up/);
    expect(postgresOf(dataDir)).toBeNull();
  });
});

it('too few connections for the workers stop the start with one line', async () => {
  const gateway = new GatewayProcess({ ...env, TOLLGATE_PG_CONNECTIONS: '11' });
  expect(await gateway.ended()).toBe(1);
  expect(gateway.output).toBe('tollgate: TOLLGATE_PG_CONNECTIONS is too low for 2 workers: each needs 6\n');
});

/** The orderly stop: what a deployment does to a gateway with calls in flight. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, expect, it, onTestFinished } from 'vitest';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { startEmbedded } from '../../src/store/embedded/supervisor.ts';
import { temporaryFolder } from '../support/folder.ts';
import { type Books, expectTrueBooks, readBooks } from './crash-books.ts';
import { type Environment, GatewayProcess, postgresOf, until } from './crash-gateway.ts';
import { inFlight } from './crash-load.ts';

const CHAT = { model: 'gpt-4o-mini', max_tokens: 100, messages: [{ role: 'user', content: 'hello' }] };
const STREAM = { ...CHAT, stream: true };
const pace = (chunks: number, chunkMs: number) => ({ 'x-simulator': `chunks=${chunks},chunk_ms=${chunkMs}` });
/** Long enough for a hundred to be in flight at once, also on a busy machine. */
const SECONDS = pace(100, 50);
const FOR_EVER = pace(1000, 50);
/** Far below the drain's minute and the calls' fifty seconds, also on a busy machine. */
const PROMPT_MS = 20_000;

let simulator: Simulator;
let dataDir: string;
let env: Environment;
beforeAll(async () => {
  simulator = await startSimulator();
  dataDir = await temporaryFolder();
  env = {
    TOLLGATE_DATA_DIR: dataDir,
    OPENAI_API_KEY: 'sk-upstream',
    OPENAI_BASE_URL: simulator.url,
  };
});
afterAll(() => simulator.close());
let line: number;
beforeEach(() => {
  line = simulator.invoice().line_count;
});

async function serve(extra: Environment = {}): Promise<{ gateway: GatewayProcess; key: string }> {
  const gateway = await GatewayProcess.serve({ ...env, ...extra });
  onTestFinished(async () => {
    await gateway.kill();
  });
  const { key } = await gateway.team(`team ${crypto.randomUUID()}`, '10.00');
  return { gateway, key };
}

/** Starts so many calls and waits until the upstream works on all of them. */
async function start(
  gateway: GatewayProcess,
  key: string,
  count: number,
  headers: Environment,
  body: object = STREAM,
) {
  const before = inFlight(simulator, line);
  const answers = Array.from({ length: count }, async () => {
    const response = await gateway.post(key, '/chat/completions', body, headers);
    return { status: response.status, text: await response.text() };
  });
  await until('all calls in flight', () => inFlight(simulator, line) === before + count);
  return answers;
}

/** The books after the end, which must have left no database running. */
async function booksAfterwards(): Promise<Books> {
  expect(postgresOf(dataDir)).toBeNull();
  expect(existsSync(join(dataDir, 'postgres/postmaster.pid'))).toBe(false);
  const postgres = await startEmbedded({ dataDir });
  try {
    return await readBooks({ dataDir });
  } finally {
    await postgres.stop();
  }
}

it('on SIGTERM a hundred streams finish, the ledger is flushed and the gateway ends', async () => {
  const { gateway, key } = await serve();
  const answers = await start(gateway, key, 100, SECONDS);
  gateway.signal('SIGTERM');
  for (const { status, text } of await Promise.all(answers)) {
    expect(status).toBe(200);
    expect(text).toMatch(/data: \[DONE\]\n\n$/);
  }
  const finishedMs = performance.now();
  expect(await gateway.ended()).toBe(0);
  expect(performance.now() - finishedMs).toBeLessThan(PROMPT_MS);

  const books = await booksAfterwards();
  expectTrueBooks(books, simulator);
  expect(books.events.filter(({ outcome }) => outcome !== 'settled')).toEqual([]);
  expect(books.instances).toEqual({ stopped: 1 });
  expect(books.lent).toEqual(new Map());
  expect(readdirSync(join(dataDir, 'journal'))).toEqual([]);
});

it('new calls get a retryable error while the gateway drains', async () => {
  const { gateway, key } = await serve();
  const answers = await start(gateway, key, 3, SECONDS);
  gateway.signal('SIGTERM');
  await until('not ready', async () => (await fetch(`${gateway.url}/readyz`)).status === 503);
  const refused = await gateway.post(key, '/chat/completions', CHAT);
  expect(refused.status).toBe(503);
  expect(await refused.json()).toMatchObject({ error: { code: 'shutting_down' } });
  expect(Number(refused.headers.get('retry-after-ms'))).toBeGreaterThan(0);
  expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([200, 200, 200]);
  expect(await gateway.ended()).toBe(0);
});

it('calls that outlast the drain end with an error and are charged at their hold', async () => {
  const { gateway, key } = await serve({ TOLLGATE_DRAIN_TIMEOUT_MS: '300' });
  const answers = await start(gateway, key, 20, FOR_EVER);
  const silent = await start(gateway, key, 5, { 'x-simulator': 'first_byte_ms=60000' }, CHAT);
  const stoppedMs = performance.now();
  gateway.signal('SIGTERM');
  for (const { status, text } of await Promise.all(answers)) {
    expect(status).toBe(200);
    expect(text).toMatch(/"code":"upstream_interrupted".*\n\n$/);
  }
  for (const { status, text } of await Promise.all(silent)) {
    expect(status).toBe(502);
    expect(JSON.parse(text)).toMatchObject({ error: { code: 'upstream_interrupted' } });
  }
  expect(await gateway.ended()).toBe(0);
  expect(performance.now() - stoppedMs).toBeLessThan(PROMPT_MS);

  const books = await booksAfterwards();
  expectTrueBooks(books, simulator);
  const lines = simulator.invoice().lines.slice(line);
  const ids = new Set(lines.map((each) => each.client_request_id));
  const ended = books.events.filter(({ id }) => ids.has(id));
  expect(ended).toHaveLength(lines.length);
  for (const event of ended) expect(event).toMatchObject({ outcome: 'unknown', reason: 'drain_timeout' });
  expect(books.lent).toEqual(new Map());
  expect(readdirSync(join(dataDir, 'journal'))).toEqual([]);
});

it('a second signal ends the gateway at once and leaves its journal to the next start', async () => {
  const { gateway, key } = await serve();
  const answers = await start(gateway, key, 20, FOR_EVER);
  gateway.signal('SIGTERM');
  await gateway.says(/stopping/);
  // The same request again, as npm passes it on: the calls go on.
  gateway.signal('SIGTERM');
  await delay(1100);
  expect(gateway.running).toBe(true);
  expect(inFlight(simulator, line)).toBe(20);

  const hurriedMs = performance.now();
  gateway.signal('SIGINT');
  expect(await gateway.ended()).toBe(1);
  expect(performance.now() - hurriedMs).toBeLessThan(PROMPT_MS);
  for (const { text } of await Promise.all(answers)) expect(text).toMatch(/upstream_interrupted/);
  expect(postgresOf(dataDir)).toBeNull();
  expect(readdirSync(join(dataDir, 'journal'))).toHaveLength(1);

  const next = await GatewayProcess.serve(env);
  expect(readdirSync(join(dataDir, 'journal'))).toHaveLength(1);
  next.signal('SIGTERM');
  expect(await next.ended()).toBe(0);
  const books = await booksAfterwards();
  expectTrueBooks(books, simulator);
  expect(books.events.filter(({ outcome }) => outcome === 'unknown').length).toBeGreaterThanOrEqual(20);
});

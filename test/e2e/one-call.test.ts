/** How much of the code one usual call runs: files that a reader has to know, and where they are explained. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { Connection, requestOf } from '../../bench/connection.ts';
import {
  INSPECTED,
  type Inspector,
  openInspectors,
  startCoverage,
  watchCalls,
} from '../../bench/inspector.ts';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { temporaryFolder } from '../support/folder.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { GatewayProcess, until } from './crash-gateway.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const CALL = { model: 'gpt-4o-mini', max_tokens: 100, messages: [{ role: 'user', content: 'hello' }] };
const FILES_MAX = 35;
/** Enough that every lease is there and every file was loaded. */
const WARMUP_CALLS = 200;
const WATCHED_CALLS = 10;

let simulator: Simulator;
let database: TestDatabase;
let gateway: GatewayProcess;
let inspectors: Inspector[] = [];

beforeAll(async () => {
  simulator = await startSimulator();
  database = await createTestDatabase();
  const { path, user, database: name } = database.connection;
  gateway = await GatewayProcess.serve({
    ...INSPECTED,
    TOLLGATE_DATA_DIR: await temporaryFolder(),
    DATABASE_URL: `postgres://${user}@/${name}?host=${encodeURIComponent(dirname(path))}`,
    OPENAI_API_KEY: 'sk-upstream',
    OPENAI_BASE_URL: simulator.url,
  });
  inspectors = await openInspectors(gateway.output);
});
afterAll(async () => {
  for (const one of inspectors) one.close();
  await gateway.kill();
  await simulator.close();
  await database.drop();
});

/** Files of `src/` that the walk through a call links, in its order. */
function walk(): string[] {
  const page = readFileSync(`${ROOT}docs/ARCHITECTURE.md`, 'utf8');
  const section = page.split(/^## /m).find((text) => text.startsWith('A call, hop by hop')) ?? '';
  return [...section.matchAll(/\]\(\.\.\/(src\/[^)]+\.ts)\)/g)].map(([, path]) => path ?? '');
}

it('a warm JSON call runs functions of at most 35 files, and the page of the architecture names each', async () => {
  const { key } = await gateway.team('acme', '100.00');
  await until('an admitted call', async () => {
    const response = await gateway.post(key, '/chat/completions', CALL);
    await response.arrayBuffer();
    return response.ok;
  });
  const { port } = new URL(gateway.url);
  const target = { port: Number(port), headers: { authorization: `Bearer ${key}` } };
  const broken = Promise.withResolvers<never>();
  // Not the connection of the admin API, which Node serves.
  const connection = await Connection.open(target.port, (reason) => broken.reject(new Error(reason)));
  onTestFinished(() => connection.close());
  const request = requestOf({ target, body: JSON.stringify(CALL) });
  const call = () =>
    Promise.race([new Promise<void>((onEnd) => connection.start({ request, onEnd })), broken.promise]);
  await startCoverage(inspectors);
  for (let made = 0; made < WARMUP_CALLS; made++) await call();
  const isSource = (path: string) => existsSync(ROOT + path);
  const watch = () => watchCalls(inspectors, { calls: WATCHED_CALLS, isSource, call });
  let { always } = await watch();
  // On a machine that is slow just now, every call has a tick of the background beside it.
  const deadlineMs = performance.now() + 60_000;
  while (always.length > FILES_MAX && performance.now() < deadlineMs) ({ always } = await watch());
  expect(always.length, always.join('\n')).toBeLessThanOrEqual(FILES_MAX);
  expect(always).toContain('src/gateway/pipeline.ts');

  const linked = walk();
  expect(always.filter((file) => !linked.includes(file))).toEqual([]);
  expect(linked.filter((file, at) => linked.indexOf(file) !== at)).toEqual([]);
});

/** Journals of dead and of living instances: what a start makes of them, and `tollgate journal replay`. */
import { appendFileSync, cpSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { formatLine } from '../../src/ledger/journal.ts';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { closeClient, openClient } from '../../src/store/database.ts';
import { temporaryFolder } from '../support/folder.ts';
import { expectTrueBooks, readBooks } from './crash-books.ts';
import { type Environment, GatewayProcess, postgresOf, until } from './crash-gateway.ts';
import { inFlight } from './crash-load.ts';

const CALLS = 6;
const CHAT = { model: 'gpt-4o-mini', max_tokens: 100, messages: [{ role: 'user', content: 'hello' }] };
const FOR_EVER = { 'x-simulator': 'chunks=1000,chunk_ms=50' };

let simulator: Simulator;
let dataDir: string;
let env: Environment;
let key: string;
const gateways: GatewayProcess[] = [];

beforeAll(async () => {
  simulator = await startSimulator();
  dataDir = await temporaryFolder();
  env = {
    TOLLGATE_DATA_DIR: dataDir,
    OPENAI_API_KEY: 'sk-upstream',
    OPENAI_BASE_URL: simulator.url,
  };
});
afterAll(async () => {
  await Promise.all(gateways.map((gateway) => gateway.kill()));
  await simulator.close();
});

async function serve(): Promise<GatewayProcess> {
  const gateway = await GatewayProcess.serve(env);
  gateways.push(gateway);
  return gateway;
}

/** Runs `tollgate journal replay FILE` to its end. */
async function replay(path: string): Promise<{ code: number | null; output: string }> {
  const command = new GatewayProcess(env, ['journal', 'replay', path]);
  const code = await command.ended();
  return { code, output: command.output };
}

const journals = () => readdirSync(join(dataDir, 'journal')).map((name) => join(dataDir, 'journal', name));
const leased = async () =>
  (await readBooks({ dataDir })).counters.reduce((sum, each) => sum + each.leased, 0n);

/** Leaves calls in flight and kills the gateway; answers its journal. */
async function crash(gateway: GatewayProcess): Promise<string> {
  const before = inFlight(simulator, 0);
  const known = new Set(
    journals().filter((path) => !readFileSync(path, 'utf8').includes(`"pid":${gateway.pid},`)),
  );
  for (let i = 0; i < CALLS; i++) {
    void gateway
      .post(key, '/chat/completions', { ...CHAT, stream: true }, FOR_EVER)
      .then((answer) => answer.text())
      .catch(() => {});
  }
  await until('calls in flight', () => inFlight(simulator, 0) === before + CALLS);
  await gateway.kill();
  return journals().find((path) => !known.has(path))!;
}

it('a damaged journal stops the start, which names the line; without the file the gateway starts', async () => {
  const first = await serve();
  key = (await first.team('acme', '5.00')).key;
  const path = await crash(first);
  cpSync(path, join(dataDir, 'whole.log'));
  const lines = readFileSync(path, 'utf8').split('\n');
  lines[2] = lines[2]!.replace('"hold_usd":"0', '"hold_usd":"9');
  writeFileSync(path, lines.join('\n'));

  const refused = new GatewayProcess(env);
  expect(await refused.ended()).toBe(1);
  expect(refused.output).toContain(`tollgate: the journal ${path} is damaged in line 3. Move the file away`);
  expect(refused.output).not.toMatch(/^ +at /m);
  expect(postgresOf(dataDir)).toBeNull();

  renameSync(path, join(dataDir, 'damaged.log'));
  await serve();
  expect(await leased(), 'what the dead instance was lent stays charged').toBeGreaterThan(0n);
});

it('a journal replayed by hand beside a running gateway counts once, however often it is replayed', async () => {
  const whole = join(dataDir, 'whole.log');
  expect(await replay(whole)).toEqual({
    code: 0,
    output: `${CALLS} events were new, ${CALLS} calls had no outcome (charged at their hold)\n`,
  });
  const books = await readBooks({ dataDir });
  expectTrueBooks(books, simulator);
  expect(books.events).toHaveLength(CALLS);
  expect(await leased()).toBe(0n);

  // A power cut may leave half a line.
  appendFileSync(whole, formatLine('H', '{"id":"half"}').slice(0, -9));
  expect((await replay(whole)).output).toMatch(/^0 events were new/);
  expect(await readBooks({ dataDir })).toEqual(books);
  expect((await gateways.at(-1)!.post(key, '/chat/completions', CHAT)).status).toBe(200);
});

it('a journal that is damaged, missing or of a running gateway is not replayed', async () => {
  const [damaged, missing, living] = await Promise.all([
    replay(join(dataDir, 'damaged.log')),
    replay(join(dataDir, 'missing.log')),
    replay(journals()[0]!),
  ]);
  expect(damaged).toMatchObject({ code: 1, output: expect.stringMatching(/damaged in line 3/) });
  expect(missing).toMatchObject({ code: 1, output: expect.stringMatching(/^tollgate: .*no such file.*\n$/) });
  expect(living).toMatchObject({ code: 1, output: expect.stringMatching(/is running: stop it first/) });
});

it('a second gateway shares the data folder and outlives the first one and its Postgres', async () => {
  const first = gateways.at(-1)!;
  const call = first.post(key, '/chat/completions', CHAT, { 'x-simulator': 'first_byte_ms=1500' });
  const second = await serve();
  expect(journals()).toHaveLength(2);
  expect((await call).status).toBe(200);
  expect((await readBooks({ dataDir })).instances.live).toBeGreaterThanOrEqual(2);

  await crash(first);
  const crashedMs = performance.now();
  await until('a Postgres of the second', async () => {
    const { status } = await second.post(key, '/chat/completions', CHAT);
    // In between it does not know the key: a retryable answer, never a wrong one.
    expect([200, 503]).toContain(status);
    return status === 200;
  });
  // Far below the minute that `until` has, also on a busy machine.
  expect(performance.now() - crashedMs).toBeLessThan(30_000);
  second.signal('SIGTERM');
  expect(await second.ended()).toBe(0);
  expect(journals()).toHaveLength(1);

  await serve();
  expectTrueBooks(await readBooks({ dataDir }), simulator);
  expect(await leased()).toBe(0n);
});

it('the journal of another machine is adopted only after a long silence of that machine', async () => {
  const path = await crash(gateways.at(-1)!);
  const [, ...rest] = readFileSync(path, 'utf8').split('\n');
  const header = JSON.parse(readFileSync(path, 'utf8').split('\n', 1)[0]!.slice(11));
  writeFileSync(path, formatLine('J', JSON.stringify({ ...header, host: 'elsewhere' })) + rest.join('\n'));
  await serve();
  expect(journals()).toContain(path);
  expect(await leased()).toBeGreaterThan(0n);

  const socket = { path: join(dataDir, 'postgres/.s.PGSQL.5432'), user: 'postgres', database: 'tollgate' };
  const sql = openClient(socket, 1);
  await sql`update instances set heartbeat_at = heartbeat_at - interval '2 minutes' where id = ${header.instance}`;
  await closeClient(sql);
  await until('the adoption', () => !journals().includes(path));
  expectTrueBooks(await readBooks({ dataDir }), simulator);
  expect(await leased()).toBe(0n);
});

/** The text of a stream up to its first event that names what it makes. */
async function idOf(response: Response): Promise<string> {
  let text = '';
  for await (const chunk of response.body!) {
    text += Buffer.from(chunk).toString();
    const [, id] = /"id":"((?:resp|chatcmpl)[\w-]+)"/.exec(text) ?? [];
    if (id !== undefined) return id;
  }
  throw new Error(`a stream without an id: ${text}`);
}

it('what a killed gateway was streaming belongs to the team that asked for it, and to no other', async () => {
  const first = gateways.at(-1)!;
  const owner = (await first.team('owner', '5.00')).key;
  const stranger = (await first.team('stranger', '5.00')).key;
  const streams = await Promise.all([
    first.post(owner, '/responses', { model: 'gpt-4o-mini', input: 'hi', stream: true }, FOR_EVER),
    first.post(owner, '/chat/completions', { ...CHAT, stream: true, store: true }, FOR_EVER),
    first.post(
      owner,
      '/responses',
      { model: 'gpt-4o-mini', input: 'hi', stream: true, store: false },
      FOR_EVER,
    ),
  ]);
  const [response, completion, unstored] = await Promise.all(streams.map(idOf));
  await first.kill();

  const { url } = await serve();
  const statusOf = async (by: string, path: string) =>
    (await fetch(`${url}/v1${path}`, { headers: { authorization: `Bearer ${by}` } })).status;
  for (const path of [`/responses/${response}`, `/chat/completions/${completion}`]) {
    expect([path, await statusOf(owner, path), await statusOf(stranger, path)]).toEqual([path, 200, 404]);
  }
  expect(await statusOf(owner, `/responses/${unstored}`)).toBe(404);
  const continued = { model: 'gpt-4o-mini', input: 'go on', previous_response_id: response };
  expect((await gateways.at(-1)!.post(stranger, '/responses', continued)).status).toBe(404);
  expect((await gateways.at(-1)!.post(owner, '/responses', continued)).status).toBe(200);
});

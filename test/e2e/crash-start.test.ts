/** Starts that cannot succeed, and what a first start says: one line for people, and nothing left behind. */
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { beforeAll, expect, it, onTestFinished } from 'vitest';
import { startEmbedded } from '../../src/store/embedded/supervisor.ts';
import { temporaryFolder } from '../support/folder.ts';
import { readBooks } from './crash-books.ts';
import { type Environment, GatewayProcess, postgresOf, until } from './crash-gateway.ts';

let dataDir: string;
let env: Environment;
beforeAll(async () => {
  dataDir = await temporaryFolder();
  env = { TOLLGATE_DATA_DIR: dataDir };
});

/** A gateway that listens; a test that fails must not leave it running. */
async function serve(extra: Environment = {}): Promise<GatewayProcess> {
  const gateway = await GatewayProcess.serve({ ...env, ...extra });
  onTestFinished(async () => {
    await gateway.kill();
  });
  return gateway;
}

async function run(extra: Environment, argv?: string[]): Promise<{ code: number | null; output: string }> {
  const gateway = new GatewayProcess({ ...env, ...extra }, argv);
  onTestFinished(async () => {
    await gateway.kill();
  });
  const code = await gateway.ended();
  expect(gateway.output, 'no stack trace').not.toMatch(/^\s+at /m);
  expect(postgresOf(dataDir), 'no database left running').toBeNull();
  return { code, output: gateway.output };
}

it('the first start makes an admin key, shows it once, and stores it readable by its owner only', async () => {
  const first = await serve({ TOLLGATE_ADMIN_KEY: '' });
  const [, key] = await first.says(/Admin key, shown this once \(kept in (?:.*)\): (tga-\S+)\n/);
  const path = join(dataDir, 'admin-key');
  expect(readFileSync(path, 'utf8')).toBe(`${key}\n`);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  const teams = (bearer: string) =>
    fetch(`${first.url}/admin/v1/teams`, { headers: { authorization: `Bearer ${bearer}` } });
  expect((await teams(key!)).status).toBe(200);
  expect((await teams(`${key}x`)).status).toBe(401);
  first.signal('SIGINT');
  expect(await first.ended()).toBe(0);

  const second = await serve({ TOLLGATE_ADMIN_KEY: '' });
  await second.says(new RegExp(`The admin key is in ${path}`));
  expect(second.output).not.toContain(key);
  second.signal('SIGTERM');
  expect(await second.ended()).toBe(0);
});

it('without an upstream key the gateway starts, and every call ends in an error that says so', async () => {
  const gateway = await serve();
  expect(gateway.output).toContain('OPENAI_API_KEY is not set: /v1 answers 503 upstream_not_configured.');
  const { key } = await gateway.team('acme', '1.00');
  const answer = await gateway.post(key, '/chat/completions', {
    model: 'gpt-4o-mini',
    messages: [{ role: 'user', content: 'hello' }],
  });
  expect(answer.status).toBe(503);
  expect(await answer.json()).toMatchObject({ error: { code: 'upstream_not_configured' } });
  gateway.signal('SIGTERM');
  expect(await gateway.ended()).toBe(0);
});

it('a taken port stops the start, which undoes everything that it had begun', async () => {
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  onTestFinished(() => void other.close());
  const { port } = other.address() as AddressInfo;
  const { code, output } = await run({ PORT: String(port) });
  expect(code).toBe(1);
  expect(output).toBe(
    `tollgate: port ${port} on 127.0.0.1 is in use: stop what listens there, or set PORT to another one\n`,
  );
  expect(readdirSync(join(dataDir, 'journal'))).toEqual([]);
  const postgres = await startEmbedded({ dataDir });
  const { instances } = await readBooks({ dataDir });
  await postgres.stop();
  expect(instances.live).toBeUndefined();
});

it('a signal during the start stops the gateway in order', async () => {
  const gateway = new GatewayProcess(env);
  await until('its Postgres', () => postgresOf(dataDir) !== null);
  gateway.signal('SIGTERM');
  expect(await gateway.ended()).toBe(0);
  expect(postgresOf(dataDir)).toBeNull();
  expect(readdirSync(join(dataDir, 'journal'))).toEqual([]);
});

it('a data folder that cannot be used stops the start with its name', async () => {
  const file = join(dataDir, 'file');
  writeFileSync(file, '');
  const { code, output } = await run({ TOLLGATE_DATA_DIR: join(file, 'data') });
  expect(code).toBe(1);
  expect(output).toMatch(
    /^tollgate: cannot use the data folder \S+file\/data: .*\(see TOLLGATE_DATA_DIR\)\n$/,
  );
});

it.each(['serve', 'migrate'])(
  '%s names a database that it cannot reach, without its password',
  async (command) => {
    const url = 'postgres://me:open-sesame@localhost:1/books';
    const { code, output } = await run({ DATABASE_URL: url }, [command]);
    expect(code).toBe(1);
    expect(output).toMatch(
      /^tollgate: cannot use the database localhost:1\/books: .*ECONNREFUSED.*DATABASE_URL.*\n$/,
    );
    expect(output).not.toContain('sesame');
  },
);

it('a start with invalid settings names all of them', async () => {
  const { code, output } = await run({ DATABASE_URL: 'mysql://me:open-sesame@host/books', PORT: 'http' });
  expect(code).toBe(2);
  expect(output).toMatch(/^PORT must be .*\nDATABASE_URL must be .*\n$/);
  expect(output).not.toContain('sesame');
});

it('a data folder with other files instead of a database stops the start', async () => {
  const folder = await temporaryFolder();
  mkdirSync(join(folder, 'postgres'));
  writeFileSync(join(folder, 'postgres/letter.txt'), 'dear');
  const { code, output } = await run({ TOLLGATE_DATA_DIR: folder });
  expect(code).toBe(1);
  expect(output).toMatch(/^tollgate: .*is not empty and holds no PostgreSQL database: move it away\n$/);
  expect(existsSync(join(folder, 'postgres/letter.txt'))).toBe(true);
});

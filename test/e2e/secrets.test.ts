/** Keys of upstreams that stand encrypted in Postgres: set by the command line, used by calls, never shown, under a new master key. */
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { Vault } from '../../src/auth/vault.ts';
import { runCommand } from '../../src/cli/commands.ts';
import { commandNames } from '../../src/main/command-line.ts';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { temporaryFolder } from '../support/folder.ts';
import { ADMIN_KEY, type Stack, startStack } from './stack.ts';

const PATIENCE = { timeout: 30_000, interval: 20 };
const newKey = () => randomBytes(32).toString('base64');
const [OLD, NEW] = [newKey(), newKey()];

let home: string;
let path: string;
let stack: Stack;
let upstream: Simulator;
let key: string;

beforeAll(async () => {
  home = await temporaryFolder();
  path = join(home, 'tollgate.yaml');
  upstream = await startSimulator({ apiKey: 'sk-right' });
  await writeFile(path, file('sk-at-first'));
  // What a rotation looks like: the new key stands first, and what the old one encrypted can still be read.
  stack = await startStack({ env: { TOLLGATE_CONFIG_FILE: path, TOLLGATE_SECRETS_KEY: `${NEW}, ${OLD}` } });
  ({ key } = await stack.team({ unlimited: true }));
});
afterAll(async () => {
  await stack.stop();
  await upstream.close();
});

const file = (upstreamKey: string) =>
  `upstreams:\n  - name: one\n    base_url: ${upstream.url}\n    key: "${upstreamKey}"\n`;

/** Runs the command line; returns all that it printed. */
async function tollgate(line: string[], stdin = '') {
  let printed = '';
  const print = (text: string | Uint8Array) => {
    printed += Buffer.from(text as Uint8Array).toString();
  };
  const code = await runCommand('secrets', line, {
    env: { TOLLGATE_URL: stack.app.url, TOLLGATE_ADMIN_KEY: ADMIN_KEY },
    home,
    commands: commandNames(),
    stdout: print,
    stderr: print,
    stdin: async () => stdin,
    isTerminal: false,
  });
  return { code, printed };
}

const call = async () => {
  const body = {
    model: 'gpt-5-mini',
    messages: [{ role: 'user', content: 'hi' }],
    max_completion_tokens: 20,
  };
  return (await stack.post(key, '/chat/completions', body)).status;
};
const status = (expected: number) => vi.waitFor(async () => expect(await call()).toBe(expected), PATIENCE);
const rows = () =>
  stack.database.sql<{ name: string; sealed: string; key_id: string }[]>`select * from secrets`;

it('a secret that is set is the key of calls, and another one binds without a restart', async () => {
  expect(await call()).not.toBe(200);
  expect((await tollgate(['set', 'openai'], 'sk-wrong\n')).code).toBe(0);
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the file's own form
  await writeFile(path, file('${secret:openai}'));
  expect(await call()).not.toBe(200);
  const set = await tollgate(['set', 'openai'], 'sk-right\n');
  expect(set.code).toBe(0);
  await status(200);
  const [row] = await rows();
  expect(JSON.stringify(row)).not.toContain('sk-right');
  expect(Buffer.from(row!.sealed, 'base64').toString('latin1')).not.toContain('sk-right');
});

it('no list, no audit entry and no message shows it, and the entries name who changed it', async () => {
  const { token } = await stack.admin<{ token: string }>('POST', '/tokens', {
    name: 'owner',
    roles: [{ role: 'owner', scope: { type: 'org' } }],
  });
  const asOwner = await fetch(`${stack.app.url}/admin/v1/secrets`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'other', value: 'sk-other' }),
  });
  expect(asOwner.status).toBe(201);
  const shown = [
    await asOwner.text(),
    (await tollgate(['list', '--json'])).printed,
    JSON.stringify(await stack.admin('GET', '/secrets/other')),
    JSON.stringify(await stack.admin('GET', '/audit?resource=secret')),
  ];
  for (const text of shown) expect(text).not.toMatch(/sk-(wrong|right|other)|sealed/);
  const { data } = await stack.admin<{ data: { actor: string; action: string; resource_id: string }[] }>(
    'GET',
    '/audit?resource=secret',
  );
  expect(data.map(({ action, resource_id }) => [action, resource_id]).toReversed()).toEqual([
    ['create', 'openai'],
    ['change', 'openai'],
    ['create', 'other'],
  ]);
  expect(new Set(data.map(({ actor }) => actor)).size).toBe(2);
  expect((await tollgate(['delete', 'other'])).code).toBe(0);
  expect((await rows()).map(({ name }) => name)).toEqual(['openai']);
});

it('a rotation encrypts with the first master key what others encrypted', async () => {
  const old = new Vault([OLD]);
  const { sealed, keyId } = old.seal('openai', 'sk-right');
  await stack.database.sql`update secrets set sealed = ${sealed}, key_id = ${keyId}`;
  expect(await stack.admin('GET', '/secrets/openai')).toMatchObject({
    is_readable: true,
    needs_rotation: true,
  });
  await status(200);
  const lost = new Vault([newKey()]).seal('lost', 'sk-lost');
  await stack.database.sql`insert into secrets (name, sealed, key_id, created_at, changed_at)
    values ('lost', ${lost.sealed}, ${lost.keyId}, now(), now())`;
  expect(await stack.admin('POST', '/secrets/rotate')).toEqual({ rotated: 1, unreadable: ['lost'] });
  const row = (await rows()).find(({ name }) => name === 'openai')!;
  const again = { sealed: row.sealed, keyId: row.key_id };
  expect([new Vault([NEW]).open('openai', again), old.open('openai', again)]).toEqual(['sk-right', null]);
  await status(200);
});

it('a file that names none there changes nothing, and a value of several lines is refused', async () => {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the file's own form
  await writeFile(path, file('${secret:none}'));
  expect((await tollgate(['set', 'two'], 'a\nb\n')).code).toBe(2);
  expect((await tollgate(['set', 'b ad'], 'a\n')).code).toBe(1);
  expect(await call()).toBe(200);
});

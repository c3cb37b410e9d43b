import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { formatFileProblems, readFileSettings } from '../src/config/file.ts';

const WEBHOOK_SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const ENV = {
  WEBHOOK_SECRET,
  OPENAI_API_KEY: 'sk-one',
  OPENAI_EU_API_KEY: 'sk-eu',
  AZURE_OPENAI_API_KEY: 'azure-key',
  EMPTY: '',
};
const STORED: Record<string, string> = { openai: 'sk-stored' };
const SECRETS: Record<string, string> = {
  '/run/secrets/openai': 'sk-from-file\n',
  '/run/secrets/webhook': `${WEBHOOK_SECRET}\n`,
};

function read(text: string) {
  return readFileSettings(text, {
    env: ENV,
    readStored: (name) => {
      const secret = STORED[name];
      if (secret === undefined) throw new Error('does not exist');
      return secret;
    },
    readSecret: (path) => {
      const secret = SECRETS[path];
      if (secret === undefined) throw new Error('no such file');
      return secret;
    },
  });
}

function accepted(text: string) {
  const settings = read(text);
  if (Array.isArray(settings)) throw new Error(formatFileProblems('tollgate.yaml', settings));
  return settings;
}

function refused(text: string): string {
  const problems = read(text);
  if (!Array.isArray(problems)) throw new Error('the file was accepted');
  return formatFileProblems('tollgate.yaml', problems);
}

const one = (lines: string) => `upstreams:\n  - name: one\n    base_url: https://api.openai.com/v1\n${lines}`;

describe('the configuration file', () => {
  it('of the documentation is valid', () => {
    const text = readFileSync(new URL('../docs/examples/tollgate.yaml', import.meta.url), 'utf8');
    const { upstreams, routing } = accepted(text);
    expect(upstreams.map(({ name, kind, key }) => [name, kind, key])).toEqual([
      ['openai', 'openai', 'sk-one'],
      ['openai-eu', 'openai', 'sk-eu'],
      ['azure', 'azure', 'azure-key'],
      ['gpu', 'compatible', undefined],
    ]);
    expect(routing).toEqual({ by: 'weight', attempts: 3 });
  });

  it('takes a key from a file', () => {
    const { upstreams } = accepted(one('    key_file: /run/secrets/openai\n'));
    expect(upstreams[0]?.key).toBe('sk-from-file');
  });

  it('takes the secret of webhooks as it stands, from the environment or from a file', () => {
    const secretOf = (lines: string) => accepted(one(lines)).upstreams[0]?.webhook_secret;
    expect(secretOf(`    webhook_secret: ${WEBHOOK_SECRET}\n`)).toBe(WEBHOOK_SECRET);
    expect(secretOf(`    webhook_secret: \${WEBHOOK_SECRET}\n`)).toBe(WEBHOOK_SECRET);
    expect(secretOf('    webhook_secret_file: /run/secrets/webhook\n')).toBe(WEBHOOK_SECRET);
    expect(secretOf('')).toBeUndefined();
  });

  it('takes secrets from Postgres, in any text', () => {
    const { upstreams } = accepted(
      one(`    key: \${secret:openai}\n    headers: { x-key: "Bearer \${secret:openai}" }\n`),
    );
    expect([upstreams[0]?.key, upstreams[0]?.headers]).toEqual([
      'sk-stored',
      { 'x-key': 'Bearer sk-stored' },
    ]);
    expect(refused(one(`    key: \${secret:none}\n`))).toContain(
      'upstreams[0].key names the secret none, which does not exist',
    );
  });

  it('reports every fault together, each with its line and no value', () => {
    const text = `routing:
  by: luck
upstreams:
  - name: One
    base_url: ftp://secret.example
    key: \${NOT_SET}
    timeouts:
      connect_ms: 0
    surprise: 1
  - name: two
    base_url: https://eu.api.openai.com/v1
    key_file: /nowhere
    prices:
      mine: { input: 1.5, output: '2' }
`;
    const lines = refused(text).split('\n');
    const places = lines.map((line) => line.split(' ')[0]);
    expect(places).toEqual(
      expect.arrayContaining([
        'tollgate.yaml:2:',
        'tollgate.yaml:4:',
        'tollgate.yaml:5:',
        'tollgate.yaml:6:',
        'tollgate.yaml:8:',
        'tollgate.yaml:12:',
        'tollgate.yaml:14:',
      ]),
    );
    expect(lines.join('\n')).toContain('upstreams[0].timeouts.connect_ms');
    expect(lines.join('\n')).not.toMatch(/secret\.example|luck|nowhere/);
  });

  it('reports what settings say of each other also where others cannot be read', () => {
    const lines = refused(`surprise: 1
upstreams:
  - name: one
    base_url: https://eu.api.openai.com/v1
    surprise: 1
    key: k
    key_file: /nowhere
  - name: one
    base_url: 1
    kind: azure
    admin_key: k
    prices:
      timed: { second: "0.1" }
      mine: { input: "1", surprise: 1 }
  - base_url: http://gpu/v1
    kind: compatible
    api_version: preview
    headers: { host: x }
    timeouts: 5
`).split('\n');
    for (const problem of [
      'tollgate.yaml:4: upstreams[0].base_url is a regional host',
      'tollgate.yaml:7: upstreams[0].key_file cannot stand beside key',
      'tollgate.yaml:8: upstreams[1].name is the name of another upstream',
      'tollgate.yaml:8: upstreams[1].model_names must name',
      'tollgate.yaml:11: upstreams[1].admin_key is for kind openai',
      'tollgate.yaml:13: upstreams[1].prices.timed.second needs timeouts.call_ms',
      'tollgate.yaml:14: upstreams[1].prices.mine.output is missing',
      'tollgate.yaml:15: upstreams[2].name must be given',
      'tollgate.yaml:17: upstreams[2].api_version is for kind azure',
      'tollgate.yaml:18: upstreams[2].headers.host is not yours to set',
    ])
      expect(lines).toContainEqual(expect.stringContaining(problem));
  });

  it.each([
    ['upstreams: []\n', 'upstreams'],
    ['upstreams: {\n', 'is not valid YAML'],
    ['- 1\n', 'the file'],
    ['', 'the file'],
    [one('    key: a b\n'), 'upstreams[0].key'],
    [one('    key: k\n    key_file: /run/secrets/openai\n'), 'key_file'],
    [one('    webhook_secret: mine\n'), 'upstreams[0].webhook_secret must be `whsec_`'],
    [one(`    webhook_secret: ${WEBHOOK_SECRET}\n    webhook_secret_file: /x\n`), 'webhook_secret_file'],
    [one('    webhook_secret_file: /nowhere\n'), 'upstreams[0].webhook_secret_file names a file'],
    [one(`    key: \${EMPTY}\n`), 'EMPTY'],
    [one('    headers: { authorization: x }\n'), 'upstreams[0].headers'],
    [one('    headers: { "a b": x }\n'), 'upstreams[0].headers'],
    [one('    headers: { a: "x\\ny" }\n'), 'upstreams[0].headers'],
    [one('    api_version: preview\n'), 'api_version'],
    [one('    kind: azure\n'), 'model_names'],
    [one('    kind: compatible\n    admin_key: k\n'), 'admin_key'],
    [one('    admin_key: a b\n'), 'upstreams[0].admin_key'],
    [one('    weight: -1\n'), 'weight'],
    [one('    models: []\n'), 'models'],
    [one('    prices: { mine: { second: "0.1" } }\n'), 'timeouts.call_ms'],
    [one('    prices: { mine: { input: "1" } }\n'), 'prices.mine.output'],
    [`${one('')}  - name: one\n    base_url: http://a/v1\n`, 'name of another upstream'],
    [one('').replace('https://api', 'https://eu.api'), 'price_percent'],
    [one('').replace('https://api.openai.com/v1', 'https://u:p@host/v1'), 'base_url'],
    [one('    name: again\n'), 'is not valid YAML'],
    [one('    key: *none\n'), 'tollgate.yaml:4: the file is not valid YAML: an alias'],
  ])('%j is refused', (text, why) => {
    expect(refused(text)).toContain(why);
  });
});

it('is checked by the command, which exits with 2 on a fault', () => {
  const check = (env: Record<string, string>) => {
    const path = fileURLToPath(new URL('../docs/examples/tollgate.yaml', import.meta.url));
    const bin = fileURLToPath(new URL('../bin/tollgate.mjs', import.meta.url));
    const { PATH = '' } = process.env;
    return spawnSync(process.execPath, [bin, 'check-config'], {
      env: { PATH, TOLLGATE_CONFIG_FILE: path, ...env },
      encoding: 'utf8',
    });
  };
  const good = check(ENV);
  expect([good.status, good.stdout]).toEqual([
    0,
    'The settings are valid; upstreams: openai, openai-eu, azure, gpu\n',
  ]);
  const bad = check({});
  expect(bad.status).toBe(2);
  expect(bad.stderr.split('\n').filter((line) => line.includes('which is not set'))).toHaveLength(3);
  const worse = check({ PORT: 'none' });
  expect(worse.status).toBe(2);
  expect(worse.stderr).toMatch(/PORT must be[\s\S]*OPENAI_API_KEY, which is not set/);
  const files = {
    TOLLGATE_TLS_CERT: '/nowhere/a',
    TOLLGATE_TLS_KEY: '/nowhere/b',
    TOLLGATE_SECRETS_KEY_FILE: '/nowhere/c',
    TOLLGATE_ENCRYPTION_KEY_FILE: '/nowhere/d',
    TOLLGATE_OIDC_CLIENT_SECRET_FILE: '/nowhere/e',
  };
  const unreadable = check({ ...ENV, ...files });
  expect(unreadable.status).toBe(2);
  expect(unreadable.stderr.match(/\/nowhere\/\w/g)).toEqual([
    '/nowhere/a',
    '/nowhere/c',
    '/nowhere/d',
    '/nowhere/e',
  ]);
}, 120_000);

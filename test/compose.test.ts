import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { POSTGRES, PROMETHEUS } from '../grafana/queries.ts';

const ROOT = new URL('../', import.meta.url).pathname;
const read = (path: string) => readFileSync(`${ROOT}${path}`, 'utf8');
const compose = read('docker-compose.yml');
/** A service's part of the file, by its name. */
const services = new Map(
  [...compose.split('\nvolumes:\n')[0]!.matchAll(/^ {2}(\w+):\n((?: {4,}.*\n|\n)+)/gm)].map(
    ([, name, text]) => [name!, text!],
  ),
);

it('the composition is valid, and in the order that its linter likes', () => {
  // Services are in the order in which they are read: what everything is about comes first.
  const args = ['--disable-rule', 'services-alphabetical-order', '--max-warnings', '0', ROOT];
  expect(() => execFileSync('npx', ['dclint', ...args], { encoding: 'utf8', cwd: ROOT })).not.toThrow();
});

it('files that it mounts are there', () => {
  const mounted = [...compose.matchAll(/- \.\/(\S+?):/g)].map(([, path]) => path!);
  expect(mounted.length).toBeGreaterThan(4);
  expect(mounted.filter((path) => !existsSync(`${ROOT}${path}`))).toEqual([]);
});

it('every service has a read-only root and tells whether it is well', () => {
  expect([...services.keys()]).toContain('gateway');
  for (const [name, text] of services) {
    expect(text, name).toContain('read_only: true');
    // The image of the gateway has a check of its own; the others end, and what needs them waits for that.
    if (!['gateway', 'reader', 'roles'].includes(name)) expect(text, name).toContain('healthcheck:');
  }
});

it('every image is pinned by its digest, also those that the gateway is built from', () => {
  const images = [...compose.matchAll(/image: (\S+)/g), ...read('Dockerfile').matchAll(/^FROM (\S+)/gm)];
  expect(images.length).toBeGreaterThan(5);
  for (const [, image] of images) expect(image).toMatch(/^[\w/.:-]+@sha256:[0-9a-f]{64}$/);
});

it('the gateway is asked whether it can admit calls', () => {
  expect(services.get('gateway')).toContain('/readyz');
});

it('no port is open to the network, and no secret has a default', () => {
  const published = compose.match(/published:/g)!.length;
  expect(compose.match(/host_ip: 127\.0\.0\.1\n\s+published:/g)).toHaveLength(published);
  const secrets = [...compose.matchAll(/[^$]\$\{([A-Z_]*(?:PASSWORD|KEY))(:\?|:-\})?/g)].filter(
    // A number.
    ([, name]) => name !== 'TOLLGATE_SESSIONS_PER_KEY',
  );
  const optional = secrets.filter(([, , rest]) => rest !== ':?').map(([, name, rest]) => `${name}${rest}`);
  expect(new Set(optional)).toEqual(
    new Set(['OPENAI_ADMIN_KEY:-}', 'TOLLGATE_ENCRYPTION_KEY:-}', 'TOLLGATE_SECRETS_KEY:-}']),
  );
});

it('what .env says reaches the gateway: every setting but what the image sets or names a file', () => {
  const [settings = ''] = read('.env.example').split('# The rest is used by docker-compose.yml only.');
  const names = [...settings.matchAll(/^#?([A-Z][A-Z_]*)=/gm)].map(([, name]) => name!);
  const own =
    /^(?:HOST|PORT|PG_BIN|DATABASE_URL|TOLLGATE_(?:DATA_DIR|ARCHIVE_DIR|RUNTIME_ROLE|TLS_\w+|\w+_FILE))$/;
  const expected = names.filter((name) => !own.test(name));
  expect(expected.length).toBeGreaterThan(50);
  expect(
    expected.filter((name) => !new RegExp(` {6}${name}: \\$\\{${name}:[-?]`).test(services.get('gateway')!)),
  ).toEqual([]);
});

it('Grafana finds its data where dashboards look for it', () => {
  const sources = read('grafana/provisioning/datasources/tollgate.yml');
  for (const { type, uid } of [PROMETHEUS, POSTGRES]) {
    expect(sources).toMatch(new RegExp(`uid: ${uid}\\n +type: ${type}\\n`));
  }
  expect(read('grafana/provisioning/dashboards/tollgate.yml')).toContain('path: /etc/tollgate/dashboards');
  expect(sources).not.toMatch(/password: [^$]/);
});

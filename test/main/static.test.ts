import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { createConsole } from '../../src/main/http/static.ts';
import { temporaryFolder } from '../support/folder.ts';

let folder: string;
let app: ReturnType<typeof createConsole>;
beforeAll(async () => {
  folder = await temporaryFolder();
  mkdirSync(join(folder, 'dist/fonts'), { recursive: true });
  writeFileSync(join(folder, 'dist/index.html'), '<!doctype html>');
  writeFileSync(join(folder, 'dist/app.js'), 'run()');
  writeFileSync(join(folder, 'dist/fonts/a.woff2'), 'font');
  writeFileSync(join(folder, 'secret.txt'), 'secret');
  app = createConsole(join(folder, 'dist'));
});

test.each([
  ['/console', 'text/html; charset=utf-8', '<!doctype html>'],
  ['/console/', 'text/html; charset=utf-8', '<!doctype html>'],
  ['/console/teams/42', 'text/html; charset=utf-8', '<!doctype html>'],
  ['/console/app.js', 'text/javascript; charset=utf-8', 'run()'],
  ['/console/fonts/a.woff2', 'font/woff2', 'font'],
])('%s is served with a policy that lets nothing in from elsewhere', async (path, type, text) => {
  const response = await app.request(path);
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toBe(type);
  expect(await response.text()).toBe(text);
  expect(response.headers.get('content-security-policy')).toBe(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
      "font-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
  );
  expect(response.headers.get('x-content-type-options')).toBe('nosniff');
  expect(response.headers.get('referrer-policy')).toBe('no-referrer');
});

test.each([
  '/console/../secret.txt',
  '/console/%2e%2e/secret.txt',
  '/console/..%2fsecret.txt',
  '/console//etc/passwd',
])('nothing outside of its folder is served: %s', async (path) => {
  const text = await (await app.request(path)).text();
  expect(text).not.toContain('secret');
  expect(text).not.toContain('root:');
});

test('a file is asked for again each time, and sent again only once it changed', async () => {
  const first = await app.request('/console/app.js');
  const etag = first.headers.get('etag')!;
  expect(first.headers.get('cache-control')).toBe('no-cache');
  const again = await app.request('/console/app.js', { headers: { 'if-none-match': etag } });
  expect([again.status, await again.text()]).toEqual([304, '']);
  const other = await app.request('/console', { headers: { 'if-none-match': etag } });
  expect(other.status).toBe(200);
});

test('a console that was not built says how to build it', async () => {
  const response = await createConsole(join(folder, 'nothing')).request('/console');
  expect(response.status).toBe(404);
  expect(await response.text()).toContain('npm run build:console');
});

/** TLS by setting, as clients meet it: the SDK over https and wss, pages, and a certificate that is replaced meanwhile. */
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect as plainConnect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, getCACertificates, setDefaultCACertificates } from 'node:tls';
import OpenAI from 'openai';
import { ResponsesWS } from 'openai/resources/responses/ws';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Config, readConfig } from '../../src/config.ts';
import { openTls } from '../../src/main/tls.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { makeCertificate } from '../support/certificate.ts';
import { billed, readEvents, sumOf } from './books.ts';
import { ADMIN_KEY, type Stack, startStack } from './stack.ts';

const folder = mkdtempSync(join(tmpdir(), 'tollgate-tls-'));
const file = (name: string) => join(folder, name);

const [CERT, KEY] = [file('tls.crt'), file('tls.key')];
const trustedBefore = getCACertificates('default');

let stack: Stack;
let key: string;
let teamId: string;
beforeAll(async () => {
  for (const name of ['first', 'second']) makeCertificate(name, file(`${name}.crt`), file(`${name}.key`));
  copyFileSync(file('first.crt'), CERT);
  copyFileSync(file('first.key'), KEY);
  setDefaultCACertificates([
    ...trustedBefore,
    readFileSync(file('first.crt'), 'utf8'),
    readFileSync(file('second.crt'), 'utf8'),
  ]);
  stack = await startStack({ env: { HOST: 'localhost', TOLLGATE_TLS_CERT: CERT, TOLLGATE_TLS_KEY: KEY } });
  ({ key, teamId } = await stack.team({ grantUsd: '5.00' }));
});
afterAll(async () => {
  await stack.stop();
  setDefaultCACertificates(trustedBefore);
  rmSync(folder, { recursive: true });
});

const client = () => new OpenAI({ apiKey: key, baseURL: `${stack.app.url}/v1`, maxRetries: 0 });

it('the SDK works over https, streams too, and its WebSocket over wss', async () => {
  expect(stack.app.url).toMatch(/^https:/);
  const asked = { model: 'gpt-5.5', input: 'Say hello.', max_output_tokens: 40 };
  expect((await client().responses.create(asked)).usage?.input_tokens).toBeGreaterThan(0);
  const types: string[] = [];
  for await (const { type } of await client().responses.create({ ...asked, stream: true })) types.push(type);
  expect(types.at(-1)).toMatch(/^response\.(completed|incomplete)$/);
  const ws = new ResponsesWS(client());
  const ended = new Promise((resolve) => {
    ws.once('response.completed', resolve);
    ws.once('response.incomplete', resolve);
  });
  ws.send({ type: 'response.create', ...asked });
  await ended;
  expect(ws.url.protocol).toBe('wss:');
  ws.close();
  await stack.idle();
  const events = await readEvents(stack, teamId);
  expect(events.map(({ operation }) => operation)).toEqual(['responses', 'responses', 'responses.connect']);
  expect(sumOf(events)).toBe(billed(stack));
});

it('the cookie of the console is for https alone', async () => {
  const response = await fetch(`${stack.app.url}/console/session`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ key: ADMIN_KEY }),
  });
  expect(response.status).toBeLessThan(300);
  expect(response.headers.getSetCookie()).toEqual([expect.stringMatching(/; Secure/)]);
});

it('who speaks plain HTTP is cut off', async () => {
  const { port, hostname } = new URL(stack.app.url);
  const socket = plainConnect(Number(port), hostname);
  socket.on('error', () => {});
  socket.write('GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n');
  let received = '';
  socket.on('data', (bytes) => {
    received += bytes.toString('latin1');
  });
  await once(socket, 'close');
  expect(received).not.toMatch(/HTTP/);
});

describe('a certificate that is replaced', () => {
  /** The name in the certificate that a new connection gets. */
  async function served(): Promise<string | undefined> {
    const { port } = new URL(stack.app.url);
    const socket = connect({ port: Number(port), host: 'localhost', rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    const { subject } = socket.getPeerCertificate();
    socket.destroy();
    return String(subject.CN);
  }

  it('is served to new connections once it is whole; until then the one before is', async () => {
    const { port } = new URL(stack.app.url);
    const open = connect({ port: Number(port), host: 'localhost', rejectUnauthorized: false });
    await once(open, 'secureConnect');
    copyFileSync(file('second.crt'), CERT);
    // SIGHUP reads them at once, as the look once a second would.
    process.emit('SIGHUP');
    expect(await served()).toBe('first');
    writeFileSync(KEY, 'no key');
    process.emit('SIGHUP');
    expect(await served()).toBe('first');
    copyFileSync(file('second.key'), KEY);
    await expect.poll(served, { timeout: 30_000 }).toBe('second');
    open.write('GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n');
    expect(String((await once(open, 'data'))[0])).toMatch(/^HTTP\/1\.1 200/);
    open.destroy();
  });
});

describe('files that are no pair', () => {
  const log = createLog({ level: 'silent', logCalls: false, secrets: [] });
  const open = (cert: string, privateKey: string) =>
    openTls(readConfig({ TOLLGATE_TLS_CERT: cert, TOLLGATE_TLS_KEY: privateKey }) as Config, log);

  it.each([
    [
      'a certificate that is not there',
      'none.crt',
      'first.key',
      /^TOLLGATE_TLS_CERT .*none\.crt cannot be read \(ENOENT\)/,
    ],
    [
      'a key that is not there',
      'first.crt',
      'none.key',
      /^TOLLGATE_TLS_KEY .*none\.key cannot be read \(ENOENT\)/,
    ],
    [
      'a key in the place of the certificate',
      'first.key',
      'first.key',
      /^TOLLGATE_TLS_CERT .* has no certificate in PEM/,
    ],
    [
      'a certificate in the place of the key',
      'first.crt',
      'first.crt',
      /^TOLLGATE_TLS_KEY .* has no private key in PEM/,
    ],
    [
      'the key of another certificate',
      'first.crt',
      'second.key',
      /^TOLLGATE_TLS_KEY .* is not the key of the certificate/,
    ],
  ])('%s stops the start, with its name', (_, cert, privateKey, said) => {
    expect(() => open(file(cert), file(privateKey))).toThrow(said);
  });
});

/** One webhook over real HTTP: how it is signed, and where it never goes. */
import { createHmac } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createWebhook, type WebhookOptions } from '../../src/jobs/webhook.ts';
import { type Receiver, startReceiver } from './receiver.ts';

const never = new AbortController().signal;
const NOW_MS = 1_764_000_000_999;
const MESSAGE = { id: '3f0e2c1a-0000-4000-8000-000000000001', body: '{"text":"Größe"}' };

let receiver: Receiver;
beforeEach(async () => {
  receiver = await startReceiver();
});
afterEach(() => receiver.close());

async function send(changes: Partial<WebhookOptions> = {}): Promise<string | null> {
  const webhook = createWebhook({ url: receiver.url, secret: null, allowPrivate: true, ...changes });
  try {
    return await webhook.send(MESSAGE, NOW_MS, never);
  } finally {
    await webhook.close();
  }
}

describe('a webhook', () => {
  it('has the id, the time, and a signature that the receiver can compute with the secret', async () => {
    const key = Buffer.from('0123456789abcdef0123456789abcdef');
    expect(await send({ secret: `whsec_${key.toString('base64')}` })).toBeNull();
    const [{ headers, body }] = receiver.received as [Receiver['received'][number]];
    expect(body).toBe(MESSAGE.body);
    expect(headers['content-type']).toBe('application/json');
    expect(headers['webhook-id']).toBe(MESSAGE.id);
    expect(headers['webhook-timestamp']).toBe('1764000000');
    const signed = createHmac('sha256', key)
      .update(`${MESSAGE.id}.1764000000.`)
      .update(body)
      .digest('base64');
    expect(headers['webhook-signature']).toBe(`v1,${signed}`);
  });

  it('has the signature of the example in the specification', async () => {
    // https://github.com/standard-webhooks/standard-webhooks, the tests of its libraries.
    const webhook = createWebhook({
      url: receiver.url,
      secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
      allowPrivate: true,
    });
    const message = { id: 'msg_p5jXN8AQM9LWM0D4loKWxJek', body: '{"test": 2432232314}' };
    await webhook.send(message, 1_614_265_330_000, never);
    await webhook.close();
    expect(receiver.received[0]!.headers['webhook-signature']).toBe(
      'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    );
  });

  it('is not signed without a secret', async () => {
    await send();
    expect(receiver.received[0]!.headers).not.toHaveProperty('webhook-signature');
  });

  it.each([300, 400, 410, 429, 500, 503])('is not accepted with the status %i', async (status) => {
    receiver.statuses = [status];
    expect(await send()).toBe(`the receiver answered ${status}`);
  });

  it('follows no redirect', async () => {
    const elsewhere = await startReceiver();
    receiver.statuses = [307];
    receiver.answerHeaders = { location: elsewhere.url };
    expect(await send()).toBe('the receiver answered 307');
    expect(elsewhere.received).toEqual([]);
    await elsewhere.close();
  });

  it('times out on a silent receiver', async () => {
    const silent = createServer(() => {});
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}/`;
    expect(await send({ url, timeoutMs: 50 })).toBe('the receiver did not answer in time');
    silent.closeAllConnections();
    silent.close();
  });

  it('does not read an endless response', async () => {
    let written = 0;
    const endless = createServer((_, response) => {
      const more = () => {
        while (!response.destroyed && response.write(Buffer.alloc(65_536))) written += 65_536;
      };
      response.on('drain', more);
      more();
    });
    await new Promise<void>((resolve) => endless.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(endless.address() as AddressInfo).port}/`;
    expect(await send({ url })).toBeNull();
    expect(written).toBeLessThan(16 * 1024 * 1024);
    endless.closeAllConnections();
    endless.close();
  });

  it('reports a refused connection without the address', async () => {
    const { url } = receiver;
    await receiver.close();
    expect(await send({ url })).toBe('the receiver cannot be reached (ECONNREFUSED)');
  });
});

describe('a webhook that may only go to the public internet', () => {
  const toNobody = (url: string) =>
    expect(send({ url, allowPrivate: false })).resolves.toContain('not public');

  it.each([
    'http://127.0.0.1:PORT/hook',
    'http://127.1:PORT/hook',
    'http://2130706433:PORT/hook',
    'http://0x7f.0.0.1:PORT/hook',
    'http://0.0.0.0:PORT/hook',
    'http://[::1]:PORT/hook',
    'http://[::ffff:127.0.0.1]:PORT/hook',
    'http://[::ffff:7f00:1]:PORT/hook',
    'http://localhost:PORT/hook',
    'http://169.254.169.254/latest/meta-data',
    'http://10.0.0.1/',
    'http://172.16.0.1/',
    'http://192.168.0.1/',
    'http://[fc00::1]/',
    'http://[fe80::1]/',
  ])('does not go to %s', async (url) => {
    await toNobody(url.replace('PORT', new URL(receiver.url).port));
    expect(receiver.received).toEqual([]);
  });

  it('does not go to a name with a private address, also beside a public one', async () => {
    const port = new URL(receiver.url).port;
    for (const others of [[], [{ address: '1.1.1.1', family: 4 }]]) {
      const resolve = async () => [...others, { address: '127.0.0.1', family: 4 }];
      const problem = await send({ url: `http://hooks.example:${port}/`, allowPrivate: false, resolve });
      expect(problem).toContain('not public');
    }
    expect(receiver.received).toEqual([]);
  });

  it('connects to the address that was checked: the name is resolved once', async () => {
    const { port } = new URL(receiver.url);
    let asked = 0;
    // Where nobody listens when it is judged; were it asked again, the receiver.
    const resolve = async () => [{ address: asked++ === 0 ? '127.0.0.2' : '127.0.0.1', family: 4 }];
    const url = `http://hooks.example:${port}/`;
    const refused = await send({ url, allowPrivate: true, resolve });
    expect(refused).not.toBeNull();
    expect([asked, receiver.received]).toEqual([1, []]);
    expect(await send({ url, allowPrivate: true, resolve })).toBeNull();
    expect(receiver.received[0]!.headers.host).toBe(`hooks.example:${port}`);
  });
});

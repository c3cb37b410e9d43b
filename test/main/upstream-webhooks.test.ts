/** The route of upstreams' webhooks by itself: what it answers while Postgres is away, and a body of unknown length. */
import { expect, it } from 'vitest';
import { ClientAddresses } from '../../src/auth/addresses.ts';
import { signatureOf } from '../../src/auth/webhook-signature.ts';
import { createUpstreamWebhooks } from '../../src/main/http/upstream-webhooks.ts';

const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const NOW_MS = 1_764_000_000_000;
const EVENT = JSON.stringify({ type: 'batch.completed', data: { id: 'batch_1' } });

function route(lookSoonAt: () => Promise<boolean>) {
  const seen: { ends: string[]; errors: unknown[] } = { ends: [], errors: [] };
  const app = createUpstreamWebhooks({
    secretOf: () => SECRET,
    lookSoonAt,
    addresses: new ClientAddresses(null),
    nowMs: () => NOW_MS,
    onEnd: (kind, outcome) => seen.ends.push(`${kind} ${outcome}`),
    onRefused: () => {},
    onError: (error) => seen.errors.push(error),
  });
  return { app, seen };
}

function request(body: string | ReadableStream, signed = EVENT): Request {
  const timestamp = String(NOW_MS / 1000);
  const headers = {
    'webhook-id': 'wh_1',
    'webhook-timestamp': timestamp,
    'webhook-signature': `v1,${signatureOf(SECRET, 'wh_1', timestamp, signed)}`,
  };
  const init = { method: 'POST', headers, body, duplex: 'half' as const };
  return new Request('http://gateway/webhooks/upstream', init);
}

it('while Postgres is away the upstream is asked to send it again, and then it counts', async () => {
  const gone = new Error('no connection');
  const answers = [Promise.reject(gone), Promise.resolve(true)];
  const { app, seen } = route(() => answers.shift()!);
  const away = await app.request(request(EVENT));
  expect([away.status, away.headers.has('x-should-retry')]).toEqual([503, false]);
  expect((await app.request(request(EVENT))).status).toBe(200);
  expect(seen).toEqual({ ends: ['batch failed', 'batch due'], errors: [gone] });
});

it('a body that does not say how long it is is read so far and no further', async () => {
  let pieces = 0;
  const endless = new ReadableStream({
    pull(controller) {
      if (++pieces > 1000) throw new Error('it is read on');
      controller.enqueue(new Uint8Array(1024));
    },
  });
  const { app, seen } = route(() => Promise.resolve(true));
  expect((await app.request(request(endless))).status).toBe(413);
  expect(pieces).toBeLessThan(100);
  expect(seen.ends).toEqual([]);
});

it('no body is read of one whose headers are wrong', async () => {
  let pieces = 0;
  const body = new ReadableStream({ pull: () => void pieces++ }, { highWaterMark: 0 });
  const { app, seen } = route(() => Promise.resolve(true));
  const late = request(body);
  late.headers.set('webhook-timestamp', String(NOW_MS / 1000 - 301));
  expect((await app.request(late)).status).toBe(400);
  expect(pieces).toBe(0);
  expect(seen.ends).toEqual(['other refused']);
});

it('a body that breaks off is refused, and counts as no wrong one', async () => {
  const broken = () =>
    new ReadableStream({ pull: (controller) => controller.error(new Error('the client is gone')) });
  const { app, seen } = route(() => Promise.resolve(true));
  const times = 40;
  for (let time = 0; time < times; time++) expect((await app.request(request(broken()))).status).toBe(400);
  expect(seen).toEqual({ ends: Array(times).fill('other refused'), errors: [] });
});

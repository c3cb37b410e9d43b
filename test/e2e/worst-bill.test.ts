/** Against an upstream that bills every call at the most that its price list allows: no hold is ever too small. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { findModel, MODEL_NAMES } from '../../src/simulator/prices.ts';
import { disagreements, readEvents, readMetric } from './books.ts';
import { inParallel } from './callers.ts';
import { type Stack, startStack } from './stack.ts';

interface Request {
  path: string;
  body: Record<string, unknown>;
}

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ simulator: { mode: 'worst' } });
});
afterAll(() => stack.stop());

const IMAGE = { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } };
const user = (content: unknown) => ({ messages: [{ role: 'user', content }] });
const chat = (body: Record<string, unknown>): Request => ({ path: '/chat/completions', body });
const response = (body: Record<string, unknown>): Request => ({ path: '/responses', body });
const ofKind = (...kinds: string[]) =>
  MODEL_NAMES.filter((name) => kinds.includes(findModel(name)!.model.kind));
/** A token for each byte: just above the 272,000 tokens from which the long context is billed. */
const LONG = 'a'.repeat(272_100);

/** Sends all and answers the bodies' error codes, null for those that were forwarded and answered well. */
async function send(key: string, requests: Request[]): Promise<(string | null)[]> {
  return inParallel(requests, 8, async ({ path, body }) => {
    for (let attempt = 1; ; attempt++) {
      const answer = await stack.post(key, path, body);
      const text = await answer.text();
      if (answer.ok) return null;
      // On a busy machine Postgres may be slow to lend: repeated as the SDKs do.
      if (answer.status !== 503 || attempt === 4) return String(JSON.parse(text).error.code);
      await delay(Number(answer.headers.get('retry-after-ms')));
    }
  });
}

/** All calls of a team stayed within their holds, to the last pico-USD of the invoice. */
async function expectCovered(teamId: string, calls: number) {
  const events = await readEvents(stack, teamId);
  const ids = new Set(events.map(({ id }) => id));
  const lines = stack.simulator.invoice().lines.filter((line) => ids.has(line.client_request_id ?? ''));
  expect(events).toHaveLength(calls);
  expect(disagreements(events, lines, () => false)).toEqual([]);
  expect(events.filter(({ reason }) => reason !== null)).toEqual([]);
  expect((await readMetric(stack, 'tollgate_overrun_usd_total')).get('')).toBe(0);
  return lines;
}

it('no call is billed above its hold, for every model in every tier, open-ended or not', async () => {
  const { teamId, key } = await stack.team({ grantUsd: '100000.00' });
  const requests = ofKind('chat', 'responses').flatMap((model) =>
    [undefined, 'auto', 'default', 'flex', 'priority'].flatMap((service_tier) => {
      const common = { model, service_tier };
      const responses = [
        response({ ...common, input: 'héllo 漢字' }),
        response({ ...common, input: 'x', stream: true, max_output_tokens: 16 }),
      ];
      return findModel(model)!.model.kind === 'responses'
        ? responses
        : [
            ...responses,
            chat({ ...common, ...user('héllo 🦊') }),
            chat({ ...common, ...user('x'), stream: true, n: 3, max_completion_tokens: 50 }),
          ];
    }),
  );
  const codes = await send(key, requests);
  const refused = new Set(codes.filter((code) => code !== null));
  expect([...refused].sort()).toEqual(['unbounded_request', 'unknown_price']);
  const lines = await expectCovered(teamId, codes.filter((code) => code === null).length);
  // The dearest way to serve a flex call is not to.
  expect(new Set(lines.map(({ service_tier }) => service_tier))).toEqual(new Set(['default', 'priority']));
  expect(lines.filter(({ usage }) => usage.cache_write_tokens > 0).length).toBeGreaterThan(20);
}, 120_000);

it('no call is billed above its hold where the whole request moves to the long-context price', async () => {
  const { teamId, key } = await stack.team({ grantUsd: '100000.00' });
  const requests = ofKind('chat')
    .filter((model) => findModel(model)!.model.tiers.default!.long !== null)
    .flatMap((model) =>
      [undefined, 'flex', 'priority'].map((service_tier) =>
        chat({ model, service_tier, ...user(LONG), max_completion_tokens: 1000 }),
      ),
    );
  const codes = await send(key, requests);
  const lines = await expectCovered(teamId, codes.filter((code) => code === null).length);
  expect(lines.length).toBeGreaterThan(20);
  expect(lines.every(({ usage }) => usage.input_tokens > 272_000)).toBe(true);
}, 120_000);

it('no call is billed above its hold whatever multiplies or hides tokens', async () => {
  const { teamId, key } = await stack.team({ grantUsd: '100000.00' });
  const predicted = { type: 'content', content: 'all of it rejected 🦊' };
  const tools = [{ type: 'function', function: { name: 'f', parameters: { type: 'object' } } }];
  const messages = Array.from({ length: 300 }, () => ({ role: 'user', content: '' }));
  const codes = await send(key, [
    chat({ model: 'gpt-4o', ...user('x'), n: 5, prediction: predicted, max_tokens: 40 }),
    chat({ model: 'gpt-4o', ...user('x'), n: 128 }),
    chat({ model: 'gpt-4o-mini', ...user([IMAGE, IMAGE]), max_tokens: 40 }),
    chat({ model: 'gpt-4.1', ...user([IMAGE, { type: 'text', text: 'x' }]) }),
    chat({ model: 'gpt-4o', messages, tools, response_format: { type: 'json_object' } }),
    chat({ model: 'gpt-4o', ...user('\u0001\u2028é"\\'), max_completion_tokens: 1 }),
    response({ model: 'gpt-5', instructions: 'x', input: [{ role: 'user', content: 'x' }], tools }),
    { path: '/completions', body: { model: 'davinci-002', prompt: ['a', 'b', 'c'], best_of: 20, n: 3 } },
    { path: '/completions', body: { model: 'gpt-3.5-turbo-instruct', prompt: [[1, 2], [3]], n: 4 } },
    { path: '/completions', body: { model: 'babbage-002', prompt: 'echo', echo: true, max_tokens: 0 } },
    { path: '/embeddings', body: { model: 'text-embedding-3-large', input: [[1, 22, 333], [4]] } },
    {
      path: '/embeddings',
      body: { model: 'text-embedding-3-small', input: ['a', '漢字', 'x'.repeat(9000)] },
    },
  ]);
  expect(codes.filter((code) => code !== null)).toEqual([]);
  await expectCovered(teamId, codes.length);
});

/** The head of a PNG of a size, which is all that anyone reads of it here. */
function png(width: number, height: number): string {
  const bytes = Buffer.alloc(45);
  bytes.write('\x89PNG\r\n\x1a\n', 'latin1');
  bytes.writeUInt32BE(13, 8);
  bytes.write('IHDR', 12);
  bytes.writeUInt32BE(width, 16);
  bytes.writeUInt32BE(height, 20);
  bytes.write('IDAT', 37);
  return `data:image/png;base64,${bytes.toString('base64')}`;
}

it('no image is billed above its hold, whatever its size, detail and model', async () => {
  const { teamId, key } = await stack.team({ grantUsd: '100000.00' });
  const sizes = [
    [1, 1],
    [33, 500],
    [768, 512],
    [1025, 1025],
    [1920, 1080],
    [4032, 3024],
    [100, 9000],
  ] as const;
  const urls = [...sizes.map(([width, height]) => png(width, height)), 'https://a.example/b.png'];
  const images = urls.flatMap((url) =>
    ['low', 'high', 'auto', 'original'].map((detail) => ({ type: 'input_image', image_url: url, detail })),
  );
  const models = ofKind('chat').filter((model) => !/^gpt-(3|4-|4$|audio)|^o1-|^o3-mini/.test(model));
  const requests = models.flatMap((model) =>
    images.map((image) =>
      response({ model, max_output_tokens: 16, input: [{ role: 'user', content: [image] }] }),
    ),
  );
  const codes = await send(key, requests);
  // Those of which no maximum input is known.
  const unbounded = /^(chat-latest|gpt-rosalind-research|gpt-5\.\d-cyber)$/;
  const refused = requests
    .map(({ body }, index) => [String(body.model), codes[index]] as const)
    .filter(([model, code]) => code !== null && !unbounded.test(model));
  expect(refused).toEqual([]);
  await expectCovered(teamId, codes.filter((code) => code === null).length);
}, 120_000);

it('two hundred images of one pixel fit into ten cents on gpt-5-mini', async () => {
  const { teamId, key } = await stack.team({ grantUsd: '0.10' });
  const content = [{ type: 'image_url', image_url: { url: png(1, 1) } }];
  const requests = Array.from({ length: 200 }, () =>
    chat({ model: 'gpt-5-mini', ...user(content), max_completion_tokens: 16 }),
  );
  expect((await send(key, requests)).filter((code) => code !== null)).toEqual([]);
  await expectCovered(teamId, 200);
}, 120_000);

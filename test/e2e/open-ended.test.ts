/**
 * Calls without an output limit: they get what is affordable and are told so; what a client said is never overruled.
 */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { billed, disagreements, readEvents } from './books.ts';
import { type Stack, startStack } from './stack.ts';
import { type FixedAnswer, type Recorder, send, startRecorder } from './wire.ts';

let simulated: Stack;
let recorded: Stack;
let recorder: Recorder;
const ANSWER: FixedAnswer = {
  status: 200,
  headers: ['content-type', 'application/json'],
  body: '{"usage":{"prompt_tokens":1,"completion_tokens":1,"input_tokens":1,"output_tokens":1}}',
};
beforeAll(async () => {
  recorder = await startRecorder(ANSWER);
  recorded = await startStack({ env: { OPENAI_BASE_URL: recorder.url } });
  simulated = await startStack({ simulator: { mode: 'worst' } });
});
afterAll(async () => {
  await recorded.stop();
  await simulated.stop();
  recorder.close();
});
beforeEach(() => {
  recorder.seen.length = 0;
});

const MESSAGES = [{ role: 'user', content: 'hello' }];

/** Makes a call of a new team; answers the limit that its client was told of, and the body that the upstream got. */
async function limited(grantUsd: string, path: string, body: object) {
  const { teamId, key } = await recorded.team({ grantUsd });
  const headers = ['authorization', `Bearer ${key}`, 'content-type', 'application/json'];
  const answer = await send(recorded.app.url, { path: `/v1${path}`, headers, body: JSON.stringify(body) });
  const sent = recorder.seen.at(-1);
  const told = answer.headers['x-tollgate-output-limit'];
  return {
    status: answer.status,
    told: told === undefined ? null : Number(told),
    sent: sent === undefined ? null : JSON.parse(sent.body.toString()),
    event: (await readEvents(recorded, teamId))[0],
  };
}

it.each([
  ['/chat/completions', { model: 'gpt-4o-mini', messages: MESSAGES }, 'max_completion_tokens'],
  ['/chat/completions', { model: 'gpt-5-mini', messages: MESSAGES, stream: true }, 'max_completion_tokens'],
  ['/responses', { model: 'gpt-5-mini', input: 'hello' }, 'max_output_tokens'],
] as const)(
  'with little money an output limit is written into %s, and shown to the client and on the event',
  async (path, body, field) => {
    const { status, told, sent, event } = await limited('0.001', path, body);
    expect(status).toBe(200);
    expect(told).toBeGreaterThanOrEqual(256);
    expect(told).toBeLessThan(2000);
    expect(sent[field]).toBe(told);
    expect(event!.output_limit).toBe(told);
  },
);

it('what the call says of a shortage stays here', async () => {
  const { key } = await recorded.team({ grantUsd: '18.00' });
  const body = { model: 'gpt-4o-mini', messages: MESSAGES };
  const answer = await recorded.post(key, '/chat/completions', body, { 'x-tollgate-on-shortage': 'refuse' });
  expect(answer.status).toBe(200);
  expect(JSON.stringify(recorder.seen.at(-1))).not.toContain('on-shortage');
});

it('a call that can afford its model’s maximum output is forwarded unchanged', async () => {
  const { told, sent, event } = await limited('18.00', '/chat/completions', {
    model: 'gpt-4o-mini',
    messages: MESSAGES,
  });
  expect([told, sent.max_completion_tokens, event!.output_limit]).toEqual([null, undefined, null]);
});

it('a model without a known maximum output always gets an output limit', async () => {
  const { told, sent } = await limited('100000.00', '/chat/completions', {
    model: 'chat-latest',
    messages: MESSAGES,
  });
  expect(told).toBeGreaterThanOrEqual(8192);
  expect(sent.max_completion_tokens).toBe(told);
});

it('the affordable output is divided by the number of choices', async () => {
  const limitOf = async (n: number) =>
    (await limited('0.002', '/chat/completions', { model: 'gpt-4o-mini', messages: MESSAGES, n })).told!;
  const [one, four] = [await limitOf(1), await limitOf(4)];
  expect(four).toBeGreaterThanOrEqual(256);
  expect(four).toBeLessThanOrEqual(one);
  expect(
    (await limited('0.0005', '/chat/completions', { model: 'gpt-4o-mini', messages: MESSAGES, n: 4 })).status,
  ).toBe(429);
});

it.each([
  ['/chat/completions', { model: 'gpt-4o-mini', messages: MESSAGES, max_tokens: 5000 }],
  ['/chat/completions', { model: 'gpt-4o-mini', messages: MESSAGES, max_completion_tokens: 5000 }],
  ['/responses', { model: 'gpt-5-mini', input: 'hello', max_output_tokens: 5000 }],
] as const)(
  'an output limit of the client that is not affordable is denied, not lowered (%s)',
  async (path, body) => {
    const { status, sent } = await limited('0.001', path, body);
    expect([status, sent]).toEqual([429, null]);
  },
);

it('a small grant is spent to its end with ever shorter output limits, and not beyond', async () => {
  const { teamId, key } = await simulated.team({ grantUsd: '0.002' });
  const limits: number[] = [];
  for (;;) {
    const response = await simulated.post(key, '/chat/completions', {
      model: 'gpt-4o-mini',
      messages: MESSAGES,
    });
    await response.text();
    if (!response.ok) {
      expect(response.status).toBe(429);
      break;
    }
    limits.push(Number(response.headers.get('x-tollgate-output-limit')));
  }
  const events = await readEvents(simulated, teamId);
  expect(disagreements(events, simulated.simulator.invoice().lines, () => false)).toEqual([]);
  expect(events.map(({ output_tokens }) => output_tokens)).toEqual(limits);
  expect(Math.min(...limits)).toBeGreaterThanOrEqual(256);
  // What is left does not pay for the least that is of use: 256 tokens, $0.00016.
  expect(billed(simulated)).toBeLessThanOrEqual(2_000_000_000n);
  expect(billed(simulated)).toBeGreaterThan(1_800_000_000n);
});

it('a lone caller with ten cents left gets nearly all that they buy', async () => {
  const { told, sent } = await limited('0.10', '/chat/completions', { model: 'gpt-5', messages: MESSAGES });
  // $10 a million output tokens: ten cents buy 10,000 of them.
  expect(told).toBeGreaterThanOrEqual(9_000);
  expect(sent.max_completion_tokens).toBe(told);
});

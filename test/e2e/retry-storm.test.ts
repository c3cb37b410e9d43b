/** A failing upstream is not paid for again and again: the breaker, and the bound on unknown money. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { readEvents } from './books.ts';
import { type Stack, startStack } from './stack.ts';
import { type FixedAnswer, type Recorder, startRecorder } from './wire.ts';

const GOOD: FixedAnswer = {
  status: 200,
  headers: ['content-type', 'application/json'],
  body: '{"object":"chat.completion","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}',
};
const PAGE: FixedAnswer = { status: 502, headers: ['content-type', 'text/html'], body: '<html></html>' };
const HELLO = { model: 'gpt-4o-mini', max_tokens: 1000 };

let stack: Stack;
let recorder: Recorder;
beforeAll(async () => {
  recorder = await startRecorder(GOOD);
  stack = await startStack({ env: { OPENAI_BASE_URL: recorder.url } });
});
afterAll(async () => {
  await stack.stop();
  recorder.close();
});
beforeEach(async () => {
  // A success of any team closes the circuit of all.
  recorder.answer = GOOD;
  const { key } = await stack.team({ grantUsd: '1.00' });
  for (;;) {
    const { status, headers } = await call(key);
    if (status === 200) break;
    // No sooner: a call that is turned away puts the next probe off.
    await delay(Number(headers.get('retry-after-ms')) + 100);
  }
  recorder.seen.length = 0;
}, 120_000);

/** An upstream whose answer waits until it is let go. */
function holdAnswers(): () => void {
  const { promise, resolve } = Promise.withResolvers<void>();
  recorder.answer = { ...GOOD, body: (response) => void promise.then(() => response.end(GOOD.body)) };
  return resolve;
}

/** Starts calls at once, of which one is served: after all others have been refused. */
async function onePasses(key: string, count: number) {
  const letGo = holdAnswers();
  let refused = 0;
  const calls = Array.from({ length: count }, async () => {
    const answer = await call(key);
    if (answer.status !== 200 && ++refused === count - 1) letGo();
    return answer;
  });
  return await Promise.all(calls);
}

let prompts = 0;
/** Each call is of a prompt of its own. */
const call = async (key: string) => {
  const messages = [{ role: 'user', content: 'x'.repeat(++prompts) }];
  const response = await stack.post(key, '/chat/completions', { ...HELLO, messages });
  return { status: response.status, headers: response.headers, body: await response.text() };
};

it('after two unknown outcomes a team is told to wait, and nothing more is sent or charged', async () => {
  const { key, teamId } = await stack.team({ grantUsd: '10.00' });
  recorder.answer = PAGE;
  expect((await call(key)).status).toBe(502);
  expect((await call(key)).status).toBe(502);
  for (let again = 0; again < 20; again++) {
    const { status, headers, body } = await call(key);
    expect([status, JSON.parse(body).error.code]).toEqual([503, 'upstream_unavailable']);
    expect(Number(headers.get('retry-after-ms'))).toBeGreaterThan(0);
    expect(Number(headers.get('retry-after'))).toBeLessThanOrEqual(60);
    expect(headers.get('x-should-retry')).toBeNull();
  }
  expect(recorder.seen).toHaveLength(2);
  const events = await readEvents(stack, teamId);
  expect(events.map(({ outcome }) => outcome)).toEqual(['unknown', 'unknown']);

  recorder.answer = GOOD;
  const other = await stack.team({ grantUsd: '10.00' });
  expect((await call(other.key)).status).toBe(200);
});

it('one probe at a time goes through once clients wait, and its success lets all calls pass', async () => {
  const { key } = await stack.team({ grantUsd: '10.00' });
  recorder.answer = PAGE;
  await call(key);
  await call(key);
  const { headers } = await call(key);
  await delay(Number(headers.get('retry-after-ms')) + 100);
  const answers = await onePasses(key, 10);
  expect(answers.map(({ status }) => status).sort()).toEqual([200, ...Array.from({ length: 9 }, () => 503)]);
  expect((await Promise.all([call(key), call(key)])).map(({ status }) => status)).toEqual([200, 200]);
}, 120_000);

it('above max_unknown calls go one at a time, until the events are released', async () => {
  const { key, teamId } = await stack.team({ limitUsd: '0.01' });
  // Two holds of about $0.0006 each on a limit that bears a tenth of $0.01.
  for (let times = 0; times < 2; times++) {
    recorder.answer = PAGE;
    await call(key);
    recorder.answer = GOOD;
    await call(key);
  }
  const both = await onePasses(key, 2);
  recorder.answer = GOOD;
  expect(both.map(({ status }) => status).sort()).toEqual([200, 429]);
  const { error } = JSON.parse(both.find(({ status }) => status === 429)!.body);
  const unknown = (await readEvents(stack, teamId)).filter(({ outcome }) => outcome === 'unknown');
  expect(error.unknown_events.sort()).toEqual(unknown.map(({ id }) => id).sort());
  for (const id of error.unknown_events)
    await stack.admin('POST', `/unknown/${id}/release`, { reason: 'test' });
  await expect
    .poll(async () => (await Promise.all([call(key), call(key)])).map(({ status }) => status), {
      timeout: 30_000,
    })
    .toEqual([200, 200]);
}, 120_000);

// Last: the circuit of all teams takes its time to close.
it('calls of all teams wait when two teams fail and no other succeeds', async () => {
  const [a, b, c] = [
    await stack.team({ grantUsd: '1.00' }),
    await stack.team({ grantUsd: '1.00' }),
    await stack.team({ grantUsd: '1.00' }),
  ];
  recorder.answer = PAGE;
  await call(a.key);
  await call(b.key);
  const { status, body } = await call(c.key);
  expect([status, JSON.parse(body).error]).toMatchObject([
    503,
    { code: 'upstream_unavailable', scope: 'upstream' },
  ]);
  const page = await (await fetch(`${stack.app.url}/metrics`)).text();
  expect(page).toContain('tollgate_breakers_open{scope="upstream"} 1');
});

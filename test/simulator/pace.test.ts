import { expect, it } from 'vitest';
import { HELLO, useSimulator } from './client.ts';

const bench = useSimulator({ profile: { outputTokensPerSecond: 1000 } });
const STREAM = { ...HELLO, stream: true };
const directives = (text: string) => ({ 'x-simulator': text });

it.each([
  ['a whole answer', HELLO],
  ['a stream', STREAM],
])('takes as long for %s as the model needs to write it', async (_, body) => {
  const startedMs = performance.now();
  await (await bench.post('/chat/completions', body, directives('output=150'))).text();
  // A timer may fire a millisecond early.
  expect(performance.now() - startedMs).toBeGreaterThan(145);
});

it('writes an event with text when its client has those before, where that is asked for', async () => {
  const id = 'waiting-1';
  const order = { ...directives('awaits_client=true,output=40,chunk_tokens=8'), 'x-client-request-id': id };
  const response = await bench.post('/chat/completions', STREAM, order);
  const taken = async (events: number) => {
    const body = JSON.stringify({ client_request_id: id, events });
    const origin = bench.simulator.url.slice(0, -3);
    expect((await fetch(`${origin}/taken`, { method: 'POST', body })).status).toBe(200);
  };
  let text = '';
  let events = 0;
  const written: number[] = [];
  for await (const piece of response.body!.pipeThrough(new TextDecoderStream())) {
    text += piece;
    const came = text.split(/"content":"[^"]/).length - 1;
    if (came === events) continue;
    written.push(came - events);
    events = came;
    await taken(events);
  }
  expect(written).toEqual([1, 1, 1, 1, 1]);
  expect(text).toMatch(/data: \[DONE\]\n\n$/);
});

it('tells which keys have how many requests in flight', async () => {
  const inFlight = async () =>
    Object.values((await (await fetch(`${bench.simulator.url.slice(0, -3)}/in-flight`)).json()) as object);
  const leaving = new AbortController();
  const endless = { method: 'POST', signal: leaving.signal, body: JSON.stringify(STREAM) };
  const headers = (key: string) => ({ authorization: `Bearer ${key}`, ...directives('chunk_ms=60000') });
  const answers = await Promise.all(
    ['sk-one', 'sk-one', 'sk-two'].map((key) =>
      fetch(`${bench.simulator.url}/chat/completions`, { ...endless, headers: headers(key) }),
    ),
  );
  expect((await inFlight()).sort()).toEqual([1, 2]);
  leaving.abort();
  await Promise.allSettled(answers.map((answer) => answer.text()));
  await expect.poll(inFlight).toEqual([]);
});

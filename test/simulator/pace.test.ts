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

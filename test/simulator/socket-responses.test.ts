import OpenAI from 'openai';
import { ResponsesWS } from 'openai/resources/responses/ws';
import { describe, expect, it } from 'vitest';
import { useSimulator } from './client.ts';
import { openSocket, type TestSocket } from './socket.ts';

const bench = useSimulator({ profile: { cacheChance: 0 } });
const ASK = { type: 'response.create', model: 'gpt-4o-mini', input: 'hello' };

function open(headers: Record<string, string> = {}): Promise<TestSocket> {
  return openSocket(`${bench.simulator.url}/responses`, headers);
}

const lines = () => bench.simulator.invoice().lines;
const costs = (from: number) =>
  lines()
    .slice(from)
    .map((line) => BigInt(line.cost_pico_usd));

describe('responses over a WebSocket', () => {
  it('are billed a line each, with the usage that their last event says', async () => {
    const before = lines().length;
    const socket = await open();
    socket.send(ASK);
    const done = await socket.next('response.completed');
    socket.send({ ...ASK, input: 'hello again' });
    await socket.next('response.completed');
    const billed = lines().slice(before);
    expect(billed).toHaveLength(2);
    expect(billed[0]).toMatchObject({ operation: 'responses', status: 200, completed: true });
    const { input_tokens, output_tokens } = billed[0]?.usage ?? {};
    expect(done).toMatchObject({ response: { usage: { input_tokens, output_tokens } } });
    expect(costs(before).every((cost) => cost > 0n)).toBe(true);
    socket.close();
  });

  it('are what the official SDK reads', async () => {
    const client = new OpenAI({ apiKey: 'sk-test', baseURL: bench.simulator.url });
    const socket = new ResponsesWS(client);
    const text = await new Promise<string>((resolve, reject) => {
      let written = '';
      socket.on('error', reject);
      socket.on('response.output_text.delta', ({ delta }) => {
        written += delta;
      });
      socket.on('response.completed', () => resolve(written));
      socket.send({ type: 'response.create', model: 'gpt-4o-mini', input: 'hello' });
    });
    expect(text).not.toBe('');
    socket.close();
  });

  it('of one stream_id follow one another, and name it', async () => {
    const socket = await open({ 'x-simulator': 'chunks=3,chunk_ms=2' });
    socket.send({ ...ASK, stream_id: 'a' });
    socket.send({ ...ASK, stream_id: 'a' });
    socket.send({ ...ASK, stream_id: 'b' });
    for (let count = 0; count < 3; count++) await socket.next('response.completed');
    const ofA = socket.events.filter((event) => event.stream_id === 'a').map((event) => event.type);
    expect(ofA.indexOf('response.completed')).toBeLessThan(ofA.lastIndexOf('response.created'));
    expect(socket.events.filter((event) => event.stream_id === undefined)).toEqual([]);
    socket.close();
  });

  it('that are not stored are continued on the connection that made them alone', async () => {
    const socket = await open();
    socket.send({ ...ASK, store: false });
    const { response } = await socket.next('response.completed');
    const { id, usage } = response as { id: string; usage: { input_tokens: number } };
    const next = { ...ASK, store: false, previous_response_id: id, input: 'and then?' };
    socket.send(next);
    const second = await socket.next('response.completed');
    const { input_tokens } = (second.response as { usage: { input_tokens: number } }).usage;
    expect(input_tokens).toBeGreaterThan(usage.input_tokens);
    const other = await open();
    other.send(next);
    expect(await other.next('error')).toMatchObject({
      status: 400,
      error: { code: 'previous_response_not_found' },
    });
    socket.close();
    other.close();
  });

  it('without output bill what the warm-up read', async () => {
    const socket = await open();
    socket.send({ ...ASK, generate: false });
    const { response } = await socket.next('response.completed');
    expect(response).toMatchObject({ output: [], usage: { output_tokens: 0 } });
    expect(bench.lastLine()).toMatchObject({ usage: { output_tokens: 0 } });
    expect(BigInt(bench.lastLine().cost_pico_usd)).toBeGreaterThan(0n);
    socket.close();
  });

  it('that cannot be are errors that cost nothing, and the socket stays', async () => {
    const before = lines().length;
    const socket = await open();
    socket.send('no JSON');
    expect(await socket.next('error')).toMatchObject({ status: 400 });
    socket.send({ type: 'response.cancel' });
    expect(await socket.next('error')).toMatchObject({ error: { param: 'type' } });
    socket.send({ ...ASK, model: 'gpt-nothing', stream_id: 'x' });
    expect(await socket.next('error')).toMatchObject({
      stream_id: 'x',
      error: { code: 'model_not_found' },
    });
    expect(costs(before)).toEqual([0n, 0n, 0n]);
    socket.send(ASK);
    await socket.next('response.completed');
    socket.close();
  });

  it.each([
    ['cut_mid_stream', true],
    ['cut_before_headers', true],
    ['html_502,billed=false', false],
  ])('meet the fault %s', async (fault, billed) => {
    const before = lines().length;
    const socket = await open();
    socket.send({ ...ASK, metadata: { simulator: `fault=${fault}` } });
    await socket.closed();
    expect(socket.events.some((event) => event.type === 'response.completed')).toBe(false);
    expect(costs(before).map((cost) => cost > 0n)).toEqual([billed]);
  });

  it('refuse a handshake without a key, and of a path that is none', async () => {
    await expect(openSocket(`${bench.simulator.url}/responses`, { authorization: '' })).rejects.toThrow(
      '401',
    );
    await expect(openSocket(`${bench.simulator.url}/nothing`)).rejects.toThrow('404');
  });

  it('end with their session', async () => {
    bench.simulator.setProfile({ sessionMs: 20 });
    const socket = await open();
    expect(await socket.next('error')).toMatchObject({
      error: { code: 'websocket_connection_limit_reached' },
    });
    await socket.closed();
    bench.simulator.setProfile({ sessionMs: 3_600_000 });
  });
});

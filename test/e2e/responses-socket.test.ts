/** `/v1/responses` on a WebSocket: a session is a chain of calls, each held, bounded and in the ledger like any other. */
import { once } from 'node:events';
import OpenAI from 'openai';
import { ResponsesWS } from 'openai/resources/responses/ws';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { WebSocket } from 'ws';
import { usd } from '../../src/domain/money.ts';
import { openSocket, type TestSocket } from '../simulator/socket.ts';
import { billed, readBalance, readEvents, sumOf } from './books.ts';
import { type Stack, startStack, type TeamOptions } from './stack.ts';

const MODEL = 'gpt-5.5';
const PATIENCE = { timeout: 30_000, interval: 10 };
const MAX_BODY_BYTES = 200_000;

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({
    env: {
      TOLLGATE_UPSTREAM_TIMEOUT_MS: '5000',
      TOLLGATE_MAX_BODY_BYTES: String(MAX_BODY_BYTES),
      TOLLGATE_MAX_BODY_VALUES: '1000',
      TOLLGATE_SESSIONS_PER_KEY: '3',
    },
  });
});
afterAll(() => stack.stop());

/** @param order of the simulator: `output=5,fault=hang` */
const create = (fields: object = {}, order = 'output=5') => ({
  type: 'response.create' as const,
  model: MODEL,
  input: 'Say hello.',
  max_output_tokens: 40,
  metadata: { simulator: order },
  ...fields,
});

const connect = (key: string, headers: Record<string, string> = {}) =>
  openSocket(`${stack.app.url}/v1/responses`, { authorization: `Bearer ${key}`, ...headers });

const errorOf = async (socket: TestSocket) => {
  const { error, status } = await socket.next('error');
  const { code = null, param = null, message = '' } = error as Record<string, string | null>;
  return { status, code, param, message };
};

/** A team with a session, and what the upstream billed before it. */
async function session(options: TeamOptions = { grantUsd: '5.00' }) {
  const team = await stack.team(options);
  const before = billed(stack);
  const socket = await connect(team.key);
  return {
    ...team,
    socket,
    /** Everything in the ledger, once nothing is under way. */
    async books() {
      await stack.idle();
      const events = await readEvents(stack, team.teamId);
      expect((await readBalance(stack, team.teamId)).held_usd).toBe('0.00');
      return { events, billed: billed(stack) - before };
    },
  };
}

const outcomes = (events: Awaited<ReturnType<typeof readEvents>>) =>
  events.map(({ operation, outcome, reason }) => [operation, outcome, reason]);

describe('a session', () => {
  it("of openai-node's ResponsesWS goes on from what is not stored, and is in the ledger as it is billed", async () => {
    const { key, teamId } = await stack.team({ grantUsd: '5.00' });
    const before = billed(stack);
    const ws = new ResponsesWS(new OpenAI({ apiKey: key, baseURL: `${stack.app.url}/v1` }));
    const errors: string[] = [];
    ws.on('error', ({ message }) => errors.push(message));
    let previous_response_id: string | null = null;
    for (let turn = 0; turn < 3; turn++) {
      const completed = new Promise<string>((resolve) =>
        ws.once('response.completed', ({ response }) => resolve(response.id)),
      );
      ws.send(create({ store: false, previous_response_id }));
      previous_response_id = await completed;
    }
    ws.close();
    await stack.idle();
    const events = await readEvents(stack, teamId);
    expect(errors).toEqual([]);
    expect(outcomes(events)).toEqual(Array(3).fill(['responses.connect', 'settled', null]));
    expect(sumOf(events)).toBe(billed(stack) - before);
    for (const { cost_usd, hold_usd } of events) expect(usd(cost_usd)).toBeLessThanOrEqual(usd(hold_usd));
    // What comes before weighs in what comes after.
    expect(events.map(({ input_tokens }) => input_tokens)).toEqual(
      events.map(({ input_tokens }) => input_tokens).toSorted((a, b) => (a ?? 0) - (b ?? 0)),
    );
  });

  it('may begin with a response that writes nothing, and goes on from it', async () => {
    const { socket, books } = await session();
    socket.send(create({ generate: false, input: [], store: false }));
    const { response } = await socket.next('response.completed');
    const { id } = response as { id: string };
    socket.send(create({ store: false, previous_response_id: id }));
    await socket.next('response.completed');
    socket.send(create({ input: [] }));
    expect(await errorOf(socket)).toMatchObject({ code: 'invalid_request', param: 'input' });
    socket.close();
    const { events, billed: sum } = await books();
    expect(events.map(({ output_tokens }) => (output_tokens ?? 0) > 0)).toEqual([false, true]);
    expect(sumOf(events)).toBe(sum);
  });

  it('runs what names no lane one after another, and lanes side by side with their names on every event', async () => {
    const { socket, books } = await session();
    socket.send(create({}, 'output=20,chunk_ms=10'));
    socket.send(create());
    for (const stream_id of ['a', 'b']) socket.send(create({ stream_id }));
    await vi.waitFor(() => {
      expect(socket.events.filter(({ type }) => type === 'response.completed')).toHaveLength(4);
    }, PATIENCE);
    const laneEvents = (lane: string) => socket.events.filter(({ stream_id }) => stream_id === lane);
    for (const lane of ['a', 'b']) {
      const types = laneEvents(lane).map(({ type }) => type);
      expect([types[0], types.at(-1)]).toEqual(['response.created', 'response.completed']);
    }
    const ids = socket.events
      .filter((event) => event.stream_id === undefined && event.response !== undefined)
      .map(({ response }) => (response as { id: string }).id);
    expect(ids).toEqual([ids[0], ids[0], ids[0], ids.at(-1), ids.at(-1), ids.at(-1)]);
    socket.close();
    const { events, billed: sum } = await books();
    expect(events).toHaveLength(4);
    expect(sumOf(events)).toBe(sum);
  });

  it('stays open after a denial, which is an error event with its status, and a call that fits goes on', async () => {
    const { socket, books } = await session({ limitUsd: '0.01' });
    socket.send(create({ max_output_tokens: 100_000, stream_id: 'lane' }));
    expect(await errorOf(socket)).toMatchObject({ status: 429, code: 'insufficient_quota' });
    expect(socket.events[0]).toMatchObject({ stream_id: 'lane', headers: { 'x-should-retry': 'false' } });
    socket.send(create());
    await socket.next('response.completed');
    socket.close();
    const { events, billed: sum } = await books();
    expect(events).toHaveLength(1);
    expect(sumOf(events)).toBe(sum);
  });

  it('passes on what the upstream refuses as it came, at no cost', async () => {
    const { socket, books } = await session();
    socket.send(create({}, 'fault=rate_limit'));
    expect(await errorOf(socket)).toMatchObject({ status: 429, code: 'rate_limit_exceeded' });
    socket.send(create());
    await socket.next('response.completed');
    socket.close();
    const { events, billed: sum } = await books();
    expect(outcomes(events).map(([, outcome]) => outcome)).toEqual(['voided', 'settled']);
    expect(sumOf(events)).toBe(sum);
  });

  it('whose client leaves in mid-response is read to its end, and costs what is billed', async () => {
    const { socket, books } = await session();
    socket.send(create({}, 'output=20,chunk_ms=10'));
    await socket.next('response.output_text.delta');
    socket.close();
    const { events, billed: sum } = await books();
    expect(outcomes(events)).toEqual([['responses.connect', 'settled', 'client_gone']]);
    expect(sumOf(events)).toBe(sum);
  });

  it.each([
    ['cut_mid_stream', 'upstream_interrupted'],
    ['hang', 'upstream_timeout'],
  ])(
    'whose upstream fails (%s) gets an error event and its end, and stays charged at its hold',
    async (fault, code) => {
      const { socket, key, books } = await session();
      socket.send(create({}, `output=20,fault=${fault}`));
      expect(await errorOf(socket)).toMatchObject({ code });
      await socket.closed();
      const next = await connect(key);
      next.send(create());
      await next.next('response.completed');
      next.close();
      const { events } = await books();
      expect(outcomes(events)).toEqual([
        ['responses.connect', 'unknown', code],
        ['responses.connect', 'settled', null],
      ]);
      expect(events[0]!.cost_usd).toBe(events[0]!.hold_usd);
    },
  );

  it('holds no more calls at once than a concurrency limit allows', async () => {
    const { key, teamId } = await stack.team({ grantUsd: '5.00' });
    await stack.admin('POST', '/limits', {
      subject: { type: 'team', id: teamId },
      meter: 'concurrency',
      amount: '1',
      window: { type: 'lifetime' },
      enforcement: 'strict',
    });
    const socket = await connect(key);
    for (const stream_id of ['a', 'b']) socket.send(create({ stream_id }, 'output=20,chunk_ms=10'));
    expect(await errorOf(socket)).toMatchObject({ status: 429, code: 'rate_limit_exceeded' });
    await socket.next('response.completed');
    socket.send(create());
    await socket.next('response.completed');
    socket.close();
    await stack.idle();
    expect(await readEvents(stack, teamId)).toHaveLength(2);
  });
});

describe('a message', () => {
  it.each([
    ['that is no JSON', '{"type":"response.create",', 'invalid_json', null],
    ['of another type', { type: 'response.cancel' }, 'invalid_request', 'type'],
    ['without a type', { model: MODEL, input: 'x' }, 'invalid_request', 'type'],
    ['for the background', create({ background: true }), 'invalid_request', 'background'],
    ['that names no model', { type: 'response.create', input: 'x' }, 'invalid_request', 'model'],
    ['with too many values', create({ input: Array(1100).fill({}) }), 'body_too_complex', null],
    ['of a model without a price', create({ model: 'gpt-unheard-of' }), 'unknown_price', 'model'],
    [
      'that names a response of nobody',
      create({ previous_response_id: 'resp_unheard_of' }),
      'not_found',
      null,
    ],
  ])('%s is an error event, and nothing is sent on', async (_, message, code, param) => {
    const { socket, books } = await session();
    const before = stack.simulator.invoice().lines.length;
    socket.send(message);
    const error = await errorOf(socket);
    expect(error.code).toBe(code);
    if (param !== null) expect(error.param).toBe(param);
    socket.send(create());
    await socket.next('response.completed');
    socket.close();
    expect((await books()).events).toHaveLength(1);
    expect(stack.simulator.invoice().lines).toHaveLength(before + 1);
  });

  it('of more bytes than a body may have ends the session, and so does a binary one', async () => {
    const { socket, key } = await session();
    socket.send(create({ input: 'x'.repeat(MAX_BODY_BYTES) }));
    await socket.closed();
    expect(socket.closedWith).toBe(1009);
    const binary = new WebSocket(`${stack.app.url.replace('http', 'ws')}/v1/responses`, {
      headers: { authorization: `Bearer ${key}` },
    });
    await once(binary, 'open');
    binary.send(Buffer.from('{}'));
    expect((await once(binary, 'close'))[0]).toBe(1003);
  });

  it('that is large is read like any body', async () => {
    const { socket, books } = await session({ grantUsd: '50.00' });
    socket.send(create({ input: 'word '.repeat(MAX_BODY_BYTES / 6) }));
    await socket.next('response.completed');
    socket.close();
    const { events, billed: sum } = await books();
    expect(sumOf(events)).toBe(sum);
  });
});

describe('a handshake', () => {
  const refusal = async (headers: Record<string, string>, path = '/v1/responses') => {
    const socket = new WebSocket(`${stack.app.url.replace('http', 'ws')}${path}`, { headers });
    const [request, response] = await once(socket, 'unexpected-response');
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk);
    request.destroy();
    return { status: response.statusCode, ...JSON.parse(Buffer.concat(chunks).toString()).error };
  };

  it('without a key that may be used is refused', async () => {
    expect(await refusal({})).toMatchObject({ status: 401, code: 'invalid_api_key' });
    expect(await refusal({ authorization: 'Bearer tg-no' })).toMatchObject({ status: 401 });
  });

  it('beyond the sessions that one key may have is refused until one ends', async () => {
    const { key } = await stack.team({ unlimited: true });
    const sockets = [await connect(key), await connect(key), await connect(key)];
    const headers = { authorization: `Bearer ${key}` };
    expect(await refusal(headers)).toMatchObject({ status: 429, code: 'rate_limit_exceeded' });
    sockets[0]!.close();
    await sockets[0]!.closed();
    await vi.waitFor(async () => sockets.push(await connect(key)), PATIENCE);
    for (const socket of sockets) socket.close();
  });

  it('at an operation that has no session is refused', async () => {
    const { key } = await stack.team({ unlimited: true });
    const headers = { authorization: `Bearer ${key}` };
    expect(await refusal(headers, '/v1/embeddings')).toMatchObject({
      status: 426,
      code: 'upgrade_required',
    });
  });
});

it('ends the sessions of a key that is revoked', async () => {
  const { socket, keyId } = await session();
  socket.send(create());
  await socket.next('response.completed');
  await stack.admin('DELETE', `/keys/${keyId}`);
  await socket.closed();
  expect(socket.closedWith).toBe(1008);
});

/** `/v1/realtime/translations`: blocks of audio, held before they are sent on, as openai-node speaks it over `wss:` and without it. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import OpenAI from 'openai';
import { OpenAIRealtimeTranslationWS } from 'openai/realtime/translations/ws';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { WebSocketServer } from 'ws';
import { usd } from '../../src/domain/money.ts';
import { speech } from '../simulator/audio.ts';
import { openSocket, type TestSocket } from '../simulator/socket.ts';
import { makeCertificate } from '../support/certificate.ts';
import { temporaryFolder } from '../support/folder.ts';
import { billed, readBalance, readEvents, sumOf } from './books.ts';
import { type Stack, startStack } from './stack.ts';

const MODEL = 'gpt-realtime-translate';
const APPEND = 'session.input_audio_buffer.append';
const trustedBefore = getCACertificates('default');

let stack: Stack;
beforeAll(async () => {
  const folder = await temporaryFolder();
  const [TOLLGATE_TLS_CERT, TOLLGATE_TLS_KEY] = [join(folder, 'tls.crt'), join(folder, 'tls.key')];
  makeCertificate('localhost', TOLLGATE_TLS_CERT, TOLLGATE_TLS_KEY);
  setDefaultCACertificates([...trustedBefore, readFileSync(TOLLGATE_TLS_CERT, 'utf8')]);
  stack = await startStack({
    env: { HOST: 'localhost', TOLLGATE_TLS_CERT, TOLLGATE_TLS_KEY },
  });
});
afterAll(async () => {
  await stack?.stop();
  setDefaultCACertificates(trustedBefore);
});

async function open(grantUsd: string, headers: Record<string, string> = {}, model = MODEL) {
  const { key, keyId, teamId } = await stack.team({ grantUsd });
  const url = `${stack.app.url}/v1/realtime/translations?model=${model}`;
  const socket = await openSocket(url, { authorization: `Bearer ${key}`, ...headers });
  return { keyId, teamId, socket };
}

const codeOf = async (socket: TestSocket) => ((await socket.next('error')).error as { code: string }).code;

/** What a session left in the ledger: seconds and outcome of each block that was charged. */
async function blocksOf(teamId: string) {
  await stack.idle();
  const events = await readEvents(stack, teamId);
  const charged = events.filter(({ outcome }) => outcome !== 'voided');
  expect(charged.every(({ cost_usd, hold_usd }) => usd(cost_usd) <= usd(hold_usd))).toBe(true);
  expect((await readBalance(stack, teamId)).held_usd).toMatch(/^0(\.0+)?$/);
  return {
    cost: sumOf(charged),
    blocks: charged.map(({ operation, outcome, provenance, quantities }) => [
      operation,
      outcome,
      provenance,
      quantities?.audio_seconds,
    ]),
  };
}

it('openai-node: a minute is charged in full, the rest by the second, as billed', async () => {
  const before = billed(stack);
  const { key, teamId } = await stack.team({ grantUsd: '1.00' });
  const client = new OpenAI({ apiKey: key, baseURL: `${stack.app.url}/v1` });
  const session = await OpenAIRealtimeTranslationWS.create(client, { model: MODEL });
  expect(session.url.protocol).toBe('wss:');
  const types = new Set<string>();
  const updated = new Promise((resolve) =>
    session.on('session.updated', ({ session: said }) => resolve(said)),
  );
  session.on('event', ({ type }) => types.add(type));
  await once(session.socket.platformSocket, 'open');
  session.send({ type: 'session.update', session: { audio: { output: { language: 'es' } } } });
  expect(await updated).toMatchObject({ model: MODEL, audio: { output: { language: 'es' } } });
  // One piece crosses the minute.
  for (const ms of [25_000, 34_500, 3_200]) session.send({ type: APPEND, audio: speech(ms) });
  await session.finish({ timeoutMs: 30_000 });
  expect([...types].filter((type) => type !== 'session.updated')).toEqual([
    'session.created',
    'session.output_audio.delta',
    'session.output_transcript.delta',
    'session.closed',
  ]);
  const { blocks, cost } = await blocksOf(teamId);
  expect(blocks).toEqual([
    ['realtime.translations', 'settled', 'estimated', 60],
    ['realtime.translations', 'settled', 'estimated', 3],
  ]);
  expect(cost).toBe(billed(stack) - before);
});

it('the session ends with an error when its next minute is not paid for, after what was paid for is translated', async () => {
  const before = billed(stack);
  const { teamId, socket } = await open('0.05');
  for (let second = 0; second < 80; second += 20) socket.send({ type: APPEND, audio: speech(20_000) });
  expect(await codeOf(socket)).toBe('insufficient_quota');
  await socket.closed();
  expect(socket.closedWith).toBe(1008);
  expect(socket.events.at(-1)?.type).toBe('session.closed');
  const { blocks, cost } = await blocksOf(teamId);
  expect(blocks).toEqual([['realtime.translations', 'settled', 'estimated', 60]]);
  expect(cost).toBe(billed(stack) - before);
});

it('a session that may not be opened is told why, and ends', async () => {
  const { teamId, socket } = await open('1.00', {}, 'nobody');
  const { error } = await socket.next('error');
  expect(error).toMatchObject({ code: 'unknown_price' });
  await socket.closed();
  expect(socket.closedWith).toBe(1008);
  expect(await readEvents(stack, teamId)).toEqual([]);
});

it('a piece that is longer than a minute is held whole', async () => {
  const before = billed(stack);
  const { teamId, socket } = await open('1.00');
  socket.send({ type: APPEND, audio: speech(500) });
  socket.send({ type: APPEND, audio: speech(70_000) });
  socket.send({ type: 'session.close' });
  socket.send({ type: APPEND, audio: speech(500) });
  expect(await codeOf(socket)).toBe('invalid_request');
  await socket.closed();
  const { blocks, cost } = await blocksOf(teamId);
  expect(blocks.map(([, , , seconds]) => seconds)).toEqual([60, 11]);
  expect(cost).toBe(billed(stack) - before);
});

it('a client that leaves, or whose key is revoked, is charged what it sent', async () => {
  const before = billed(stack);
  const left = await open('1.00');
  left.socket.send({ type: APPEND, audio: speech(1_500) });
  await left.socket.next('session.output_audio.delta');
  left.socket.close();
  const ended = await open('1.00');
  ended.socket.send({ type: APPEND, audio: speech(3_500) });
  await ended.socket.next('session.output_audio.delta');
  await stack.admin('DELETE', `/keys/${ended.keyId}`);
  await ended.socket.closed();
  expect(ended.socket.closedWith).toBe(1008);
  const [one, other] = [await blocksOf(left.teamId), await blocksOf(ended.teamId)];
  expect([...one.blocks, ...other.blocks].map(([, , , seconds]) => seconds)).toEqual([2, 4]);
  expect(one.cost + other.cost).toBe(billed(stack) - before);
});

it('a connection that the upstream breaks off leaves its block at its hold', async () => {
  const { teamId, socket } = await open('1.00', { 'x-simulator': 'fault=cut_mid_stream' });
  socket.send({ type: APPEND, audio: speech(1_500) });
  await socket.closed();
  expect(socket.closedWith).toBe(1011);
  const { blocks, cost } = await blocksOf(teamId);
  expect(blocks).toEqual([['realtime.translations', 'unknown', 'unknown', undefined]]);
  expect(cost).toBe(usd('0.034'));
});

it('what could cost more than the audio is refused, and the session goes on', async () => {
  const { teamId, socket } = await open('1.00');
  const input = { transcription: { model: 'gpt-realtime-whisper' } };
  const refused: [object, string][] = [
    [{ type: 'session.update', session: { audio: { input } } }, 'unbounded_request'],
    [{ type: 'session.update', session: { instructions: 'Sing.' } }, 'unbounded_request'],
    [{ type: 'session.update', session: { audio: { output: { voice: 'alloy' } } } }, 'unbounded_request'],
    [{ type: 'response.create' }, 'invalid_request'],
    [{ type: APPEND, audio: 5 }, 'invalid_request'],
  ];
  for (const [event, code] of refused) {
    socket.send({ event_id: 'mine', ...event });
    const { error } = await socket.next('error');
    expect(error).toMatchObject({ code, event_id: 'mine' });
  }
  socket.send({ type: 'session.close' });
  await socket.next('session.closed');
  expect((await blocksOf(teamId)).blocks).toEqual([]);
});

it('no audio is sent before a transcript is turned off that the upstream would write unasked, or to a model without a price by the second', async () => {
  const said: string[] = [];
  const server = createServer();
  new WebSocketServer({ server }).on('connection', (upstream) => {
    const session = { model: MODEL, audio: { input: { transcription: { model: 'gpt-realtime-whisper' } } } };
    const send = (event: object) => upstream.send(JSON.stringify(event));
    upstream.on('message', (data) => {
      const event = JSON.parse(String(data));
      said.push(event.type);
      if (event.type === 'session.update') send({ type: 'session.updated', session: event.session });
      else send({ type: 'session.closed' });
    });
    send({ type: 'session.created', session });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  const own = await startStack({ env: { OPENAI_BASE_URL: url } });
  onTestFinished(async () => {
    await own.stop();
    server.closeAllConnections();
    server.close();
  });
  const { key } = await own.team({ grantUsd: '1.00' });
  const socket = await openSocket(`${own.app.url}/v1/realtime/translations?model=${MODEL}`, {
    authorization: `Bearer ${key}`,
  });
  socket.send({ type: APPEND, audio: speech(500) });
  await socket.next('session.closed');
  expect(said).toEqual(['session.update', APPEND]);
  expect(socket.events).toMatchObject([
    { type: 'session.created', session: { audio: { input: { transcription: null } } } },
    { type: 'session.closed' },
  ]);
  const priced = await openSocket(`${own.app.url}/v1/realtime/translations?model=gpt-realtime`, {
    authorization: `Bearer ${key}`,
  });
  priced.send({ type: APPEND, audio: speech(500) });
  expect(await codeOf(priced)).toBe('unknown_price');
  priced.close();
  await priced.closed();
  expect(said).toEqual(['session.update', APPEND, 'session.update']);
});

/** `/v1/realtime` as openai-node speaks it, which asks for `wss:`: words, speech, turns, transcriptions, cancelling, and no money. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import OpenAI from 'openai';
import { OpenAIRealtimeWS } from 'openai/realtime/ws';
import type { RealtimeServerEvent } from 'openai/resources/realtime/realtime';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { silence, speech } from '../simulator/audio.ts';
import { makeCertificate } from '../support/certificate.ts';
import { temporaryFolder } from '../support/folder.ts';
import { billed, readEvents, sumOf } from './books.ts';
import { type Stack, startStack } from './stack.ts';

const trustedBefore = getCACertificates('default');

let stack: Stack;
beforeAll(async () => {
  const folder = await temporaryFolder();
  const [TOLLGATE_TLS_CERT, TOLLGATE_TLS_KEY] = [join(folder, 'tls.crt'), join(folder, 'tls.key')];
  makeCertificate('localhost', TOLLGATE_TLS_CERT, TOLLGATE_TLS_KEY);
  setDefaultCACertificates([...trustedBefore, readFileSync(TOLLGATE_TLS_CERT, 'utf8')]);
  stack = await startStack({ env: { HOST: 'localhost', TOLLGATE_TLS_CERT, TOLLGATE_TLS_KEY } });
});
afterAll(async () => {
  await stack.stop();
  setDefaultCACertificates(trustedBefore);
});

const PATIENCE = { timeout: 30_000, interval: 5 };

async function open(grantUsd: string, headers: Record<string, string> = {}) {
  const { key, teamId } = await stack.team({ grantUsd });
  const client = new OpenAI({ apiKey: key, baseURL: `${stack.app.url}/v1` });
  const options = { headers };
  const realtime = new OpenAIRealtimeWS({ model: 'gpt-realtime', options }, client);
  const events: RealtimeServerEvent[] = [];
  const errors: string[] = [];
  realtime.on('event', (event) => events.push(event));
  realtime.on('error', ({ error }) => errors.push(String(error?.code)));
  await once(realtime.socket, 'open');
  /** Resolves when so many events of a type have come. */
  const comes = (type: RealtimeServerEvent['type'], count = 1) =>
    vi.waitFor(() => {
      expect(events.filter((event) => event.type === type).length).toBeGreaterThanOrEqual(count);
    }, PATIENCE);
  return { realtime, teamId, events, errors, comes };
}

it('words, speech, turns and their transcriptions are in the ledger as they are billed', async () => {
  const before = billed(stack);
  const { realtime, teamId, events, errors, comes } = await open('20.00');
  expect(realtime.url.protocol).toBe('wss:');
  const content = [{ type: 'input_text' as const, text: 'Hello!' }];
  realtime.send({ type: 'conversation.item.create', item: { type: 'message', role: 'user', content } });
  realtime.send({ type: 'response.create', response: { output_modalities: ['text'] } });
  await comes('response.done');
  const transcription = { model: 'gpt-4o-transcribe' };
  realtime.send({
    type: 'session.update',
    session: { type: 'realtime', audio: { input: { transcription } } },
  });
  for (const audio of [speech(500), silence(600)])
    realtime.send({ type: 'input_audio_buffer.append', audio });
  await comes('response.done', 2);
  await comes('conversation.item.input_audio_transcription.completed');
  expect(events.some(({ type }) => type === 'response.output_audio.delta')).toBe(true);
  realtime.close();
  await once(realtime.socket, 'close');
  await stack.idle();
  expect(errors).toEqual([]);
  const charged = (await readEvents(stack, teamId)).filter(({ outcome }) => outcome !== 'voided');
  expect(charged.map(({ operation, outcome, provenance }) => [operation, outcome, provenance])).toEqual([
    ['realtime.responses', 'settled', 'reported'],
    ['realtime.transcriptions', 'settled', 'reported'],
    ['realtime.responses', 'settled', 'reported'],
  ]);
  expect(charged.every(({ cost_usd, hold_usd }) => usd(cost_usd) <= usd(hold_usd))).toBe(true);
  expect(sumOf(charged)).toBe(billed(stack) - before);
});

it('a response is cancelled, and a session whose money ends in the middle ends with an error', async () => {
  const before = billed(stack);
  const { realtime, teamId, events, errors, comes } = await open('0.20', {
    'x-simulator': 'mode=worst,chunks=100,chunk_ms=2',
  });
  realtime.send({ type: 'response.create', response: { max_output_tokens: 1000 } });
  await comes('response.output_audio.delta', 2);
  realtime.send({ type: 'response.cancel' });
  await comes('response.done');
  const closed = once(realtime.socket, 'close');
  const dones = () => events.filter(({ type }) => type === 'response.done');
  for (let turn = 2; turn < 20 && errors.length === 0; turn++) {
    realtime.send({ type: 'response.create', response: { max_output_tokens: 1000 } });
    await vi.waitFor(() => expect(dones().length >= turn || errors.length > 0).toBe(true), PATIENCE);
  }
  const [code] = await closed;
  expect([errors, code]).toEqual([['insufficient_quota'], 1008]);
  await stack.idle();
  const charged = sumOf(await readEvents(stack, teamId));
  expect(charged).toBe(billed(stack) - before);
  expect(charged).toBeLessThanOrEqual(usd('0.20'));
});

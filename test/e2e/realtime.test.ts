/** `/v1/realtime`: a session is a chain of calls, each held before it begins, and in the ledger as it was billed. */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { silence, speech } from '../simulator/audio.ts';
import { openSocket, type TestSocket } from '../simulator/socket.ts';
import { billed, readBalance, readEvents, sumOf } from './books.ts';
import { type Stack, startStack, type TeamOptions } from './stack.ts';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ env: { TOLLGATE_UPSTREAM_TIMEOUT_MS: '5000' } });
});
afterAll(() => stack.stop());

const MODEL = 'gpt-realtime';

/** A team with a session, and what the upstream billed before it. */
async function session(order = '', query = `model=${MODEL}`, options: TeamOptions = { grantUsd: '20.00' }) {
  const team = await stack.team(options);
  const before = billed(stack);
  const lines = stack.simulator.invoice().line_count;
  const socket = await openSocket(`${stack.app.url}/v1/realtime?${query}`, {
    authorization: `Bearer ${team.key}`,
    ...(order === '' ? {} : { 'x-simulator': order }),
  });
  return {
    ...team,
    socket,
    /** Everything in the ledger, once nothing is under way. */
    async books() {
      socket.close();
      await socket.closed();
      await stack.idle();
      const events = await readEvents(stack, team.teamId);
      expect((await readBalance(stack, team.teamId)).held_usd).toBe('0.00');
      const isHeld = events.every(({ cost_usd, hold_usd }) => usd(cost_usd) <= usd(hold_usd));
      const operations = stack.simulator.invoice().lines.slice(lines - stack.simulator.invoice().line_count);
      return { events, billed: billed(stack) - before, isHeld, operations };
    },
  };
}

function say(socket: TestSocket, text: string): void {
  const item = { type: 'message', role: 'user', content: [{ type: 'input_text', text }] };
  socket.send({ type: 'conversation.item.create', item });
}

const respond = async (socket: TestSocket, response: object = {}) => {
  socket.send({ type: 'response.create', response });
  return (await socket.next('response.done')).response as { status: string; usage: object };
};

const configure = async (socket: TestSocket, session: object) => {
  socket.send({ type: 'session.update', session: { type: 'realtime', ...session } });
  return (await socket.next('session.updated')).session as Record<string, unknown>;
};

const settled = ({ outcome, provenance }: { outcome: string; provenance: string }) =>
  outcome === 'settled' && provenance === 'reported';

describe.each(['mode=normal', 'mode=worst'])('a session in the %s', (mode) => {
  it('of words and speech is in the ledger as it is billed, each response held before', async () => {
    const { socket, books } = await session(mode);
    await socket.next('session.created');
    say(socket, 'Hello, who are you?');
    await respond(socket);
    say(socket, 'And what can you do?');
    await respond(socket, { output_modalities: ['text'], max_output_tokens: 200 });
    await configure(socket, { audio: { input: { turn_detection: null } }, max_output_tokens: 300 });
    socket.send({ type: 'input_audio_buffer.append', audio: speech(900) });
    socket.send({ type: 'input_audio_buffer.commit' });
    await respond(socket);
    const { events, billed: invoice, isHeld } = await books();
    expect(events.map(({ operation, model }) => [operation, model])).toEqual(
      Array.from({ length: 3 }, () => ['realtime.responses', MODEL]),
    );
    expect(events.every(settled)).toBe(true);
    expect(sumOf(events)).toBe(invoice);
    expect(isHeld).toBe(true);
  });

  it('hears turns: each is transcribed and responded to, and each of both is a line of its own', async () => {
    const { socket, books } = await session(mode);
    const created = await socket.next('session.created');
    expect(created).toMatchObject({
      session: { audio: { input: { turn_detection: { create_response: true } } } },
    });
    const updated = await configure(socket, {
      audio: { input: { transcription: { model: 'gpt-4o-mini-transcribe' } } },
      max_output_tokens: 100,
    });
    expect(updated).toMatchObject({ audio: { input: { turn_detection: { create_response: true } } } });
    for (let turn = 0; turn < 2; turn++) {
      for (const audio of [speech(400), silence(600)])
        socket.send({ type: 'input_audio_buffer.append', audio });
      await socket.next('response.done');
    }
    const { events, billed: invoice, isHeld } = await books();
    const charged = events.filter(({ outcome }) => outcome !== 'voided');
    expect(charged.map(({ operation }) => operation).toSorted()).toEqual([
      'realtime.responses',
      'realtime.responses',
      'realtime.transcriptions',
      'realtime.transcriptions',
    ]);
    expect(charged.every(settled)).toBe(true);
    expect(sumOf(events)).toBe(invoice);
    expect(isHeld).toBe(true);
  });
});

const errorOf = async (socket: TestSocket) => {
  const { error } = await socket.next('error');
  const { code = null, param = null, event_id = null } = error as Record<string, string | null>;
  return { code, param, event_id };
};

const outcomes = (events: Awaited<ReturnType<typeof readEvents>>) =>
  events.map(({ operation, outcome, reason }) => [operation, outcome, reason]);

describe('a response', () => {
  it('that is cancelled is charged what was written', async () => {
    const { socket, books } = await session('chunks=200,chunk_ms=5,output=2000');
    say(socket, 'count');
    socket.send({ type: 'response.create' });
    await socket.next('response.output_audio.delta');
    socket.send({ type: 'response.cancel' });
    const { response } = await socket.next('response.done');
    expect(response).toMatchObject({ status: 'cancelled' });
    const { events, billed: invoice } = await books();
    expect(events.map(settled)).toEqual([true]);
    expect(sumOf(events)).toBe(invoice);
  });

  it('that the upstream does not take costs nothing, and its error names the event of the client', async () => {
    const { socket, books } = await session('chunks=50,chunk_ms=5');
    socket.send({ type: 'response.create' });
    await socket.next('response.output_audio.delta');
    socket.send({ type: 'response.create', event_id: 'second' });
    expect(await errorOf(socket)).toMatchObject({
      code: 'conversation_already_has_active_response',
      event_id: 'second',
    });
    await socket.next('response.done');
    const { events, billed: invoice } = await books();
    expect(
      outcomes(events)
        .map(([, outcome]) => outcome)
        .toSorted(),
    ).toEqual(['settled', 'voided']);
    expect(sumOf(events)).toBe(invoice);
  });

  it('that fails before a word costs nothing', async () => {
    const failing = await session('fault=rate_limit');
    expect((await respond(failing.socket)).status).toBe('failed');
    const failed = await failing.books();
    expect(outcomes(failed.events)).toMatchObject([['realtime.responses', 'voided', expect.anything()]]);
  });

  it('goes on without its client, and is charged what it cost', async () => {
    const { socket, books } = await session('chunks=40,chunk_ms=5');
    socket.send({ type: 'response.create' });
    await socket.next('response.output_audio.delta');
    const { events, billed: invoice } = await books();
    expect(events.map(settled)).toEqual([true]);
    expect(sumOf(events)).toBe(invoice);
  });

  it('is written an output limit where money is short, and the session ends where there is none', async () => {
    const { socket, books } = await session('mode=worst', undefined, { grantUsd: '1.00' });
    say(socket, 'hello');
    const ends = () => socket.events.filter(({ type }) => type === 'response.done' || type === 'error');
    for (let turn = 1; turn < 50 && ends().at(-1)?.type !== 'error'; turn++) {
      socket.send({ type: 'response.create' });
      await vi.waitFor(() => expect(ends()).toHaveLength(turn), { timeout: 30_000, interval: 5 });
    }
    const denied = ends().at(-1)?.error;
    expect(denied).toMatchObject({ code: 'insufficient_quota' });
    await socket.closed();
    expect(socket.closedWith).toBe(1008);
    const { events, billed: invoice, isHeld } = await books();
    expect(events.length).toBeGreaterThan(1);
    expect(sumOf(events)).toBe(invoice);
    expect(sumOf(events)).toBeLessThanOrEqual(usd('1.00'));
    expect(isHeld).toBe(true);
  });
});

describe('a turn', () => {
  it('that cannot be paid for is not responded to, and ends the session', async () => {
    const { socket, books } = await session('', undefined, { grantUsd: '0.0001' });
    await socket.next('session.created');
    for (const audio of [speech(400), silence(600)])
      socket.send({ type: 'input_audio_buffer.append', audio });
    expect(await errorOf(socket)).toMatchObject({ code: 'insufficient_quota' });
    await socket.closed();
    const { events, billed: invoice } = await books();
    expect(events).toEqual([]);
    expect(invoice).toBe(0n);
  });

  it('waits for no limit, whatever the limit does with other calls', async () => {
    const { teamId, key } = await stack.team();
    await stack.admin('POST', '/limits', {
      ...{ subject: { type: 'team', id: teamId }, meter: 'cost_usd', amount: '0.0001' },
      ...{ window: { type: 'lifetime' }, on_exhausted: { action: 'wait', max_seconds: 300 } },
    });
    const socket = await openSocket(`${stack.app.url}/v1/realtime?model=${MODEL}`, {
      authorization: `Bearer ${key}`,
    });
    await socket.next('session.created');
    socket.send({ type: 'response.create' });
    expect(await errorOf(socket)).toMatchObject({ code: 'insufficient_quota' });
    await socket.closed();
  });

  it('of several in one piece is transcribed all the same, each held, if late', async () => {
    const { socket, books } = await session();
    const turn_detection = { type: 'server_vad', create_response: false };
    await configure(socket, { audio: { input: { turn_detection, transcription: { model: 'whisper-1' } } } });
    const pieces = [speech(300), silence(600), speech(300), silence(600), speech(300), silence(600)];
    const audio = Buffer.concat(pieces.map((piece) => Buffer.from(piece, 'base64'))).toString('base64');
    socket.send({ type: 'input_audio_buffer.append', audio });
    for (let turn = 0; turn < 3; turn++)
      await socket.next('conversation.item.input_audio_transcription.completed');
    await respond(socket, { output_modalities: ['text'], max_output_tokens: 20 });
    const { events, billed: invoice, isHeld } = await books();
    const charged = events.filter(({ outcome }) => outcome !== 'voided');
    expect(charged).toHaveLength(4);
    expect(charged.every(settled)).toBe(true);
    expect(sumOf(events)).toBe(invoice);
    expect(isHeld).toBe(true);
  });

  it('that the client does not want responded to is not', async () => {
    const { socket, books } = await session();
    const turn_detection = { type: 'server_vad', create_response: false };
    await configure(socket, { audio: { input: { turn_detection } } });
    for (const audio of [speech(400), silence(600)])
      socket.send({ type: 'input_audio_buffer.append', audio });
    await socket.next('conversation.item.done');
    await respond(socket, { output_modalities: ['text'] });
    expect((await books()).events).toHaveLength(1);
  });

  it('transcribes nothing when only silence was sent: what was held is free again', async () => {
    const { socket, books } = await session();
    await configure(socket, { audio: { input: { transcription: { model: 'whisper-1' } } } });
    socket.send({ type: 'input_audio_buffer.append', audio: silence(1000) });
    const { events, billed: invoice } = await books();
    expect(events.every(({ outcome, cost_usd }) => outcome === 'voided' && usd(cost_usd) === 0n)).toBe(true);
    expect(invoice).toBe(0n);
  });
});

describe('what cannot be bounded, or is not known', () => {
  it('is refused with the name of the field, and the session goes on', async () => {
    const { socket, books } = await session();
    const update = (fields: object) => ({ type: 'session.update', session: { type: 'realtime', ...fields } });
    const turn_detection = { type: 'server_vad', idle_timeout_ms: 5000 };
    const cases: [event: object, param: string][] = [
      [update({ tools: [{ type: 'mcp', server_url: 'x' }] }), 'session.tools[0]'],
      [update({ prompt: { id: 'pmpt_1' } }), 'session.prompt'],
      [update({ fancy: 1 }), 'session.fancy'],
      [
        update({ audio: { input: { turn_detection } } }),
        'session.audio.input.turn_detection.idle_timeout_ms',
      ],
      [{ type: 'response.create', response: { tools: [{ type: 'mcp' }] } }, 'response.tools[0]'],
      [{ type: 'conversation.item.create', item: { type: 'mcp_list_tools' } }, 'item.type'],
      [{ type: 'transcription_session.update', session: {} }, 'type'],
    ];
    for (const [event, param] of cases) {
      socket.send({ ...event, event_id: param });
      expect(await errorOf(socket)).toMatchObject({ param, event_id: param });
    }
    await respond(socket, { output_modalities: ['text'], max_output_tokens: 20 });
    expect((await books()).events).toHaveLength(1);
  });

  it.each([
    ['model=gpt-4o-realtime-preview', 'unknown_price'],
    ['call_id=rtc_1', 'unsupported_operation'],
    ['', 'invalid_request'],
  ])('ends a session at its address: %s', async (query, code) => {
    const { socket } = await session('', query);
    expect(await errorOf(socket)).toMatchObject({ code });
    await socket.closed();
  });

  it('includes models that the key may not use, and transcriptions by such', async () => {
    const { teamId } = await stack.team({ grantUsd: '1.00' });
    const { key } = await stack.admin<{ key: string }>('POST', '/keys', {
      team_id: teamId,
      name: 'narrow',
      models: ['gpt-realtime-mini'],
    });
    const open = (model: string) =>
      openSocket(`${stack.app.url}/v1/realtime?model=${model}`, { authorization: `Bearer ${key}` });
    const refused = await open(MODEL);
    expect(await errorOf(refused)).toMatchObject({ code: 'model_not_allowed' });
    const socket = await open('gpt-realtime-mini');
    await configure(socket, {
      audio: { input: { turn_detection: null, transcription: { model: 'whisper-1' } } },
    });
    socket.send({ type: 'input_audio_buffer.append', audio: speech(300) });
    socket.send({ type: 'input_audio_buffer.commit' });
    expect(await errorOf(socket)).toMatchObject({ code: 'model_not_allowed' });
    socket.close();
  });
});

describe('a session without responses', () => {
  it('transcribes, each commit a line', async () => {
    const { socket, books } = await session('', 'intent=transcription');
    const input = { turn_detection: null, transcription: { model: 'gpt-realtime-whisper' } };
    socket.send({ type: 'session.update', session: { type: 'transcription', audio: { input } } });
    await socket.next('session.updated');
    for (const ms of [700, 1200]) {
      socket.send({ type: 'input_audio_buffer.append', audio: speech(ms) });
      socket.send({ type: 'input_audio_buffer.commit' });
      await socket.next('conversation.item.input_audio_transcription.completed');
    }
    socket.send({ type: 'response.create' });
    await socket.next('error');
    const { events, billed: invoice, isHeld } = await books();
    expect(events.map(({ operation, quantities }) => [operation, quantities])).toEqual([
      ['realtime.transcriptions', { audio_seconds: 1 }],
      ['realtime.transcriptions', { audio_seconds: 2 }],
    ]);
    expect(sumOf(events)).toBe(invoice);
    expect(isHeld).toBe(true);
  });
});

// Last: the breaker remembers them.
describe('a response whose outcome is unknown', () => {
  it('in the middle stays at its hold', async () => {
    const cut = await session('fault=cut_mid_stream');
    cut.socket.send({ type: 'response.create' });
    expect(await errorOf(cut.socket)).toMatchObject({ code: 'upstream_interrupted' });
    const { events, billed: invoice } = await cut.books();
    expect(events).toMatchObject([
      { operation: 'realtime.responses', outcome: 'unknown', cost_usd: events[0]?.hold_usd },
    ]);
    expect(sumOf(events)).toBeGreaterThanOrEqual(invoice);
  });

  it('that never begins is given up', async () => {
    const { socket, books } = await session('fault=hang');
    socket.send({ type: 'response.create' });
    await socket.closed();
    const { events } = await books();
    expect(events).toMatchObject([{ outcome: 'unknown', cost_usd: events[0]?.hold_usd }]);
  });
});

import { describe, expect, it } from 'vitest';
import { priceOf } from '../../src/simulator/media-prices.ts';
import { silence, speech } from './audio.ts';
import { useSimulator } from './client.ts';
import { openSocket, type TestSocket } from './socket.ts';

const bench = useSimulator({ profile: { cacheChance: 1 } });
const lines = () => bench.simulator.invoice().lines;

async function open(order = '', query = 'model=gpt-realtime'): Promise<TestSocket> {
  const socket = await openSocket(`${bench.simulator.url}/realtime?${query}`, {
    ...(order === '' ? {} : { 'x-simulator': order }),
  });
  await socket.next('session.created');
  return socket;
}

function say(socket: TestSocket, text: string): void {
  const item = { type: 'message', role: 'user', content: [{ type: 'input_text', text }] };
  socket.send({ type: 'conversation.item.create', item });
}

interface Said {
  input_tokens: number;
  output_tokens: number;
  input_token_details: Record<'text_tokens' | 'audio_tokens' | 'image_tokens' | 'cached_tokens', number> & {
    cached_tokens_details: Record<'text_tokens' | 'audio_tokens' | 'image_tokens', number>;
  };
  output_token_details: Record<'text_tokens' | 'audio_tokens', number>;
}

async function done(socket: TestSocket): Promise<{ status: string; usage: Said; output: object[] }> {
  return (await socket.next('response.done')).response as never;
}

/** What gpt-realtime costs by its page: text $4, $0.40, $16; audio $32, $0.40, $64. */
function billOf({ input_token_details: input, output_token_details: output }: Said): bigint {
  const { text_tokens: text, audio_tokens: audio } = input.cached_tokens_details;
  const per = 1_000_000;
  return (
    priceOf(input.text_tokens - text, '4', per) +
    priceOf(input.audio_tokens - audio, '32', per) +
    priceOf(text + audio, '0.4', per) +
    priceOf(output.text_tokens, '16', per) +
    priceOf(output.audio_tokens, '64', per)
  );
}

describe('a realtime session', () => {
  it('bills each response for the whole conversation, by what it says itself', async () => {
    const before = lines().length;
    const socket = await open();
    say(socket, 'hello there');
    socket.send({ type: 'response.create' });
    const first = await done(socket);
    say(socket, 'and now?');
    socket.send({ type: 'response.create' });
    const second = await done(socket);
    expect(second.usage.input_tokens).toBeGreaterThan(first.usage.input_tokens);
    expect(second.usage.input_token_details.audio_tokens).toBeGreaterThan(0);
    const billed = lines().slice(before);
    expect(billed.map((line) => BigInt(line.cost_pico_usd))).toEqual([
      billOf(first.usage),
      billOf(second.usage),
    ]);
    expect(billed[1]).toMatchObject({ operation: 'realtime', model: 'gpt-realtime', completed: true });
    socket.close();
  });

  it('hears turns, transcribes them, and responds by itself', async () => {
    const before = lines().length;
    const socket = await open();
    socket.send({
      type: 'session.update',
      session: { type: 'realtime', audio: { input: { transcription: { model: 'gpt-4o-transcribe' } } } },
    });
    await socket.next('session.updated');
    for (const audio of [speech(600), silence(700)])
      socket.send({ type: 'input_audio_buffer.append', audio });
    await socket.next('input_audio_buffer.speech_started');
    await socket.next('input_audio_buffer.committed');
    const { usage } = await socket.next('conversation.item.input_audio_transcription.completed');
    expect(usage).toMatchObject({ type: 'tokens' });
    const { usage: said } = await done(socket);
    expect(said.input_token_details.audio_tokens).toBeGreaterThanOrEqual(11);
    expect(
      lines()
        .slice(before)
        .map((line) => line.operation)
        .toSorted(),
    ).toEqual(['realtime', 'realtime.transcription']);
    socket.close();
  });

  it('commits by hand without turns, and truncates, retrieves and deletes items', async () => {
    const socket = await open();
    const input = { turn_detection: null };
    socket.send({ type: 'session.update', session: { type: 'realtime', audio: { input } } });
    socket.send({ type: 'input_audio_buffer.commit', event_id: 'mine' });
    expect(await socket.next('error')).toMatchObject({
      error: { code: 'input_audio_buffer_commit_empty', event_id: 'mine' },
    });
    socket.send({ type: 'input_audio_buffer.append', audio: speech(500) });
    socket.send({ type: 'input_audio_buffer.commit' });
    const { item_id: heard } = await socket.next('input_audio_buffer.committed');
    socket.send({ type: 'response.create' });
    const { output } = await done(socket);
    const { id } = output[0] as { id: string };
    const cut = { type: 'conversation.item.truncate', item_id: id, content_index: 0, audio_end_ms: 50 };
    socket.send(cut);
    await socket.next('conversation.item.truncated');
    socket.send({ type: 'conversation.item.retrieve', item_id: heard });
    await socket.next('conversation.item.retrieved');
    socket.send({ type: 'conversation.item.delete', item_id: heard });
    await socket.next('conversation.item.deleted');
    socket.send({ type: 'response.create' });
    expect((await done(socket)).usage.input_token_details.audio_tokens).toBe(1);
    socket.close();
  });

  it('cancels a response at what was written, and has one at a time', async () => {
    const before = lines().length;
    const socket = await open('chunks=50,chunk_ms=5,output=1000');
    say(socket, 'count');
    socket.send({ type: 'response.create' });
    await socket.next('response.output_audio.delta');
    socket.send({ type: 'response.create' });
    expect(await socket.next('error')).toMatchObject({
      error: { code: 'conversation_already_has_active_response' },
    });
    socket.send({ type: 'response.cancel' });
    const { status, usage } = await done(socket);
    expect(status).toBe('cancelled');
    expect(usage.output_tokens).toBeLessThan(1000);
    expect(
      lines()
        .slice(before)
        .map((line) => BigInt(line.cost_pico_usd)),
    ).toEqual([billOf(usage)]);
    socket.close();
  });

  it('drops the oldest where its window is full, unless it may not', async () => {
    const socket = await open('output=10');
    for (let count = 0; count < 4; count++) say(socket, 'word '.repeat(8000));
    const response = { output_modalities: ['text'] };
    socket.send({ type: 'response.create', response });
    expect((await done(socket)).usage.input_tokens).toBeLessThanOrEqual(32_000 - 4096);
    socket.send({ type: 'session.update', session: { type: 'realtime', truncation: 'disabled' } });
    socket.send({ type: 'response.create', response });
    expect(await socket.next('error')).toMatchObject({ error: { code: 'context_length_exceeded' } });
    socket.close();
  });

  it('answers beside the conversation, and calls tools', async () => {
    const socket = await open();
    const tools = [{ type: 'function', name: 'get_weather', parameters: { type: 'object' } }];
    say(socket, 'get_weather {"city":"Paris"}');
    socket.send({ type: 'response.create', response: { tools, conversation: 'none' } });
    const { output } = await done(socket);
    expect(output).toMatchObject([{ type: 'function_call', arguments: '{"city":"Paris"}' }]);
    socket.send({ type: 'response.create', response: { input: [], output_modalities: ['text'] } });
    expect((await done(socket)).usage.input_token_details.audio_tokens).toBe(0);
    socket.close();
  });

  it('bills the most of a response in the worst mode: its limit, spoken, and nothing from the cache', async () => {
    const socket = await open('mode=worst');
    say(socket, 'hello');
    socket.send({ type: 'response.create', response: { max_output_tokens: 77 } });
    await done(socket);
    socket.send({ type: 'response.create', response: { max_output_tokens: 77 } });
    const { usage, status } = await done(socket);
    expect(status).toBe('incomplete');
    expect(usage.output_token_details).toEqual({ text_tokens: 0, audio_tokens: 77 });
    expect(usage.input_token_details.cached_tokens).toBe(0);
    socket.close();
  });

  it.each([
    ['rate_limit', false],
    ['failed,billed=false', false],
    ['no_usage', true],
  ])('says of the fault %s what it can', async (fault, billed) => {
    const socket = await open(`fault=${fault}`);
    socket.send({ type: 'response.create' });
    const { usage } = await done(socket);
    expect(usage).toBeNull();
    expect(BigInt(bench.lastLine().cost_pico_usd) > 0n).toBe(billed);
    socket.close();
  });

  it('is cut in the middle of a response that is billed', async () => {
    const socket = await open('fault=cut_mid_stream');
    socket.send({ type: 'response.create' });
    await socket.closed();
    expect(BigInt(bench.lastLine().cost_pico_usd)).toBeGreaterThan(0n);
  });

  it('is refused what it may not change, and unknown models at the handshake', async () => {
    const socket = await open();
    for (const session of [
      { type: 'transcription' },
      { type: 'realtime', model: 'gpt-realtime-2' },
      { type: 'realtime', max_output_tokens: 0 },
      { type: 'realtime', tools: [{ type: 'mcp' }] },
      { type: 'realtime', nothing: 1 },
    ]) {
      socket.send({ type: 'session.update', session });
      await socket.next('error');
    }
    socket.close();
    await expect(open('', 'model=gpt-4o')).rejects.toThrow('404');
  });
});

describe('sessions without responses', () => {
  it('transcribe by whole seconds', async () => {
    const socket = await open('', 'intent=transcription');
    const input = { turn_detection: null, transcription: { model: 'gpt-realtime-whisper' } };
    socket.send({ type: 'session.update', session: { type: 'transcription', audio: { input } } });
    socket.send({ type: 'input_audio_buffer.append', audio: speech(1200) });
    socket.send({ type: 'input_audio_buffer.commit' });
    const { usage } = await socket.next('conversation.item.input_audio_transcription.completed');
    expect(usage).toEqual({ type: 'duration', seconds: 2 });
    expect(BigInt(bench.lastLine().cost_pico_usd)).toBe(priceOf(2, '0.017', 60));
    socket.send({ type: 'response.create' });
    await socket.next('error');
    socket.close();
  });

  it('translate by the second of audio', async () => {
    const socket = await open('', '').catch(() => null);
    expect(socket).toBeNull();
    const translation = await openSocket(
      `${bench.simulator.url}/realtime/translations?model=gpt-realtime-translate`,
    );
    translation.send({ type: 'session.input_audio_buffer.append', audio: speech(1500) });
    translation.send({ type: 'session.input_audio_buffer.append', audio: speech(1000) });
    translation.send({ type: 'session.close' });
    await translation.next('session.closed');
    expect(BigInt(bench.lastLine().cost_pico_usd)).toBe(priceOf(3, '0.034', 60));
    expect(bench.lastLine()).toMatchObject({ operation: 'realtime.translation', completed: true });
  });
});

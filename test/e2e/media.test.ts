/** Audio and images through the official client: held at what they may cost, settled at what the invoice says. */
import { readdirSync, readFileSync } from 'node:fs';
import OpenAI, { toFile } from 'openai';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { disagreements, readEvents } from './books.ts';
import { type Stack, startStack } from './stack.ts';
import { startRecorder } from './wire.ts';

const stacks: Partial<Record<'normal' | 'worst', Stack>> = {};
beforeAll(async () => {
  stacks.normal = await startStack();
  stacks.worst = await startStack({ simulator: { mode: 'worst' } });
});
afterAll(async () => {
  await stacks.normal?.stop();
  await stacks.worst?.stop();
});

const AUDIO = new URL('../fixtures/audio/', import.meta.url);
const audioFile = async (type: string) =>
  toFile(readFileSync(new URL(`tone.${type}`, AUDIO)), `tone.${type}`);
const TYPES = readdirSync(AUDIO).map((name) => name.slice(name.indexOf('.') + 1));

/** A PNG of a size, of which nobody here reads more than its head. */
const pngFile = (width: number, height: number, name = 'a.png') => toFile(png(width, height), name);
function png(width: number, height: number): Buffer {
  const bytes = Buffer.alloc(45);
  bytes.write('\x89PNG\r\n\x1a\n', 'latin1');
  bytes.writeUInt32BE(13, 8);
  bytes.write('IHDR', 12);
  bytes.writeUInt32BE(width, 16);
  bytes.writeUInt32BE(height, 20);
  bytes.write('IDAT', 37);
  return bytes;
}

/** A WAV of eight bits a sample, 8,000 a second. */
function silence(seconds: number): Buffer {
  const bytes = Buffer.alloc(44 + 8000 * seconds);
  bytes.write('RIFF');
  bytes.writeUInt32LE(bytes.length - 8, 4);
  bytes.write('WAVEfmt ', 8);
  for (const [at, value] of [
    [16, 16],
    [24, 8000],
    [28, 8000],
    [40, 8000 * seconds],
  ] as const)
    bytes.writeUInt32LE(value, at);
  for (const [at, value] of [
    [20, 1],
    [22, 1],
    [32, 1],
    [34, 8],
  ] as const)
    bytes.writeUInt16LE(value, at);
  bytes.write('data', 36);
  return bytes;
}

async function drained(stream: AsyncIterable<unknown>): Promise<unknown[]> {
  const events: unknown[] = [];
  for await (const event of stream) events.push(event);
  return events;
}

function client(stack: Stack, key: string): OpenAI {
  return new OpenAI({ apiKey: key, baseURL: `${stack.app.url}/v1`, maxRetries: 0 });
}

/** Makes calls one after the other; returns their events and lines, which agree to the last digit but where only the length is known. */
async function settledAs(stack: Stack, calls: (openai: OpenAI) => Promise<unknown>[]) {
  const { teamId, key } = await stack.team({ grantUsd: '10000.00' });
  const results = await Promise.all(calls(client(stack, key)));
  await stack.settled();
  const events = await readEvents(stack, teamId);
  const ids = new Set(events.map(({ id }) => id));
  const lines = stack.simulator.invoice().lines.filter(({ client_request_id: id }) => ids.has(id ?? ''));
  expect(lines).toHaveLength(results.length);
  for (const line of lines) {
    const event = events.find(({ id }) => id === line.client_request_id)!;
    expect([line.operation, line.model, usd(event.cost_usd)]).toEqual([
      ...[event.operation, event.model, BigInt(line.cost_pico_usd)],
    ]);
    expect(usd(event.hold_usd), `${event.operation} ${event.model}`).toBeGreaterThanOrEqual(
      usd(event.cost_usd),
    );
    expect(event.outcome).toBe('settled');
  }
  return { results, events, lines };
}

const MODES = ['normal', 'worst'] as const;

it.each(MODES)(
  'speech is billed by its characters, or by the tokens that its events tell, in mode %s',
  async (mode) => {
    const input = 'Good evening, 漢字 🦊. '.repeat(9);
    const { events, lines } = await settledAs(stacks[mode]!, (openai) => [
      ...['tts-1', 'tts-1-hd', 'tts-1-1106', 'gpt-4o-mini-tts'].flatMap((model) =>
        (['mp3', 'pcm', 'wav'] as const).map((response_format) =>
          openai.audio.speech
            .create({ model, input, voice: 'alloy', response_format })
            .then((response) => response.arrayBuffer()),
        ),
      ),
      openai.audio.speech
        .create({
          model: 'gpt-4o-mini-tts-2025-12-15',
          input,
          voice: 'alloy',
          stream_format: 'sse',
          speed: 0.5,
        })
        .then((response) => response.text()),
    ]);
    expect(disagreements(events, lines)).toEqual([]);
    expect(new Set(events.map(({ quantities }) => Object.keys(quantities ?? {}).join()))).toEqual(
      new Set(['characters', 'output_audio_tokens']),
    );
  },
);

it('speech of a model of tokens comes as the bytes that its events carry, with its type', async () => {
  const { results } = await settledAs(stacks.normal!, (openai) => [
    openai.audio.speech.create({
      model: 'gpt-4o-mini-tts',
      input: 'hello',
      voice: 'alloy',
      response_format: 'opus',
    }),
    openai.audio.speech
      .create({ model: 'gpt-4o-mini-tts', input: 'hello', voice: 'alloy', stream_format: 'sse' })
      .then((response) => response.text()),
  ]);
  const [audio, text] = results as [Response, string];
  expect(audio.headers.get('content-type')).toBe('audio/ogg');
  const bytes = Buffer.from(await audio.arrayBuffer());
  expect(bytes.length).toBeGreaterThan(200);
  expect(bytes.toString('latin1')).not.toContain('speech.audio');
  expect(text).toMatch(/"type":"speech.audio.delta"[\s\S]*"type":"speech.audio.done","usage"/);
});

it.each(MODES)('audio is billed by its length or its tokens, in every format, in mode %s', async (mode) => {
  const formats = ['json', 'text', 'srt', 'vtt', 'verbose_json'] as const;
  const files = await Promise.all(TYPES.map(audioFile));
  const wav = await audioFile('wav');
  const { events } = await settledAs(stacks[mode]!, (openai) => [
    ...files.flatMap((file) =>
      formats.map((response_format) =>
        openai.audio.transcriptions.create({ file, model: 'whisper-1', response_format }),
      ),
    ),
    ...files.map((file) => openai.audio.translations.create({ file, model: 'whisper-1' })),
    openai.audio.translations.create({ file: wav, model: 'whisper-1', response_format: 'verbose_json' }),
    openai.audio.transcriptions.create({ file: wav, model: 'gpt-transcribe', prompt: 'names: Ada' }),
    ...['gpt-4o-transcribe', 'gpt-4o-mini-transcribe', 'gpt-4o-transcribe-diarize'].flatMap((model) => [
      openai.audio.transcriptions.create({ file: wav, model, chunking_strategy: 'auto' }),
      openai.audio.transcriptions
        .create({ model, file: wav, stream: true, include: ['logprobs'] })
        .then(drained),
    ]),
  ]);
  // Where the response has no usage the length is the file's own.
  const measured = events.filter(({ provenance }) => provenance === 'estimated');
  expect(measured).toHaveLength(TYPES.length * 4);
  expect(new Set(measured.map(({ reason, quantities }) => JSON.stringify([reason, quantities])))).toEqual(
    new Set(['["usage_missing",{"audio_seconds":2}]']),
  );
});

it.each(MODES)('images are billed by their tokens, or by the image, in mode %s', async (mode) => {
  const image = await pngFile(1024, 1024);
  const [wide, mask] = [await pngFile(4000, 400), await pngFile(1024, 1024, 'mask.png')];
  const url = `data:image/png;base64,${png(640, 480).toString('base64')}`;
  const models = ['gpt-image-1', 'gpt-image-1-mini', 'gpt-image-1.5', 'gpt-image-2', 'chatgpt-image-latest'];
  const { events, lines } = await settledAs(stacks[mode]!, (openai) => [
    ...models.flatMap((model) => [
      openai.images.generate({ model, prompt: 'a fox 🦊' }),
      openai.images.generate({ model, prompt: 'a fox', n: 3, size: '1024x1024', quality: 'low' }),
      openai.images
        .generate({ model, prompt: 'x', stream: true, partial_images: 3, size: '1536x1024' })
        .then(drained),
      openai.images.edit({ model, image, prompt: 'more' }),
      openai.images.edit({ model, image: [image, wide], mask, prompt: 'more', input_fidelity: 'high', n: 2 }),
      openai.images
        .edit({ model, image: wide, prompt: 'more', stream: true, partial_images: 1 })
        .then(drained),
      openai.post('/images/edits', { body: { model, prompt: 'more', images: [{ image_url: url }], n: 2 } }),
    ]),
    openai.images.generate({ model: 'gpt-image-2', prompt: 'x', size: '3840x2160', quality: 'high' }),
    openai.images.generate({ model: 'dall-e-3', prompt: 'x', quality: 'hd', size: '1792x1024' }),
    openai.images.generate({ model: 'dall-e-3', prompt: 'x' }),
    openai.images.generate({ prompt: 'x', n: 4, size: '256x256' }),
    openai.images.createVariation({ image, n: 2, size: '512x512' }),
    openai.images.edit({ image, prompt: 'x' }),
  ]);
  expect(disagreements(events, lines)).toEqual([]);
  const [first] = events.filter(({ model }) => model === 'dall-e-2');
  expect(first?.quantities).toMatchObject({ images: expect.any(Number) });
});

it.each(MODES)('a conversation is heard and spoken at the prices of audio, in mode %s', async (mode) => {
  const stack = stacks[mode]!;
  // Forty seconds of silence, a byte each eight-thousandth of a second.
  const wav = silence(40).toString('base64');
  const mp3 = readFileSync(new URL('tone.mp3', AUDIO)).toString('base64');
  const said = (data: string, format: 'wav' | 'mp3'): OpenAI.ChatCompletionMessageParam => ({
    role: 'user',
    content: [
      { type: 'text', text: 'hear' },
      { type: 'input_audio', input_audio: { data, format } },
    ],
  });
  const spoken = {
    modalities: ['text' as const, 'audio' as const],
    audio: { voice: 'alloy' as const, format: 'mp3' as const },
  };
  const { events, lines } = await settledAs(stack, (openai) =>
    ['gpt-audio', 'gpt-audio-mini', 'gpt-audio-1.5'].flatMap((model) => [
      openai.chat.completions.create({ model, messages: [said(wav, 'wav')], max_completion_tokens: 90 }),
      openai.chat.completions.create({
        model,
        messages: [said(mp3, 'mp3')],
        ...spoken,
        max_completion_tokens: 90,
      }),
      openai.chat.completions.create({ model, messages: [{ role: 'user', content: 'x' }], ...spoken, n: 2 }),
      openai.chat.completions
        .create({ model, messages: [said(wav, 'wav')], ...spoken, stream: true })
        .then(drained),
    ]),
  );
  expect(disagreements(events, lines)).toEqual([]);
  for (const { quantities } of events) expect(Object.keys(quantities ?? {}).join()).toMatch(/_audio_tokens/);
});

it('audio whose length cannot be read is held as all that the model reads, and passes', async () => {
  const stack = stacks.normal!;
  const { teamId, key } = await stack.team({ grantUsd: '10.00' });
  const input_audio = { data: 'AAAA', format: 'wav' };
  const body = {
    model: 'gpt-audio',
    max_tokens: 5,
    messages: [{ role: 'user', content: [{ type: 'input_audio', input_audio }] }],
  };
  expect((await stack.post(key, '/chat/completions', body)).status).toBe(200);
  await stack.settled();
  // 128,000 tokens at $32 for a million.
  expect(Number((await readEvents(stack, teamId))[0]?.hold_usd)).toBeGreaterThanOrEqual(4.096);
});

it('speech reaches its client while it is spoken', async () => {
  const pieces = [Buffer.from('first piece'), Buffer.from('second piece')];
  for (const asEvents of [false, true]) {
    let goOn = () => {};
    const recorder = await startRecorder({
      status: 200,
      headers: ['content-type', asEvents ? 'text/event-stream' : 'audio/mpeg'],
      body: (response) => {
        const write = (piece: Buffer) =>
          response.write(
            asEvents
              ? `data: {"type":"speech.audio.delta","audio":"${piece.toString('base64')}"}\n\n`
              : piece,
          );
        write(pieces[0]!);
        goOn = () => {
          write(pieces[1]!);
          const usage = '{"input_tokens":1,"output_tokens":2,"total_tokens":3}';
          response.end(asEvents ? `data: {"type":"speech.audio.done","usage":${usage}}\n\n` : undefined);
        };
      },
    });
    const stack = await startStack({ env: { OPENAI_BASE_URL: recorder.url } });
    try {
      const { teamId, key } = await stack.team({ grantUsd: '1.00' });
      const model = asEvents ? 'gpt-4o-mini-tts' : 'tts-1';
      const response = await client(stack, key).audio.speech.create({
        model,
        input: 'hello',
        voice: 'alloy',
      });
      const reader = response.body!.getReader();
      const first = await reader.read();
      expect(Buffer.from(first.value!).toString()).toBe('first piece');
      goOn();
      const rest: Buffer[] = [];
      for (let next = await reader.read(); !next.done; next = await reader.read())
        rest.push(Buffer.from(next.value));
      expect(Buffer.concat(rest).toString()).toBe('second piece');
      await stack.settled();
      // 5 characters at $15, or a token at $0.60 and two at $12, for a million.
      expect((await readEvents(stack, teamId))[0]).toMatchObject({
        provenance: 'reported',
        cost_usd: asEvents ? '0.0000246' : '0.000075',
      });
    } finally {
      await stack.stop();
      recorder.close();
    }
  }
}, 120_000);

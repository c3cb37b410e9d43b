/** Calls of the official client to each operation that costs money, in shapes that are drawn at random. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { type OpenAI, toFile } from 'openai';
import { OpenAIRealtimeTranslationWS } from 'openai/realtime/translations/ws';
import { OpenAIRealtimeWS } from 'openai/realtime/ws';
import { ResponsesWS } from 'openai/resources/responses/ws';
import { expect, vi } from 'vitest';
import { speech } from '../simulator/audio.ts';

/** Of each operation; of what takes longer fewer. */
const SHAPES = 5;
export const PATIENCE = { timeout: 60_000, interval: 20 };

type Ask = (client: OpenAI) => PromiseLike<unknown>;
interface Calls {
  shapes: number;
  asks: fc.Arbitrary<Ask>;
}

/** Draws parameters, and asks with them. */
function asking<T>(
  params: fc.Arbitrary<T>,
  ask: (client: OpenAI, params: T) => PromiseLike<unknown>,
  shapes = SHAPES,
): Calls {
  return { shapes, asks: params.map((drawn) => (client) => ask(client, drawn)) };
}

const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 60 });
const service_tier = fc.constantFrom(
  'auto' as const,
  'default' as const,
  'flex' as const,
  'priority' as const,
);
const model = fc.constantFrom('gpt-5-mini', 'gpt-5.4');
const limit = (least: number) => fc.integer({ min: least, max: 300 });
const memory = fc.record(
  { memory_limit: fc.constantFrom('1g' as const, '4g' as const, '16g' as const, '64g' as const) },
  { requiredKeys: [] },
);

const read = async (answer: PromiseLike<unknown>) => {
  const given = await answer;
  if (typeof given === 'object' && given !== null && Symbol.asyncIterator in given)
    for await (const _ of given as AsyncIterable<unknown>);
  else if (given instanceof Response) await given.arrayBuffer();
};

const AUDIO = new URL('../fixtures/audio/', import.meta.url);
const AUDIO_TYPES = ['wav', 'mp3', 'm4a', 'flac', 'ogg', 'webm'] as const;
const audioFile = (type: string) => toFile(readFileSync(new URL(`tone.${type}`, AUDIO)), `tone.${type}`);

/** A PNG of a size, of which nobody here reads more than its head. */
function pngFile(width: number, height: number) {
  const bytes = Buffer.alloc(45);
  bytes.write('\x89PNG\r\n\x1a\n', 'latin1');
  bytes.writeUInt32BE(13, 8);
  bytes.write('IHDR', 12);
  bytes.writeUInt32BE(width, 16);
  bytes.writeUInt32BE(height, 20);
  bytes.write('IDAT', 37);
  return toFile(bytes, 'a.png');
}

const tool = fc.oneof(
  fc.constant({ type: 'web_search' as const }),
  fc.constant({
    type: 'mcp' as const,
    server_label: 's',
    server_url: 'https://mcp.example',
    require_approval: 'never' as const,
  }),
  fc.constant({ type: 'function' as const, name: 'f', parameters: { type: 'object' }, strict: false }),
  memory.map((limits) => ({
    type: 'code_interpreter' as const,
    container: { type: 'auto' as const, ...limits },
  })),
);
const response = fc.record(
  {
    model,
    input: text,
    service_tier,
    max_output_tokens: limit(16),
    tools: fc.array(tool, { maxLength: 2 }),
    max_tool_calls: fc.integer({ min: 0, max: 4 }),
  },
  { requiredKeys: ['model', 'input'] },
);
const imageModel = fc.constantFrom('gpt-image-1', 'gpt-image-1-mini', 'gpt-image-1.5', 'gpt-image-2');
const size = fc.constantFrom('1024x1024' as const, '1536x1024' as const, '1024x1536' as const);
const quality = fc.constantFrom('low' as const, 'medium' as const, 'high' as const);
const pixels = fc.tuple(fc.integer({ min: 1, max: 4000 }), fc.integer({ min: 1, max: 4000 }));

const LINES = (count: number, most: number) =>
  Array.from({ length: count }, (_, at) =>
    JSON.stringify({
      ...{ custom_id: `line-${at}`, method: 'POST', url: '/v1/chat/completions' },
      body: {
        model: 'gpt-4o-mini',
        max_completion_tokens: most,
        messages: [{ role: 'user', content: `Say ${at}.` }],
      },
    }),
  ).join('\n');
const EXAMPLES = (count: number) =>
  Array.from({ length: count }, (_, at) =>
    JSON.stringify({
      messages: [
        { role: 'user', content: `What is the capital of country number ${at}?` },
        { role: 'assistant', content: `It is the city number ${at}.` },
      ],
    }),
  ).join('\n');
const fileOf = async (client: OpenAI, content: string, purpose: 'batch' | 'fine-tune' | 'user_data') =>
  (await client.files.create({ file: await toFile(Buffer.from(content), 'a.jsonl'), purpose })).id;
const storeOf = async (client: OpenAI) => (await client.vectorStores.create({ name: 's' })).id;

/** Opens a realtime session, and resolves when an event of a type has come. */
async function inSession(client: OpenAI, ends: string, begin: (realtime: OpenAIRealtimeWS) => void) {
  const realtime = new OpenAIRealtimeWS({ model: 'gpt-realtime' }, client);
  const seen: string[] = [];
  realtime.on('event', ({ type }) => seen.push(type));
  realtime.on('error', ({ message }) => seen.push(`error: ${message}`));
  await once(realtime.socket, 'open');
  begin(realtime);
  await vi.waitFor(() => expect(seen).toContain(ends), PATIENCE);
  const closed = once(realtime.socket, 'close');
  realtime.close();
  await closed;
}

export const CALLS: Readonly<Record<string, Calls>> = {
  'chat.completions': asking(
    fc.record(
      {
        model,
        content: text,
        n: fc.integer({ min: 1, max: 4 }),
        max_completion_tokens: limit(1),
        stream: fc.boolean(),
        service_tier,
      },
      { requiredKeys: ['model', 'content', 'n', 'stream'] },
    ),
    (client, { content, ...rest }) =>
      read(client.chat.completions.create({ ...rest, messages: [{ role: 'user', content }] })),
  ),
  responses: asking(fc.tuple(response, fc.boolean()), (client, [asked, stream]) =>
    read(client.responses.create({ ...asked, stream })),
  ),
  'responses.connect': asking(
    fc.array(response, { minLength: 1, maxLength: 3 }),
    async (client, turns) => {
      const ws = new ResponsesWS(client);
      let previous_response_id: string | null = null;
      for (const turn of turns) {
        const ended = new Promise<string>((resolve, reject) => {
          ws.once('response.completed', ({ response }) => resolve(response.id));
          ws.once('response.incomplete', ({ response }) => resolve(response.id));
          ws.once('error', reject);
        });
        ws.send({ type: 'response.create', ...turn, previous_response_id });
        previous_response_id = await ended;
      }
      ws.close();
    },
    3,
  ),
  'responses.compact': asking(
    fc.record(
      { model: fc.constant('gpt-5.4'), input: text, instructions: text },
      { requiredKeys: ['model', 'input'] },
    ),
    (client, body) => client.responses.compact(body),
  ),
  completions: asking(
    fc.record(
      {
        model: fc.constantFrom('gpt-3.5-turbo-instruct', 'davinci-002', 'babbage-002'),
        prompt: fc.array(text, { minLength: 1, maxLength: 3 }),
        best_of: fc.integer({ min: 1, max: 4 }),
        max_tokens: fc.integer({ min: 1, max: 60 }),
        echo: fc.boolean(),
      },
      { requiredKeys: ['model', 'prompt'] },
    ),
    (client, body) => client.completions.create(body),
  ),
  embeddings: asking(
    fc.record({
      model: fc.constantFrom('text-embedding-3-small', 'text-embedding-3-large', 'text-embedding-ada-002'),
      input: fc.array(text, { minLength: 1, maxLength: 4 }),
    }),
    (client, body) => client.embeddings.create(body),
  ),
  'audio.speech': asking(
    fc.record(
      {
        model: fc.constantFrom('tts-1', 'tts-1-hd', 'gpt-4o-mini-tts'),
        input: text,
        voice: fc.constant('alloy'),
        response_format: fc.constantFrom('mp3' as const, 'wav' as const, 'pcm' as const),
        speed: fc.constantFrom(0.25, 0.5, 1, 4),
      },
      { requiredKeys: ['model', 'input', 'voice'] },
    ),
    (client, body) => read(client.audio.speech.create(body)),
  ),
  'audio.transcriptions': asking(
    fc.record(
      {
        type: fc.constantFrom(...AUDIO_TYPES),
        model: fc.constantFrom('whisper-1', 'gpt-4o-transcribe', 'gpt-4o-mini-transcribe', 'gpt-transcribe'),
        prompt: text,
      },
      { requiredKeys: ['type', 'model'] },
    ),
    async (client, { type, ...body }) =>
      client.audio.transcriptions.create({ ...body, file: await audioFile(type) }),
  ),
  'audio.translations': asking(
    fc.record({ type: fc.constantFrom(...AUDIO_TYPES), prompt: text }, { requiredKeys: ['type'] }),
    async (client, { type, ...body }) =>
      client.audio.translations.create({
        ...{ ...body, model: 'whisper-1', response_format: 'verbose_json' },
        file: await audioFile(type),
      }),
  ),
  'realtime.responses': asking(
    fc.record({ text, max: fc.integer({ min: 50, max: 300 }), speaks: fc.boolean() }),
    (client, { text, max, speaks }) =>
      inSession(client, 'response.done', (realtime) => {
        const content = [{ type: 'input_text' as const, text }];
        realtime.send({ type: 'conversation.item.create', item: { type: 'message', role: 'user', content } });
        const output_modalities = [speaks ? ('audio' as const) : ('text' as const)];
        realtime.send({ type: 'response.create', response: { max_output_tokens: max, output_modalities } });
      }),
    3,
  ),
  'realtime.transcriptions': asking(
    fc.record({
      ms: fc.integer({ min: 200, max: 900 }),
      model: fc.constantFrom('gpt-4o-transcribe', 'gpt-4o-mini-transcribe'),
    }),
    (client, { ms, model }) =>
      inSession(client, 'conversation.item.input_audio_transcription.completed', (realtime) => {
        const input = { transcription: { model }, turn_detection: null };
        realtime.send({ type: 'session.update', session: { type: 'realtime', audio: { input } } });
        realtime.send({ type: 'input_audio_buffer.append', audio: speech(ms) });
        realtime.send({ type: 'input_audio_buffer.commit' });
      }),
    3,
  ),
  'realtime.translations': asking(
    fc.integer({ min: 200, max: 3000 }),
    async (client, ms) => {
      const session = await OpenAIRealtimeTranslationWS.create(client, { model: 'gpt-realtime-translate' });
      await once(session.socket.platformSocket, 'open');
      session.send({ type: 'session.input_audio_buffer.append', audio: speech(ms) });
      await session.finish({ timeoutMs: PATIENCE.timeout });
    },
    3,
  ),
  'images.generations': asking(
    fc.record(
      {
        model: imageModel,
        prompt: text,
        size,
        quality,
        n: fc.integer({ min: 1, max: 3 }),
        stream: fc.boolean(),
      },
      { requiredKeys: ['model', 'prompt', 'n', 'stream'] },
    ),
    (client, { n, stream, ...body }) =>
      read(
        stream
          ? client.images.generate({ ...body, stream, partial_images: n })
          : client.images.generate({ ...body, n }),
      ),
  ),
  'images.edits': asking(
    fc.record(
      {
        model: imageModel,
        prompt: text,
        size,
        quality,
        pixels,
        n: fc.integer({ min: 1, max: 3 }),
        stream: fc.boolean(),
      },
      { requiredKeys: ['model', 'prompt', 'pixels', 'n', 'stream'] },
    ),
    async (client, { n, stream, pixels, ...rest }) => {
      const body = { ...rest, image: await pngFile(...pixels) };
      await read(stream ? client.images.edit({ ...body, stream }) : client.images.edit({ ...body, n }));
    },
  ),
  'images.variations': asking(
    fc.record({
      n: fc.integer({ min: 1, max: 4 }),
      size: fc.constantFrom('256x256' as const, '512x512' as const, '1024x1024' as const),
    }),
    async (client, body) => client.images.createVariation({ ...body, image: await pngFile(512, 512) }),
  ),
  'vector_stores.create': asking(fc.record({ name: text }), (client, body) =>
    client.vectorStores.create(body),
  ),
  'vector_stores.files.create': asking(text, async (client, content) =>
    client.vectorStores.files.create(await storeOf(client), {
      file_id: await fileOf(client, content, 'user_data'),
    }),
  ),
  'vector_stores.file_batches.create': asking(text, async (client, content) =>
    client.vectorStores.fileBatches.create(await storeOf(client), {
      file_ids: [await fileOf(client, content, 'user_data')],
    }),
  ),
  'containers.create': asking(memory, (client, limits) => client.containers.create({ name: 'c', ...limits })),
  content_provenance_checks: asking(pixels, async (client, [width, height]) =>
    client.contentProvenanceChecks.create({ file: await pngFile(width, height) }),
  ),
  'evals.runs.create': asking(
    fc.tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 60 })),
    async (client, [count, max_completion_tokens]) => {
      const { id } = await client.evals.create({
        data_source_config: { type: 'custom', item_schema: { type: 'object' } },
        testing_criteria: [
          { type: 'string_check', name: 'equal', operation: 'eq', input: '{{item.a}}', reference: 'b' },
        ],
      });
      const content = Array.from({ length: count }, (_, at) => ({ item: { a: `Say ${at}.` } }));
      return client.evals.runs.create(id, {
        data_source: {
          ...{ type: 'completions', model: 'gpt-4o-mini', sampling_params: { max_completion_tokens } },
          input_messages: { type: 'template', template: [{ role: 'user', content: '{{item.a}}' }] },
          source: { type: 'file_content', content },
        },
      });
    },
    1,
  ),
  'batches.create': asking(
    fc.tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 60 })),
    async (client, [count, most]) =>
      client.batches.create({
        ...{ endpoint: '/v1/chat/completions', completion_window: '24h' },
        input_file_id: await fileOf(client, LINES(count, most), 'batch'),
      }),
    1,
  ),
  'fine_tuning.jobs.create': asking(
    fc.tuple(fc.integer({ min: 10, max: 14 }), fc.integer({ min: 1, max: 3 })),
    async (client, [count, n_epochs]) =>
      client.fineTuning.jobs.create({
        ...{ model: 'gpt-4o-mini', hyperparameters: { n_epochs } },
        training_file: await fileOf(client, EXAMPLES(count), 'fine-tune'),
      }),
    1,
  ),
};

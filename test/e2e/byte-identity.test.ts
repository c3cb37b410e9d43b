/**
 * What a client sends is what the upstream gets, and the other way round, to the byte, for the examples of the API's
 * specification (2.3.0) and for what its schemas allow at least and at most; and for calls of the official client. Apart from it
 * stands what COVERAGE.md says: fields that are written in, at the front.
 */
import { readFileSync } from 'node:fs';
import OpenAI, { toFile } from 'openai';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { OPERATIONS } from '../../src/openai/operations/table.ts';
import { readEvents } from './books.ts';
import { type Stack, startStack } from './stack.ts';
import { type Recorder, type SeenRequest, send, startRecorder, valuesOf, type WireAnswer } from './wire.ts';

interface Pair {
  operation: string;
  path: string;
  body: string | null;
  /** Fields as curl writes them. */
  form?: string[];
  response: string;
}

const PAIRS = readFileSync(new URL('../fixtures/wire-pairs.jsonl', import.meta.url), 'utf8')
  .split('\n')
  .filter((line) => line !== '')
  .map((line) => JSON.parse(line) as Pair);
/** What the upstream says of itself and of its response, and what is for the gateway alone. */
const HEADERS = [
  ...['x-request-id', 'req_1', 'openai-processing-ms', '12', 'openai-version', '2020-10-01', 'x-new', 'a, b'],
  ...[
    'x-ratelimit-remaining-tokens',
    '149984',
    'cache-control',
    'no-store',
    'strict-transport-security',
    'x',
  ],
];
const NOT_FOR_CLIENTS = ['set-cookie', 'a=b', 'connection', 'keep-alive', 'keep-alive', 'timeout=5'];
const WRITTEN_IN = ['max_completion_tokens', 'max_output_tokens', 'max_tokens', 'model', 'service_tier'];
WRITTEN_IN.push('stream_format', 'stream_options', 'max_tool_calls');

let stack: Stack;
let recorder: Recorder;
let team: Awaited<ReturnType<Stack['team']>>;
beforeAll(async () => {
  recorder = await startRecorder({ status: 200, headers: [], body: '' });
  const env = { OPENAI_BASE_URL: recorder.url, TOLLGATE_FREE_CALLS_PER_MINUTE: '100000' };
  stack = await startStack({ env });
  team = await stack.team({ grantUsd: '100000.00' });
});
afterAll(async () => {
  await stack.stop();
  recorder.close();
});

const BOUNDARY = '----identity7MA4YWxkTrZu0gW';
const FILE = readFileSync(new URL('../fixtures/audio/tone.wav', import.meta.url));

/** The fields of a form as curl sends them; every file has the same bytes. */
function formOf(fields: string[]): Buffer {
  const pieces: Buffer[] = [];
  for (const field of fields) {
    const [name = '', ...rest] = field.split('=');
    const value = rest.join('=');
    const isFile = value.startsWith('@');
    const filename = isFile ? `; filename="${value.slice(1)}"\r\nContent-Type: application/octet-stream` : '';
    const head = `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${name}"${filename}\r\n\r\n`;
    pieces.push(Buffer.from(head), isFile ? FILE : Buffer.from(value), Buffer.from('\r\n'));
  }
  return Buffer.concat([...pieces, Buffer.from(`--${BOUNDARY}--\r\n`)]);
}

const typeOf = (text: string) =>
  /^(?:data|event):/.test(text) ? 'text/event-stream; charset=utf-8' : 'application/json';

/** A form with a WAV of silence of so many bytes, 8,000 a second. */
function longForm(bytes: number): Buffer {
  const head = Buffer.alloc(44);
  head.write('RIFF');
  head.write('WAVEfmt ', 8);
  for (const [at, value] of [
    [4, bytes - 8],
    [16, 16],
    [24, 8000],
    [28, 8000],
    [40, bytes - 44],
  ] as const)
    head.writeUInt32LE(value, at);
  for (const [at, value] of [
    [20, 1],
    [22, 1],
    [32, 1],
    [34, 8],
  ] as const)
    head.writeUInt16LE(value, at);
  head.write('data', 36);
  const disposition = 'Content-Disposition: form-data; name="file"; filename="a.wav"';
  const start = Buffer.from(`--${BOUNDARY}\r\n${disposition}\r\nContent-Type: audio/wav\r\n\r\n`);
  const model = `\r\n--${BOUNDARY}\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1`;
  const end = Buffer.from(`${model}\r\n--${BOUNDARY}--\r\n`);
  return Buffer.concat([start, head, Buffer.alloc(bytes - 44, 0x80), end]);
}

/** What was sent on to a path: the gateway asks for some of the upstream's objects itself, whenever it is time. */
const seenOn = (path: string) => recorder.seen.filter((seen) => seen.path === `/v1${path}`);

/** Sends a pair, and gives its team whatever object it names. */
async function exchange(pair: Pair): Promise<{ answer: WireAnswer; sent: Buffer | undefined; path: string }> {
  const descriptor = OPERATIONS.find(({ name }) => name === pair.operation)!;
  const path = pair.path.replaceAll(/\{(\w+)\}/g, (_, name: string) => `${name.replace('_id', '')}_1`);
  const sent = pair.form ? formOf(pair.form) : pair.body === null ? undefined : Buffer.from(pair.body);
  const type = pair.form ? `multipart/form-data; boundary=${BOUNDARY}` : 'application/json';
  recorder.answer = {
    status: 200,
    headers: ['content-type', typeOf(pair.response), ...HEADERS, ...NOT_FOR_CLIENTS],
    body: pair.response,
  };
  for (let tries = 0; ; tries++) {
    recorder.seen.length = 0;
    const headers = ['authorization', `Bearer ${team.key}`, ...(sent ? ['content-type', type] : [])];
    const body = sent === undefined ? {} : { body: sent };
    const answer = await send(stack.app.url, {
      method: descriptor.method,
      path: `/v1${path}`,
      headers,
      ...body,
    });
    if (answer.status === 503 && tries < 3) {
      // Many of the examples are no answers, so their cost is not known: this team's circuit has opened.
      team = await stack.team({ grantUsd: '100000.00' });
      continue;
    }
    const unknown = /No ([\w ]+) '([^']+)' of this team/.exec(answer.body.toString());
    if (answer.status !== 404 || unknown === null || tries > 8) return { answer, sent, path };
    const kind = unknown[1]!.replace(' ', '_');
    await stack.admin('POST', '/objects', { id: unknown[2], kind, team_id: team.teamId });
  }
}

/** Returns what was written into a body; null: other bytes differ too. */
function writtenInto(sent: Buffer, got: Buffer): string[] | null {
  if (got.equals(sent)) return [];
  const added = got.length - sent.length;
  // A form gets a part in front.
  if (sent[0] === 0x2d) return added > 0 && got.subarray(added).equals(sent) ? ['model'] : null;
  const brace = sent.indexOf('{') + 1;
  if (!got.subarray(0, brace).equals(sent.subarray(0, brace))) return null;
  if (!got.subarray(brace + added).equals(sent.subarray(brace))) return null;
  return Object.keys(JSON.parse(`{${got.toString('utf8', brace, brace + added).replace(/,$/, '')}}`));
}

/** In what a request and its response differ on their two sides, in words. */
function differences(
  sent: Buffer | undefined,
  path: string,
  seen: SeenRequest,
  answer: WireAnswer,
  response: Buffer,
) {
  const found: string[] = [];
  if (seen.path !== `/v1${path}`) found.push(`path ${seen.path}`);
  const isForm = sent?.[0] === 0x2d;
  const type = isForm ? `multipart/form-data; boundary=${BOUNDARY}` : 'application/json';
  if (sent && valuesOf(seen.rawHeaders, 'content-type')[0] !== type) found.push('content-type');
  const written = writtenInto(sent ?? Buffer.alloc(0), seen.body);
  if (written === null || written.some((name) => !WRITTEN_IN.includes(name))) found.push(`body ${seen.body}`);
  for (let at = 0; at < HEADERS.length; at += 2) {
    if (answer.headers[HEADERS[at]!] !== HEADERS[at + 1]) found.push(`header ${HEADERS[at]}`);
  }
  const known = new Set([
    ...HEADERS.filter((_, at) => at % 2 === 0),
    'content-type',
    'content-length',
    'date',
  ]);
  for (const own of ['connection', 'keep-alive', 'transfer-encoding', 'vary']) known.add(own);
  for (const name of Object.keys(answer.headers)) {
    if (!known.has(name) && !name.startsWith('x-tollgate-') && name !== 'x-should-retry')
      found.push(`new header ${name}`);
  }
  if ('set-cookie' in answer.headers) found.push('a cookie');
  // A stream without its end gets an event that says so.
  const isCut = answer.body.subarray(0, response.length).equals(response);
  const isStream = String(answer.headers['content-type']).startsWith('text/event-stream');
  if (!answer.body.equals(response) && !(isStream && isCut)) found.push(`response ${answer.body}`);
  return found;
}

it('three hundred examples pass as they are, both ways', async () => {
  const wrong: string[] = [];
  const refused = new Map<string, string>();
  let same = 0;
  for (const pair of PAIRS) {
    const { answer, sent, path } = await exchange(pair);
    const [seen] = seenOn(path);
    if (seen === undefined) {
      refused.set(`${pair.operation} ${pair.body?.slice(0, 60)}`, answer.body.toString().slice(0, 300));
      continue;
    }
    const found = differences(sent, path, seen, answer, Buffer.from(pair.response));
    if (found.length === 0) same++;
    else wrong.push(`${pair.operation}: ${found.join('; ').slice(0, 600)}`);
  }
  expect(wrong).toEqual([]);
  expect([...refused]).toEqual([]);
  expect(same).toBeGreaterThanOrEqual(300);
}, 120_000);

const COMPLETION =
  '{"id":"c","object":"chat.completion","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}';
const STREAM = [
  'data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"é"},"finish_reason":"stop"}]}',
  'data: {"id":"c","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}',
  'data: [DONE]\n\n',
].join('\n\n');
const SPEECH = Buffer.from(Array.from({ length: 5000 }, (_, at) => (at * 7919) % 256));
const TRANSCRIPT = 'event: transcript.text.done\ndata: {"type":"transcript.text.done","text":"x"}\n\n';

it('calls of the official client pass as they are: JSON, events, forms and files', async () => {
  const bodies: Buffer[] = [];
  const openai = new OpenAI({
    apiKey: team.key,
    baseURL: `${stack.app.url}/v1`,
    maxRetries: 0,
    fetch: async (url, init) => {
      // Read once, so that what is sent is what is compared.
      const request = new Request(url, { ...init, duplex: 'half' } as RequestInit);
      const body = Buffer.from(await request.arrayBuffer());
      bodies.push(body);
      return await fetch(url, {
        ...init,
        headers: request.headers,
        ...(body.length > 0 ? { body } : { body: null }),
      });
    },
  });
  const file = await toFile(FILE, 'tone.wav', { type: 'audio/wav' });
  const messages = [{ role: 'user' as const, content: 'é 漢字 🦊' }];
  const stream_options = { include_usage: true };
  const calls: [type: string, response: string | Buffer, call: () => PromiseLike<unknown>][] = [
    ['application/json', COMPLETION, () => openai.chat.completions.create({ model: 'gpt-4o', messages })],
    [
      'text/event-stream',
      STREAM,
      () =>
        openai.chat.completions
          .create({ model: 'gpt-4o', messages, stream: true, stream_options })
          .asResponse(),
    ],
    ['audio/mpeg', SPEECH, () => openai.audio.speech.create({ model: 'tts-1', input: 'é', voice: 'alloy' })],
    [
      'application/json',
      '{"text":"x"}',
      () => openai.audio.transcriptions.create({ file, model: 'whisper-1' }),
    ],
    [
      'text/plain',
      '1\n',
      () => openai.audio.translations.create({ file, model: 'whisper-1', response_format: 'srt' }),
    ],
    [
      'text/event-stream',
      TRANSCRIPT,
      () =>
        openai.audio.transcriptions.create({ file, model: 'gpt-4o-transcribe', stream: true }).asResponse(),
    ],
    [
      'application/json',
      '{"data":[{}]}',
      () => openai.images.edit({ model: 'gpt-image-1', image: [file, file], prompt: 'é' }),
    ],
    [
      'application/json',
      '{"data":[{}]}',
      () => openai.images.createVariation({ image: file, model: 'dall-e-2', n: 2 }),
    ],
    [
      'application/json',
      '{"id":"file_9","object":"file"}',
      () => openai.files.create({ file, purpose: 'user_data' }),
    ],
  ];
  for (const [type, response, call] of calls) {
    team = await stack.team({ grantUsd: '1000.00' });
    openai.apiKey = team.key;
    recorder.seen.length = 0;
    recorder.answer = { status: 200, headers: ['content-type', type, ...HEADERS], body: response };
    await call();
    const sent = bodies.at(-1)!;
    const [seen] = recorder.seen.filter(({ body }) => body.length > 0);
    expect([seen!.path, writtenInto(sent, seen!.body)?.every((name) => WRITTEN_IN.includes(name))]).toEqual([
      ...[seen!.path, true],
    ]);
    const contentType = valuesOf(seen!.rawHeaders, 'content-type')[0] ?? '';
    const headers = ['authorization', `Bearer ${team.key}`, 'content-type', contentType];
    const { headers: got, body } = await send(stack.app.url, { path: seen!.path, headers, body: sent });
    expect(body.subarray(0, Buffer.byteLength(response)).equals(Buffer.from(response)), seen!.path).toBe(
      true,
    );
    expect(got['content-type']).toBe(type);
  }
});

it('a long file passes as it is, held by its length, and what is longer than the API takes is refused', async () => {
  const { teamId, key } = await stack.team({ grantUsd: '1.00' });
  const type = `multipart/form-data; boundary=${BOUNDARY}`;
  const headers = ['authorization', `Bearer ${key}`, 'content-type', type];
  const path = '/v1/audio/transcriptions';
  const seen = () => seenOn('/audio/transcriptions');
  recorder.answer = { status: 200, headers: ['content-type', 'text/plain'], body: 'x' };
  recorder.seen.length = 0;
  // The longest that the API takes: 52 minutes at this rate.
  const body = longForm(25_000_000);
  expect((await send(stack.app.url, { path, headers, body })).status).toBe(200);
  expect(seen()[0]!.body.equals(body)).toBe(true);
  const chunked = await send(stack.app.url, { path, headers, body, chunked: true });
  expect([chunked.status, seen()[1]!.body.equals(body)]).toEqual([200, true]);
  const refused = await send(stack.app.url, { path, headers, body: longForm(28_000_000) });
  expect([refused.status, seen().length]).toEqual([413, 2]);
  await stack.settled();
  const events = await readEvents(stack, teamId);
  // 25,000,000 bytes are 3,125 seconds at $0.006 a minute; a second more is held.
  expect(events.map(({ cost_usd, hold_usd }) => [cost_usd, hold_usd])).toEqual([
    ...[
      ['0.3125', '0.3126'],
      ['0.3125', '0.3126'],
    ],
  ]);
});

/**
 * Requests as no client should send them: those of the API's published examples and schemas, changed in every way. A case is
 * its seed.
 */
import { gzipSync } from 'node:zlib';
import { Random } from '../support/random.ts';
import corpus from './corpus.json' with { type: 'json' };

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** One request; its headers come after the key's. */
export interface FuzzRequest {
  method: string;
  path: string;
  headers: [string, string][];
  body: Buffer | null;
  chunked: boolean;
  /** Without the key, or with another one. */
  authorization: 'key' | 'none' | 'wrong' | 'twice';
}

interface Example {
  method: string;
  path: string;
  body: Json;
}

const EXAMPLES = corpus.examples as Example[];
const FIELDS = corpus.fields as Record<string, Record<string, Json[]>>;
const SERVED = EXAMPLES.filter(({ path }) => path in FIELDS);
const PATHS = corpus.paths.map((line) => line.split(' ') as [string, string]);
const MODELS: Record<string, string[]> = {
  '/chat/completions': ['gpt-4o-mini', 'gpt-5-mini', 'gpt-5', 'o3-mini'],
  '/responses': ['gpt-5-mini', 'gpt-4o-mini', 'gpt-5'],
  '/completions': ['gpt-3.5-turbo-instruct'],
  '/embeddings': ['text-embedding-3-small', 'text-embedding-3-large'],
  '/moderations': ['omni-moderation-latest', 'made-up-model'],
};
const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'];
/** Of so many requests one has a body of megabytes. */
const LARGE_EVERY = 1000;
const LARGE_BYTES_MAX = 19_000_000;

/** Returns the request of a seed. */
export function requestOf(seed: number): FuzzRequest {
  const random = new Random(seed * 0x9e3779b1);
  const example = exampleOf(random);
  const isLarge = random.between(1, LARGE_EVERY) === 1;
  let { method, path, body } = structuredClone(example);
  body = withModel(random, path, body);
  const changes = random.pick([0, 1, 1, 1, 2, 3, 6]);
  for (let change = 0; change < changes; change++) body = changed(random, path, body);
  let bytes: Buffer | null = isLarge
    ? largeBody(random, body)
    : broken(random, Buffer.from(JSON.stringify(body)));
  const headers = headersOf(random);
  if (!isLarge && random.chance(0.03)) {
    headers.push([
      'content-encoding',
      random.pick(['gzip', 'gzip', 'br', 'zstd', 'identity', 'gzip, gzip', 'x']),
    ]);
    if (random.chance(0.7)) bytes = gzipSync(bytes);
  }
  if (random.chance(0.05)) method = random.pick(METHODS);
  path = `/v1${path}`;
  if (random.chance(0.1)) path = changedPath(random, path);
  // No call: its server reads no body, and may close while one comes.
  if (isLarge && path.startsWith('/v1/tollgate/')) path = '/v1/responses';
  if (method === 'GET' && random.chance(0.9)) bytes = null;
  const authorization = random.chance(0.95) ? 'key' : random.pick(['none', 'wrong', 'twice'] as const);
  return { method, path, headers, body: bytes, chunked: random.chance(0.1), authorization };
}

/** Mostly of operations that the gateway serves. */
function exampleOf(random: Random): Example {
  const kind = random.fraction();
  if (kind < 0.85) return random.pick(SERVED);
  return kind < 0.93 ? random.pick(EXAMPLES) : unknownExample(random);
}

function unknownExample(random: Random): Example {
  const [method, path] = random.pick(PATHS);
  return {
    method,
    path: path.replaceAll(/\{[^}]*\}/g, () => random.pick(['abc-1', 'gpt-4o-mini', '0', 'é'])),
    body: {},
  };
}

function withModel(random: Random, path: string, body: Json): Json {
  const models = MODELS[path];
  if (models === undefined || !isObject(body) || random.chance(0.05)) return body;
  const fields: Record<string, Json> = { ...body, model: random.pick(models) };
  // Answers of a few tokens, as a rule.
  if (path === '/chat/completions' && random.chance(0.9)) fields.max_tokens = random.between(1, 30);
  if (path === '/responses' && random.chance(0.9)) fields.max_output_tokens = random.between(16, 40);
  if (path === '/completions' && random.chance(0.9)) fields.max_tokens = random.between(1, 30);
  return fields;
}

function isObject(value: Json): value is { [name: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Returns the body with one change at a place of chance. */
function changed(random: Random, path: string, body: Json): Json {
  const fields = FIELDS[path];
  if (isObject(body) && fields !== undefined && random.chance(0.5)) {
    const name = random.pick(Object.keys(fields));
    const samples = fields[name] ?? [];
    const value = random.chance(0.7) && samples.length > 0 ? random.pick(samples) : anyValue(random);
    return { ...body, [random.chance(0.93) ? name : anyName(random, name)]: structuredClone(value) };
  }
  return changedWithin(random, body, random.between(0, 4));
}

function changedWithin(random: Random, value: Json, depth: number): Json {
  if (Array.isArray(value) && value.length > 0 && depth > 0) {
    const index = random.between(0, value.length - 1);
    return value.map((item, at) => (at === index ? changedWithin(random, item, depth - 1) : item));
  }
  if (!isObject(value) || Object.keys(value).length === 0 || depth === 0) return anyValue(random);
  const name = random.pick(Object.keys(value));
  const { [name]: old, ...rest } = value;
  switch (random.between(0, 4)) {
    case 0:
      return rest;
    case 1:
      return { ...rest, [anyName(random, name)]: old ?? null };
    default:
      return { ...value, [name]: changedWithin(random, old ?? null, depth - 1) };
  }
}

function anyName(random: Random, name: string): string {
  return random.pick([
    name.toUpperCase(),
    name.charAt(0).toUpperCase() + name.slice(1),
    name.replace('s', 'ſ').replace('k', '\u212a'),
    `${name} `,
    `${name}\0`,
    '__proto__',
    'constructor',
    '',
    'é',
    '\ud800',
    'x'.repeat(random.between(1, 5000)),
  ]);
}

function anyValue(random: Random): Json {
  switch (random.between(0, 9)) {
    case 0:
      return random.pick([null, true, false]);
    case 1:
      return random.pick([0, -1, 1, 1.5, 2 ** 31, 2 ** 53, 1e308, -1e-300, 128, 16]);
    case 2:
      return random.pick([
        '',
        'text',
        '\0',
        '\ud800',
        'é中🙂',
        'data:image/png;base64,QUJD',
        'https://example.com/a.png',
        '1',
        'auto',
      ]);
    case 3:
      return 'a "quoted" {text}, '.repeat(random.between(1, 2000));
    case 4:
      return Array.from({ length: random.between(0, 300) }, () => random.pick([1, 'a', null, [], {}]));
    case 5:
      return Object.fromEntries(
        Array.from({ length: random.between(0, 300) }, (_, index) => [`n${index}`, index]),
      );
    case 6:
      return nested(random, random.between(1, 400));
    case 7:
      return [
        {
          type: random.pick(['text', 'input_text', 'image_url', 'input_image', 'file', 'input_audio', 'x']),
          text: 'a',
          image_url: 'data:x',
        },
      ];
    case 8:
      return [{ role: random.pick(['user', 'system', 'tool', 'x']), content: anyValue(random) }];
    default:
      return {
        type: random.pick(['function', 'web_search', 'mcp', 'json_schema', 'auto']),
        name: 'f',
        parameters: { type: 'object' },
      };
  }
}

function nested(random: Random, depth: number): Json {
  let value: Json = 1;
  for (let level = 0; level < depth; level++) value = random.chance(0.5) ? [value] : { a: value };
  return value;
}

/** Returns the text with what no serialiser writes. */
function broken(random: Random, bytes: Buffer): Buffer {
  if (random.chance(0.85)) return bytes;
  const text = bytes.toString();
  const at = random.between(0, bytes.length);
  switch (random.between(0, 9)) {
    case 0:
      return bytes.subarray(0, at);
    case 1: {
      const flipped = Buffer.from(bytes);
      for (let flip = 0; flip < 3 && flipped.length > 0; flip++) {
        flipped[random.between(0, flipped.length - 1)] = random.between(0, 255);
      }
      return flipped;
    }
    case 2:
      return Buffer.from(text, 'utf16le');
    case 3:
      return Buffer.from(`\ufeff${text}`);
    case 4:
      return Buffer.concat([bytes, bytes]);
    case 5:
      return Buffer.from(text.replace('{', '{"model":"gpt-5","model":"gpt-4o-mini","max_tokens":1e999,'));
    case 6:
      return Buffer.from(text.replaceAll('"m', '"\\u006d'));
    case 7:
      return Buffer.from(text.replaceAll(',', ` \n\t${' '.repeat(random.between(0, 5000))},`));
    case 8:
      return Buffer.from(
        text.replace(/\d+/, () => random.pick(['NaN', '-0', '1e5', '0123', '9'.repeat(400), '1.'])),
      );
    default:
      return Buffer.from(random.pick(['', ' ', '[]', 'null', '"', '{', '{"a"', '//', 'a=1&b=2']));
  }
}

/** A body of megabytes, of many or few values. */
function largeBody(random: Random, body: Json): Buffer {
  const bytes = random.between(200_000, LARGE_BYTES_MAX);
  const fill = random.pick([
    'a',
    'QUJD',
    '\\"',
    '\\\\',
    'é',
    '{},',
    '[],',
    '{"a":1},',
    '"s",',
    '1,',
    '0.123456789,',
    ' ',
    '[',
    '"k":1,',
  ]);
  const many = fill.repeat(Math.ceil(bytes / Buffer.byteLength(fill)));
  const inside = /^["\d{[ ]/.test(fill)
    ? fill.startsWith('"k"')
      ? `{${many}"z":1}`
      : `[${many}1]`
    : `"${many}"`;
  const rest = JSON.stringify(isObject(body) ? body : {}).slice(1);
  return Buffer.from(
    `{"${random.pick(['x', 'input', 'metadata', 'prompt'])}":${inside}${rest === '}' ? '' : ','}${rest}`,
  );
}

function headersOf(random: Random): [string, string][] {
  const headers: [string, string][] = [];
  if (random.chance(0.9))
    headers.push([
      'content-type',
      random.pick(['application/json', 'application/json', 'text/plain', 'application/json; charset=utf-16']),
    ]);
  if (random.chance(0.8)) return headers;
  for (let count = random.between(1, 4); count > 0; count--) {
    headers.push(
      random.pick<[string, string]>([
        ['x-tollgate-user', 'é'.normalize('NFC').slice(0, 1)],
        ['x-tollgate-user', 'u'.repeat(random.between(1, 2000))],
        ['connection', random.pick(['close', 'keep-alive, x-a', 'authorization'])],
        ['x-http-method-override', 'DELETE'],
        ['accept-encoding', 'gzip'],
        ['x-stainless-retry-count', random.pick(['0', '1', 'x'])],
        ['openai-organization', 'org-1'],
        ['cookie', 'a=b'],
        ['expect', '100-continue'],
        ['range', 'bytes=0-1'],
        ['origin', 'https://example.com'],
        ['te', 'trailers'],
        ['x-long', 'x'.repeat(random.between(1, 12_000))],
        ['x-forwarded-for', '1.2.3.4'],
      ]),
    );
  }
  return headers;
}

function changedPath(random: Random, path: string): string {
  return random.pick([
    `${path}/`,
    path.replace('/v1', ''),
    path.replace('/v1', '/v1/v1'),
    path.replace('/v1', '//v1'),
    path.toUpperCase(),
    `${path}?stream=true&x=%00`,
    `${path}?${'q=1&'.repeat(random.between(1, 2000))}`,
    path.replace('c', '%63'),
    `${path}/../models`,
    `/v1/models/${'m'.repeat(random.between(1, 250))}`,
    `/v1/models/made-up-${random.between(1, 1e9)}`,
    path.replace('/v1', '/openai/deployments/gpt-4o-mini'),
    `/v1/${'a/'.repeat(random.between(1, 500))}`,
    '/v1/tollgate/balance',
  ]);
}

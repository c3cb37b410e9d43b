/** Requests and responses as a careless or hostile peer might send them: mostly valid, with one thing wrong now and then. */
import type { Random } from '../../support/random.ts';

/** One thing or another, the first far more often. */
function usually<T>(random: Random, usual: T, others: readonly T[], chance = 0.06): T {
  return random.chance(chance) ? random.pick(others) : usual;
}

const BODIES = [
  '',
  'x',
  '{"a":1}',
  'POST /v1/z HTTP/1.1\r\nhost: a\r\n\r\n',
  '0\r\n\r\n',
  'HTTP/1.1 200 OK\r\n\r\n',
];

function bodyOf(random: Random): string {
  return random.chance(0.01) ? 'y'.repeat(random.between(1, 9000)) : random.pick(BODIES);
}

const ODD_HEADERS = [
  'x-a: 1',
  'X-A: 2',
  'x-empty:',
  'x-spaces:   a  b  \t',
  'x-high: \xe9\xff',
  'cookie: a=b',
  'authorization: Bearer tg-x',
  'te: trailers',
  'accept: */*',
  'content-type: application/json',
  '__proto__: x',
  'constructor: x',
  `x-long: ${'l'.repeat(300)}`,
];

const BAD_HEADERS = [
  'x a: b',
  'x\t: b',
  ' x: folded',
  '\tfolded too',
  ': nameless',
  'no colon',
  'x: a\0b',
  'x: a\x01b',
  'x: a\rb',
  'x: a\nb: c',
  'x:a\x7f',
  'h\xe9: x',
  'x: y\r\n\tz',
  'content-length : 3',
  'transfer-encoding : chunked',
  `x: ${'l'.repeat(17_000)}`,
];

const CONNECTION = [
  'close',
  'keep-alive',
  'Close',
  'x',
  'close, x',
  'keep-alive, close',
  'upgrade',
  ' close',
  '',
];
const CODINGS = [
  'Chunked',
  'chunked ',
  'gzip, chunked',
  'chunked, chunked',
  'chunked, gzip',
  'gzip',
  'identity',
  'xchunked',
  'chunkedx',
  ',chunked',
  'chunked,',
  '',
  '"chunked"',
  'chunk\x0bed',
];

/** A body in chunks, perhaps with something wrong. */
function chunksOf(random: Random, body: string): string {
  let text = '';
  let rest = body;
  while (rest !== '') {
    const length = random.between(1, Math.min(rest.length, 4000));
    const size = usually(random, length.toString(16), [
      length.toString(16).toUpperCase(),
      `000${length.toString(16)}`,
      `${length.toString(16)};a`,
      `${length.toString(16)};a="b;c"`,
      `${length.toString(16)} `,
      `${length.toString(16)} ;a=b`,
      ` ${length.toString(16)}`,
      `0x${length.toString(16)}`,
      `-${length.toString(16)}`,
      `+${length.toString(16)}`,
      (length + 1).toString(16),
      'fffffffffffffffff',
      '8000000000000000',
      '',
      'g',
    ]);
    const ends = () => usually(random, '\r\n', ['\n', '', '\r', '\r\r\n', ' \r\n'], 0.02);
    text += `${size}${ends()}${rest.slice(0, length)}${ends()}`;
    rest = rest.slice(length);
  }
  return `${text}${usually(random, '0\r\n\r\n', [
    '0\r\n',
    '00\r\n\r\n',
    '0;x\r\n\r\n',
    '0\r\nx-trailer: 1\r\n\r\n',
    '0\r\nhost: b\r\ncontent-length: 5\r\n\r\n',
    '0\r\nbad trailer\r\n\r\n',
    '0\n\n',
    '0\r\n\n',
    '',
  ])}`;
}

/** Headers and body of a message, which agree nearly always. */
function framed(random: Random, body: string, headers: string[]): string {
  const length = () =>
    usually(random, `content-length: ${body.length}`, [
      `content-length: ${body.length + 1}`,
      `content-length: ${Math.max(body.length - 1, 0)}`,
      `content-length: 0${body.length}`,
      `content-length: +${body.length}`,
      `content-length: -${body.length}`,
      `content-length: 0x${body.length}`,
      `content-length: ${body.length}, ${body.length}`,
      `content-length: ${body.length} ${body.length}`,
      `content-length:${body.length} `,
      `content-length:\t${body.length}`,
      `CONTENT-LENGTH: ${body.length}`,
      'content-length:',
      'content-length: 99999999999999999999',
      `content-length: ${body.length}.0`,
    ]);
  let payload = body;
  const kind = random.between(0, 99);
  if (kind < 35) headers.push(length());
  else if (kind < 70) {
    headers.push(`transfer-encoding: ${usually(random, 'chunked', CODINGS)}`);
    payload = chunksOf(random, body);
  } else if (kind < 72) headers.push(length(), length());
  else if (kind < 74) {
    headers.push(length(), 'transfer-encoding: chunked');
    payload = chunksOf(random, body);
  } else if (kind < 76) {
    headers.push('transfer-encoding: chunked', length());
    payload = chunksOf(random, body);
  } else if (kind < 78) {
    headers.push('transfer-encoding: chunked', `transfer-encoding: ${random.pick(CODINGS)}`);
    payload = chunksOf(random, body);
  } else payload = random.chance(0.05) ? body : '';
  if (random.chance(0.1)) headers.push(`connection: ${random.pick(CONNECTION)}`);
  while (random.chance(0.3)) headers.push(random.pick(ODD_HEADERS));
  if (random.chance(0.04)) headers.push(random.pick(BAD_HEADERS));
  if (random.chance(0.01))
    headers.push(...Array.from({ length: random.between(90, 130) }, () => 'x-many: 1'));
  if (random.chance(0.3)) headers.sort(() => random.fraction() - 0.5);
  const lineEnd = () => usually(random, '\r\n', ['\n', '\r', '\r\r\n', ' \r\n'], 0.003);
  return `${headers.map((line) => line + lineEnd()).join('')}${lineEnd()}${payload}`;
}

const TARGETS = [
  '/v1/y?a=b#c',
  '/other',
  '/other',
  '/v1/tail ',
  '*',
  'http://a/v1/x',
  '/v1/%00',
  '/v1/\xe9',
  '/v1/a b',
  '/v1/\0',
  '',
  '//v1/x',
];

export function requestOf(random: Random): string {
  const method = usually(random, random.pick(['POST', 'POST', 'GET', 'DELETE', 'PUT', 'HEAD']), [
    'post',
    'FOO',
    'PRI',
    'M-SEARCH',
    'CONNECT',
    'OPTIONS',
    'POST ',
    ' POST',
    '\r\nPOST',
    '\nPOST',
    '',
  ]);
  const target = usually(random, '/v1/x', TARGETS, 0.15);
  const version = usually(random, 'HTTP/1.1', [
    'HTTP/1.0',
    'HTTP/1.0',
    'HTTP/0.9',
    'HTTP/2.0',
    'HTTP/1.2',
    'HTTP/1.10',
    'http/1.1',
    'HTTP/1.1 ',
    'HTTP/1,1',
    'RTSP/1.0',
    '',
  ]);
  const headers = random.chance(0.03) ? [] : ['host: a'];
  if (random.chance(0.02)) headers.push(random.pick(['host: b', 'Host: a', 'host:']));
  if (random.chance(0.02)) headers.push(random.pick(['expect: 100-continue', 'expect: x', 'Expect:']));
  if (random.chance(0.02)) headers.push('upgrade: x', `connection: ${random.pick(['upgrade', 'x'])}`);
  if (random.chance(0.02)) headers.push('trailer: x-trailer');
  const end = usually(random, '\r\n', ['\n', '\r', ''], 0.005);
  return `${method} ${target} ${version}${end}${framed(random, bodyOf(random), headers)}`;
}

export function responseOf(random: Random): string {
  const early = () =>
    random.chance(0.06)
      ? `HTTP/1.1 ${random.pick(['103 Early Hints', '102 Processing', '100 Continue', '101 Switching', '199 X'])}\r\n${
          random.chance(0.5) ? 'link: x\r\n' : ''
        }${random.chance(0.1) ? 'upgrade: x\r\nconnection: upgrade\r\n' : ''}\r\n`
      : '';
  const version = usually(random, 'HTTP/1.1', [
    'HTTP/1.0',
    'HTTP/2.0',
    'HTTP/1.2',
    'http/1.1',
    'HTTP/11',
    'X/1.1',
  ]);
  const status = usually(
    random,
    '200 OK',
    [
      '204 No Content',
      '304 Not Modified',
      '200',
      '200 ',
      '404 Not\tFound',
      '429 \xe9',
      '999 X',
      '99 X',
      '0200 OK',
      '20x OK',
      '-200 OK',
      '600 Large',
      '',
    ],
    0.2,
  );
  const headers: string[] = [];
  if (random.chance(0.1))
    headers.push(
      `keep-alive: ${random.pick(['timeout=5', 'timeout=1', 'timeout=0', 'x', 'timeout=5, max=3'])}`,
    );
  if (random.chance(0.02)) headers.push('upgrade: x', 'connection: upgrade');
  const stray = random.chance(0.04)
    ? random.pick(['x', '\r\n', 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'])
    : '';
  return `${early()}${early()}${version} ${status}\r\n${framed(random, bodyOf(random), headers)}${stray}`;
}

/** Changes a few bytes. */
export function mutate(random: Random, text: string): string {
  let changed = text;
  for (let times = random.between(1, 3); times > 0 && changed !== ''; times--) {
    const at = random.between(0, changed.length - 1);
    const before = changed.slice(0, at);
    const after = changed.slice(at);
    switch (random.between(0, 3)) {
      case 0:
        changed = before + String.fromCharCode(random.between(0, 255)) + after.slice(1);
        break;
      case 1:
        changed = before + after.slice(random.between(1, 4));
        break;
      case 2:
        changed =
          before + random.pick(['\r', '\n', '\r\n', ' ', '\t', ':', '\0', ',', ';', '0', 'a']) + after;
        break;
      default: {
        const again = random.between(0, changed.length - 1);
        changed = before + changed.slice(again, again + random.between(1, 30)) + after;
      }
    }
  }
  return changed;
}

/** Cuts a text into pieces. */
export function cut(random: Random, text: string): string[] {
  const pieces: string[] = [];
  let rest = text;
  for (let cuts = random.pick([0, 0, 0, 1, 2, 5]); cuts > 0 && rest.length > 1; cuts--) {
    const at = random.between(1, rest.length - 1);
    pieces.push(rest.slice(0, at));
    rest = rest.slice(at);
  }
  if (rest !== '') pieces.push(rest);
  return pieces;
}

import { describe, expect, it } from 'vitest';
import { clientKey } from '../../src/auth/keys.ts';
import { clientHeaders, upstreamHeaders } from '../../src/openai/response.ts';

const options = { apiKey: 'sk-upstream', eventId: 'event-1' };
const ours = [
  'authorization',
  'Bearer sk-upstream',
  'accept-encoding',
  'identity',
  'x-client-request-id',
  'event-1',
];

describe('upstreamHeaders', () => {
  it('passes on headers about the request', () => {
    const incoming = ['Accept', 'application/json', 'OpenAI-Beta', 'x=1', 'X-Stainless-Lang', 'js'];
    expect(upstreamHeaders(incoming, options)).toEqual([
      'accept',
      'application/json',
      'openai-beta',
      'x=1',
      'x-stainless-lang',
      'js',
      ...ours,
    ]);
  });

  it('makes a key of idempotency one of the team’s own', () => {
    const keyOf = (teamId: string, key: string) =>
      upstreamHeaders(['Idempotency-Key', key], { ...options, teamId })[1];
    expect(keyOf('one', 'a')).toBe(keyOf('one', 'a'));
    expect(new Set([keyOf('one', 'a'), keyOf('two', 'a'), keyOf('one', 'b'), 'a']).size).toBe(4);
  });

  it.each([
    ...['Host', 'Connection', 'Keep-Alive', 'TE', 'Trailer', 'Transfer-Encoding', 'Upgrade', 'Expect', 'Via'],
    ...[
      'Authorization',
      'X-Tollgate-Tags',
      'Cookie',
      'OpenAI-Organization',
      'OpenAI-Project',
      'Content-Length',
      'Content-Encoding',
    ],
    ...[
      'Proxy-Authorization',
      'Proxy-Connection',
      'Forwarded',
      'X-Forwarded-For',
      'X-Forwarded-Host',
      'X-Real-IP',
    ],
    ...['Accept-Encoding', 'X-Client-Request-Id', 'X-Tollgate-Debug'],
    ...[
      'X-HTTP-Method-Override',
      'X-Original-URL',
      'X-Rewrite-URL',
      'Api-Key',
      'X-Api-Key',
      'X-Goog-Api-Key',
    ],
    ...['X-Stainless', 'X-Anything-New', 'OpenAI-Anything-New'],
  ])('keeps %s from the upstream', (name) => {
    expect(upstreamHeaders([name, 'close'], options)).toEqual(ours);
  });

  it('drops what a Connection header names, but none of Tollgate’s own', () => {
    const incoming = ['Version', '1', 'connection', 'close, Version, Authorization, accept-encoding'];
    expect(upstreamHeaders([...incoming, 'accept', '*/*'], options)).toEqual(['accept', '*/*', ...ours]);
  });

  it('declares the body as what it was read as', () => {
    const incoming = ['Content-Type', 'application/json; charset=utf-16'];
    expect(upstreamHeaders(incoming, options)).toEqual(['content-type', 'application/json', ...ours]);
  });
});

describe('clientHeaders', () => {
  it('passes on the upstream’s headers, every value of them', () => {
    const upstream = { 'content-type': 'text/event-stream', 'x-request-id': 'req_1', vary: ['a', 'b'] };
    expect(clientHeaders(upstream)).toEqual([
      ...['content-type', 'text/event-stream', 'x-request-id', 'req_1'],
      ...['vary', 'a', 'vary', 'b'],
    ]);
  });

  it('drops connection headers, cookies, the length, and Tollgate’s own names', () => {
    const upstream = {
      connection: 'keep-alive, x-hop',
      'keep-alive': 'timeout=5',
      'transfer-encoding': 'chunked',
      'x-hop': '1',
      'set-cookie': ['a=1', 'b=2'],
      'content-length': '12',
      'x-tollgate-cost-usd': '0.00',
    };
    expect(clientHeaders(upstream)).toEqual([]);
  });
});

describe('clientKey', () => {
  it('reads the key whatever the case of header and scheme', () => {
    expect(clientKey(['Accept', '*/*', 'AUTHORIZATION', 'bearer  tg-1 '])).toBe('tg-1');
  });

  it.each([
    [[]],
    [['authorization', 'Basic dXNlcg==']],
    [['authorization', 'Bearer ']],
    [['authorization', '']],
  ])('finds none in %j', (incoming: string[]) => {
    expect(clientKey(incoming)).toBeNull();
  });

  it('returns an error for two keys, even equal ones', () => {
    const incoming = ['Authorization', 'Bearer tg-1', 'authorization', 'Bearer tg-1'];
    expect(clientKey(incoming)).toMatchObject({ code: 'invalid_api_key' });
  });
});

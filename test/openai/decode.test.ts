import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { decodeBody } from '../../src/openai/wire/decode.ts';

const body = Buffer.from('{"usage":{"prompt_tokens":1}}');

describe('decodeBody', () => {
  it.each([
    ['gzip', gzipSync(body)],
    ['X-GZIP', gzipSync(body)],
    ['deflate', deflateSync(body)],
    ['br', brotliCompressSync(body)],
    ['zstd', zstdCompressSync(body)],
    ['deflate, gzip', gzipSync(deflateSync(body))],
    ['identity', body],
  ])('decodes %s', async (encoding, encoded) => {
    expect(await decodeBody(encoding, encoded)).toEqual(body);
  });

  it('returns an unencoded body unchanged', async () => {
    expect(await decodeBody(null, body)).toBe(body);
  });

  it('returns nothing for unknown encodings, damage and truncated bodies', async () => {
    expect(await decodeBody('compress', body)).toBeNull();
    expect(await decodeBody('gzip', body)).toBeNull();
    expect(await decodeBody('gzip', gzipSync(body).subarray(0, 20))).toBeNull();
  });

  it('returns nothing for a few kilobytes that unpack beyond its bound', async () => {
    const bomb = zstdCompressSync(Buffer.alloc(65 * 1024 * 1024));
    expect(bomb.length).toBeLessThan(10_000);
    expect(await decodeBody('zstd', bomb)).toBeNull();
  });
});

import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { decodeBody } from '../../src/openai/usage/decode.ts';

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

  it('hands on what is not encoded', async () => {
    expect(await decodeBody(null, body)).toBe(body);
  });

  it('gives up on unknown encodings, damage and cut answers', async () => {
    expect(await decodeBody('compress', body)).toBeNull();
    expect(await decodeBody('gzip', body)).toBeNull();
    expect(await decodeBody('gzip', gzipSync(body).subarray(0, 20))).toBeNull();
  });

  it('gives up on a few kilobytes that unpack to more than it keeps', async () => {
    const bomb = zstdCompressSync(Buffer.alloc(65 * 1024 * 1024));
    expect(bomb.length).toBeLessThan(10_000);
    expect(await decodeBody('zstd', bomb)).toBeNull();
  });
});

import { promisify } from 'node:util';
import { brotliDecompress, gunzip, inflate, zstdDecompress } from 'node:zlib';

/** A decoded answer larger than this is not metered: a few kilobytes can unpack to gigabytes. */
const MAX_DECODED_BYTES = 64 * 1024 * 1024;

type Decoder = (body: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>;

const DECODERS = new Map<string, Decoder>([
  ['gzip', promisify(gunzip)],
  ['x-gzip', promisify(gunzip)],
  ['deflate', promisify(inflate)],
  ['br', promisify(brotliDecompress)],
  ['zstd', promisify(zstdDecompress)],
]);

/**
 * Decodes a copy of an answer for metering, whatever the upstream made of `accept-encoding: identity`; the client gets
 * the bytes as they came. `contentEncoding` is the header's value, in the order the encodings were applied.
 * Returns null for an unknown encoding, damaged bytes, or more than 64 MiB.
 */
export async function decodeBody(contentEncoding: string | null, body: Buffer): Promise<Buffer | null> {
  const encodings = (contentEncoding ?? '').toLowerCase().split(',').reverse();
  let decoded = body;
  for (const encoding of encodings.map((name) => name.trim())) {
    if (encoding === '' || encoding === 'identity') continue;
    const decode = DECODERS.get(encoding);
    if (decode === undefined) return null;
    try {
      decoded = await decode(decoded, { maxOutputLength: MAX_DECODED_BYTES });
    } catch {
      return null;
    }
  }
  return decoded;
}

import { promisify } from 'node:util';
import { brotliDecompress, gunzip, inflate, inflateRaw, zstdDecompress } from 'node:zlib';

/** A decoded response larger than this is not metered: a few kilobytes can unpack to gigabytes. */
const MAX_METERED_BYTES = 64 * 1024 * 1024;
/** Two encodings on top of each other are rare, three of no use; each costs a pass over the body. */
const MAX_ENCODINGS = 2;

type Decoder = (body: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>;

const inflateAll = promisify(inflate);
const inflateRawAll = promisify(inflateRaw);

/** RFC 1950, 2.2; some clients send `deflate` without the format that its name means (RFC 9110, 8.4.1.2). */
function hasZlibHeader(body: Buffer): boolean {
  return body.length >= 2 && ((body[0] ?? 0) & 0x0f) === 8 && body.readUInt16BE(0) % 31 === 0;
}

const DECODERS = new Map<string, Decoder>([
  ['gzip', promisify(gunzip)],
  ['x-gzip', promisify(gunzip)],
  ['deflate', (body, options) => (hasZlibHeader(body) ? inflateAll : inflateRawAll)(body, options)],
  ['br', promisify(brotliDecompress)],
  ['zstd', promisify(zstdDecompress)],
]);

/**
 * Decodes a copy of a response for metering, whatever the upstream made of `accept-encoding: identity`; the client gets
 * the bytes as they came. `contentEncoding` is the header's value, in the order the encodings were applied.
 * Returns null for an unknown encoding, damaged bytes, or more than 64 MiB.
 */
export async function decodeBody(contentEncoding: string | null, body: Buffer): Promise<Buffer | null> {
  const decoded = await decode(contentEncoding ?? '', body, MAX_METERED_BYTES);
  return typeof decoded === 'string' ? null : decoded;
}

/**
 * Decodes a request's body; its work is done outside the event loop. Returns what is wrong: `unknown`, an encoding that
 * is not read (or more than two); `damaged`; `too_large`, more than `maxBytes` once decoded.
 */
export async function decode(
  contentEncoding: string,
  body: Buffer,
  maxBytes: number,
): Promise<Buffer | 'unknown' | 'damaged' | 'too_large'> {
  const names = contentEncoding.toLowerCase().split(',').reverse();
  const encodings = names.map((name) => name.trim()).filter((name) => name !== '' && name !== 'identity');
  if (encodings.length > MAX_ENCODINGS || !encodings.every((name) => DECODERS.has(name))) return 'unknown';
  let decoded = body;
  for (const encoding of encodings) {
    try {
      decoded = (await DECODERS.get(encoding)?.(decoded, { maxOutputLength: maxBytes })) ?? decoded;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE' ? 'too_large' : 'damaged';
    }
  }
  return decoded;
}

/** The request encodings that are read, for an `accept-encoding` header. */
export const REQUEST_ENCODINGS = 'gzip, deflate, br, zstd';

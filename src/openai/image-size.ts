/**
 * The size of an inline image, from the first bytes of its data URL. What the upstream's decoder sees must never be larger
 * than what is returned: so the text must be plain base64 that every decoder reads alike, and where a file states its size
 * more than once the largest counts. What is not understood has no size; then the family's maximum is held.
 */
import type { ImageSize } from '../domain/images.ts';

/** Base64 characters that are decoded at most: some cameras put a thumbnail and a colour profile before the size. */
const MAX_CHARACTERS = 512 * 1024;
/** No encoder writes more parts before the pixels. */
const MAX_PARTS = 4096;
const PREFIX = /^data:[a-z0-9.+/-]{1,100};base64,/i;
const PLAIN_BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

/** Returns the size of the image in a `data:` URL; null: it is no PNG, JPEG, GIF or WebP that is read here. */
export function imageSizeOf(url: string): ImageSize | null {
  const start = PREFIX.exec(url.slice(0, 120))?.[0].length;
  if (start === undefined) return null;
  const text = url.slice(start, start + MAX_CHARACTERS);
  if (!PLAIN_BASE64.test(text) || (text.endsWith('=') && start + text.length < url.length)) return null;
  return imageSizeIn(Buffer.from(text, 'base64'));
}

/** Returns the size of an image from its first bytes; null as above. */
export function imageSizeIn(bytes: Buffer): ImageSize | null {
  try {
    const size = sizeOf(bytes);
    return size !== null && size.width > 0 && size.height > 0 ? size : null;
  } catch (error) {
    // The header reaches beyond the bytes at hand.
    if (error instanceof RangeError) return null;
    throw error;
  }
}

function sizeOf(bytes: Buffer): ImageSize | null {
  const magic = bytes.toString('latin1', 0, 12);
  if (magic.startsWith('\x89PNG\r\n\x1a\n')) return pngSize(bytes);
  if (magic.startsWith('\xff\xd8')) return jpegSize(bytes);
  if (magic.startsWith('GIF87a') || magic.startsWith('GIF89a')) return gifSize(bytes);
  if (magic.startsWith('RIFF') && magic.endsWith('WEBP')) return webpSize(bytes);
  return null;
}

function larger(a: ImageSize | null, width: number, height: number): ImageSize {
  return { width: Math.max(a?.width ?? 0, width), height: Math.max(a?.height ?? 0, height) };
}

/** PNG (Third Edition), section 5: chunks of length, type, data and checksum; IHDR, which comes first, holds the size. */
function pngSize(bytes: Buffer): ImageSize | null {
  let size: ImageSize | null = null;
  let at = 8;
  for (let parts = 0; parts < MAX_PARTS; parts++) {
    const length = bytes.readUInt32BE(at);
    const type = bytes.toString('latin1', at + 4, at + 8);
    if (type === 'IDAT') return size;
    if (parts === 0 && type !== 'IHDR') return null;
    if (type === 'IHDR') size = larger(size, bytes.readUInt32BE(at + 8), bytes.readUInt32BE(at + 12));
    at += 12 + length;
  }
  return null;
}

/** Markers of JPEG (ITU-T T.81, annex B) that begin a frame, and so hold a size: SOF0 to SOF15 without DHT, JPG and DAC. */
const NO_FRAME = new Set([0xc4, 0xc8, 0xcc]);

function jpegSize(bytes: Buffer): ImageSize | null {
  let size: ImageSize | null = null;
  let at = 2;
  for (let parts = 0; parts < MAX_PARTS; parts++) {
    if (bytes.readUInt8(at) !== 0xff) return null;
    const marker = bytes.readUInt8(at + 1);
    if (marker === 0xff) {
      at += 1;
      continue;
    }
    if (marker === 0xda) return size;
    if (marker === 0x01 || (marker >= 0xd0 && marker <= 0xd9)) {
      at += 2;
      continue;
    }
    if (marker >= 0xc0 && marker <= 0xcf && !NO_FRAME.has(marker)) {
      size = larger(size, bytes.readUInt16BE(at + 7), bytes.readUInt16BE(at + 5));
    }
    at += 2 + bytes.readUInt16BE(at + 2);
  }
  return null;
}

/** GIF89a: the logical screen, and the first frame, which may reach beyond it. */
function gifSize(bytes: Buffer): ImageSize | null {
  const size = larger(null, bytes.readUInt16LE(6), bytes.readUInt16LE(8));
  const flags = bytes.readUInt8(10);
  let at = 13 + ((flags & 0x80) === 0 ? 0 : 3 << ((flags & 7) + 1));
  for (let parts = 0; parts < MAX_PARTS; parts++) {
    const block = bytes.readUInt8(at);
    if (block === 0x2c) {
      const right = bytes.readUInt16LE(at + 1) + bytes.readUInt16LE(at + 5);
      return larger(size, right, bytes.readUInt16LE(at + 3) + bytes.readUInt16LE(at + 7));
    }
    if (block !== 0x21) return null;
    at += 2;
    for (let length = bytes.readUInt8(at); length > 0; length = bytes.readUInt8(at)) at += 1 + length;
    at += 1;
  }
  return null;
}

/** WebP's container (RFC 9649): its first chunk holds the size, in a form of its own for each of the three kinds. */
function webpSize(bytes: Buffer): ImageSize | null {
  switch (bytes.toString('latin1', 12, 16)) {
    case 'VP8 ':
      if (bytes.readUIntBE(23, 3) !== 0x9d012a) return null;
      return { width: bytes.readUInt16LE(26) & 0x3fff, height: bytes.readUInt16LE(28) & 0x3fff };
    case 'VP8L': {
      if (bytes.readUInt8(20) !== 0x2f) return null;
      const packed = bytes.readUInt32LE(21);
      return { width: (packed & 0x3fff) + 1, height: ((packed >>> 14) & 0x3fff) + 1 };
    }
    case 'VP8X':
      return { width: bytes.readUIntLE(24, 3) + 1, height: bytes.readUIntLE(27, 3) + 1 };
    default:
      return null;
  }
}

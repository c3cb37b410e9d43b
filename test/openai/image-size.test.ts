import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { imageSizeOf } from '../../src/openai/image-size.ts';

const { images } = JSON.parse(readFileSync(new URL('../fixtures/images.json', import.meta.url), 'utf8')) as {
  images: { name: string; base64: string }[];
};
const bytesOf = (name: string) => Buffer.from(images.find((each) => each.name === name)!.base64, 'base64');
const urlOf = (bytes: Buffer) => `data:image/png;base64,${bytes.toString('base64')}`;
const SIZE = { width: 37, height: 21 };

/** A PNG chunk; its checksum is not looked at. */
function chunk(type: string, data: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32BE(data.length);
  head.write(type, 4, 'latin1');
  return Buffer.concat([head, data, Buffer.alloc(4)]);
}
const header = (width: number, height: number) => {
  const data = Buffer.alloc(13);
  data.writeUInt32BE(width);
  data.writeUInt32BE(height, 4);
  return chunk('IHDR', data);
};
const SIGNATURE = bytesOf('png').subarray(0, 8);
const png = (...chunks: Buffer[]) =>
  urlOf(Buffer.concat([SIGNATURE, ...chunks, chunk('IDAT', Buffer.alloc(9))]));

describe('imageSizeOf', () => {
  it.each(images)('reads a $name, whatever the URL calls it', ({ base64 }) => {
    expect(imageSizeOf(`data:image/x-anything;base64,${base64}`)).toEqual(SIZE);
  });

  it('finds the size behind what cameras and editors put before it', () => {
    const jpeg = bytesOf('jpeg');
    const segment = Buffer.alloc(60_000 + 2, 7);
    segment.writeUInt16BE(0xffe1);
    segment.writeUInt16BE(60_000, 2);
    const url = urlOf(Buffer.concat([jpeg.subarray(0, 2), segment, segment, jpeg.subarray(2)]));
    expect(imageSizeOf(url)).toEqual(SIZE);
    expect(imageSizeOf(png(header(5, 6), chunk('iCCP', Buffer.alloc(100_000))))).toEqual({
      width: 5,
      height: 6,
    });
  });

  it('takes the largest where a file states several, since decoders differ in which they take', () => {
    expect(imageSizeOf(png(header(5, 900), header(700, 6)))).toEqual({ width: 700, height: 900 });
    const gif = bytesOf('gif');
    const frame = Buffer.from(gif);
    frame.writeUInt16LE(1000, gif.indexOf(0x2c, 13) + 5);
    expect(imageSizeOf(urlOf(frame))).toEqual({ width: 1000, height: 21 });
  });

  it.each([
    ['a remote URL', 'https://example.com/a.png'],
    ['text that is not base64', 'data:image/png,abc'],
    ['characters that some decoders skip', urlOf(bytesOf('png')).replace('iVBO', 'iV-BO')],
    ['blanks in between', urlOf(bytesOf('png')).replace('iVBO', 'iV BO')],
    ['padding in between', urlOf(bytesOf('png')).replace('iVBO', 'iQ==iVBO')],
    ['nothing', 'data:image/png;base64,'],
    ['another kind of file', urlOf(Buffer.from('%PDF-1.4'))],
    ['a header that breaks off', urlOf(bytesOf('png').subarray(0, 20))],
    ['pixels that come before the header', png()],
    ['no pixels', urlOf(Buffer.concat([SIGNATURE, header(1, 1)]))],
    ['a width of nothing', png(header(0, 5))],
    [
      'more parts than any encoder writes',
      png(header(1, 1), ...Array(5000).fill(chunk('tEXt', Buffer.alloc(0)))),
    ],
  ])('returns nothing for %s', (_, url) => {
    expect(imageSizeOf(url)).toBeNull();
  });

  it('returns nothing, and throws nothing, wherever a file is cut', () => {
    for (const { name } of images) {
      const bytes = bytesOf(name);
      for (let length = 0; length < bytes.length; length++) {
        const size = imageSizeOf(urlOf(bytes.subarray(0, length)));
        expect([null, JSON.stringify(SIZE)]).toContain(size === null ? null : JSON.stringify(size));
      }
    }
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ApiError } from '../../src/domain/errors.ts';
import { type Form, readForm } from '../../src/openai/form.ts';

const TYPE = 'multipart/form-data; boundary=xyz';
const part = (head: string, value: string | Buffer) =>
  Buffer.concat([Buffer.from(`--xyz\r\n${head}\r\n\r\n`), Buffer.from(value), Buffer.from('\r\n')]);
const field = (name: string, value: string) => part(`Content-Disposition: form-data; name="${name}"`, value);
const file = (name: string, value: string | Buffer) =>
  part(`Content-Disposition: form-data; name="${name}"; filename="a.wav"\r\nContent-Type: audio/wav`, value);
const form = (...parts: Buffer[]) => Buffer.concat([...parts, Buffer.from('--xyz--\r\n')]);
const read = (body: Buffer, type = TYPE) => readForm(type, body);

describe('a form', () => {
  it('has its fields with their types, and its files, whatever bytes they are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.string({ unit: 'grapheme' }), (bytes, prompt) => {
        fc.pre(!Buffer.from(bytes).includes('--xyz') && !prompt.includes('--xyz'));
        const found = read(
          form(
            file('file', Buffer.from(bytes)),
            field('model', 'whisper-1'),
            field('prompt', prompt),
            field('n', '3'),
            field('stream', 'true'),
            field('include[]', 'logprobs'),
            field('include[]', 'words'),
          ),
        ) as Form;
        expect({ ...found.fields }).toEqual({
          model: 'whisper-1',
          prompt,
          n: 3,
          stream: true,
          include: ['logprobs', 'words'],
        });
        expect(found.files.map(({ name }) => name)).toEqual(['file']);
        expect(Buffer.from(bytes).equals(found.files[0]!.bytes)).toBe(true);
      }),
    );
  });

  it.each<[why: string, body: Buffer, type?: string]>([
    ['a model that stands twice', form(field('model', 'a'), field('model', 'b'))],
    ['a model in brackets', form(field('model[]', 'a'))],
    ['a delimiter within a file', form(file('file', 'a --xyz b'))],
    ['a delimiter after a bare line feed', form(file('file', 'a\n--xyz\nb'))],
    ['no end', form(field('model', 'a')).subarray(0, -6)],
    ['something behind its end', Buffer.concat([form(field('model', 'a')), Buffer.from('--xyz\r\n')])],
    ['something before its start', Buffer.concat([Buffer.from('x\r\n'), form(field('model', 'a'))])],
    [
      'an encoding',
      form(part('Content-Disposition: form-data; name="model"\r\nContent-Transfer-Encoding: base64', 'YQ==')),
    ],
    [
      'two dispositions',
      form(part('Content-Disposition: form-data; name="a"\r\nContent-Disposition: form-data; name="b"', 'x')),
    ],
    ['a name with an escape', form(part('Content-Disposition: form-data; name="mo\\"del"', 'x'))],
    ['a number that is none', form(field('n', '1e1'))],
    ['a boolean that is none', form(field('stream', '1'))],
    [
      'bytes that are no text',
      form(part('Content-Disposition: form-data; name="model"', Buffer.from([0xff]))),
    ],
    ['two boundaries', form(field('model', 'a')), `${TYPE}; boundary=abc`],
    ['no boundary', form(field('model', 'a')), 'multipart/form-data'],
    ['an empty body', Buffer.alloc(0)],
  ])('is refused for %s', (_, body, type = TYPE) => {
    expect(read(body, type)).toBeInstanceOf(ApiError);
  });

  it('is read or refused, and never throws, whatever it is', () => {
    const pieces = fc.constantFrom(
      '--xyz',
      '\r\n',
      '--',
      'content-disposition: form-data; name="a"',
      '\n',
      'x',
      '\r\n\r\n',
      '"',
    );
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 30 }), (all) => {
        const found = read(Buffer.from(all.join('')));
        expect(found instanceof ApiError || found.files.length >= 0).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });
});

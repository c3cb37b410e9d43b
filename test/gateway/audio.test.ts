import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { AudioThread, audioLength } from '../../src/gateway/audio.ts';
import { inlineSeconds } from '../../src/openai/inline-audio.ts';

const FOLDER = new URL('../fixtures/audio/', import.meta.url);
let thread: AudioThread;
beforeAll(() => {
  thread = new AudioThread();
});
afterAll(() => thread.close());

it.each(readdirSync(FOLDER))('%s is as long as it says, and its body comes back', async (name) => {
  const bytes = readFileSync(new URL(name, FOLDER));
  const body = Buffer.concat([Buffer.from('--head--'), bytes, Buffer.from('--tail--')]);
  const copy = Buffer.from(body);
  const measured = await thread.measure(body, body.subarray(8, 8 + bytes.length));
  expect(measured.audio.seconds).toBeGreaterThanOrEqual(1.7);
  expect(measured.audio.seconds).toBeLessThan(1.9);
  expect(measured.audio.secondsMost).toBe(3);
  expect(copy.equals(measured.body!)).toBe(true);
});

it('what is no audio counts as the thinnest sound, also cut and broken files', async () => {
  const wav = readFileSync(new URL('tone.wav', FOLDER));
  for (const bytes of [
    Buffer.alloc(0),
    Buffer.alloc(9000, 7),
    wav.subarray(0, 20),
    readFileSync(new URL(import.meta.url)),
  ]) {
    const { audio } = await thread.measure(bytes, bytes);
    expect(audio).toEqual({ seconds: null, secondsMost: Math.ceil(bytes.length / 750) + 1 });
  }
});

it('a file that says that it is shorter than its bytes can be is not believed', () => {
  expect(audioLength({ seconds: 1, rawBytesPerSecond: 0 }, 25_000_000)).toEqual({
    seconds: null,
    secondsMost: 33_335,
  });
  expect(audioLength({ seconds: 60, rawBytesPerSecond: 176_400 }, 10_584_044)).toEqual({
    seconds: 60,
    secondsMost: 61,
  });
});

it('files one after the other keep no memory, and a broken one ends no other', async () => {
  const body = Buffer.alloc(4 * 1024 * 1024, readFileSync(new URL('tone.mp3', FOLDER)));
  let held: Buffer = body;
  for (let round = 0; round < 5; round++) {
    const { body: back } = await thread.measure(held, held);
    held = back!;
  }
  expect(held.length).toBe(4 * 1024 * 1024);
});

it('inline audio is never shorter than its samples', () => {
  const wav = (bytesPerSample: number, hertz: number, samples: number) => {
    const bytes = Buffer.alloc(44 + bytesPerSample * samples);
    bytes.write('RIFF');
    bytes.write('WAVEfmt ', 8);
    bytes.writeUInt32LE(16, 16);
    bytes.writeUInt16LE(1, 20);
    bytes.writeUInt32LE(hertz, 24);
    bytes.writeUInt16LE(bytesPerSample, 32);
    bytes.write('data', 36);
    return bytes.toString('base64');
  };
  fc.assert(
    fc.property(
      fc.constantFrom(1, 2, 4),
      fc.integer({ min: 1000, max: 48_000 }),
      fc.nat(20_000),
      (size, hertz, samples) => {
        const seconds = inlineSeconds(wav(size, hertz, samples), 'wav')!;
        expect(seconds).toBeGreaterThanOrEqual(samples / hertz);
        expect(seconds).toBeLessThanOrEqual(samples / hertz + 0.05);
      },
    ),
  );
  const mp3 = readFileSync(new URL('tone.mp3', FOLDER)).toString('base64');
  expect(inlineSeconds(mp3, 'mp3')).toBeGreaterThanOrEqual(1.7);
  expect(inlineSeconds(mp3, 'mp3')).toBeLessThan(2);
  expect(inlineSeconds('%%%', 'mp3')).toBeNull();
  expect(inlineSeconds(mp3, 'flac')).toBeNull();
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2000 }), fc.constantFrom('mp3', 'wav'), (bytes, format) => {
      expect(inlineSeconds(Buffer.from(bytes).toString('base64'), format) ?? 1).toBeGreaterThanOrEqual(0);
    }),
  );
});

/** Audio and images: whatever a call uses within its bounds, by whichever of them its price is, costs no more than is held. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { estimate, smallestClaim } from '../../src/domain/estimate.ts';
import { madeImageTokens } from '../../src/domain/made-images.ts';
import { costOf, type RateCard } from '../../src/domain/price.ts';
import type { Quantities } from '../../src/domain/quantities.ts';
import { book, NOW, operation, seed } from './fixtures.ts';

const MEDIA = /image|audio|tts|whisper|transcribe|dall-e/;
const cards = [...new Set(seed.prices.map(({ model }) => model))]
  .filter((model) => MEDIA.test(model))
  .map((model) => book.find(model, NOW))
  .filter((card): card is RateCard => card !== null);

const share = fc.oneof(fc.constant(0), fc.constant(1), fc.double({ min: 0, max: 1, noNaN: true }));
const part = (whole: number, fraction: number) => Math.min(whole, Math.floor(whole * fraction));
const bounds = fc.record({
  input: fc.nat(300_000),
  output: fc.nat(100_000),
  choices: fc.integer({ min: 1, max: 10 }),
  kinds: fc.tuple(share, share, share, share),
  characters: fc.nat(4096),
  seconds: fc.nat(20_000),
  images: fc.integer({ min: 1, max: 10 }),
});

test('no usage of media within the bounds costs more than is held', () => {
  expect(cards.length).toBeGreaterThan(25);
  let compared = 0;
  fc.assert(
    fc.property(
      fc.constantFrom(...cards),
      bounds,
      fc.tuple(share, share, share, share),
      (card, most, used) => {
        const [inputAudio, inputImage, outputAudio, outputImage] = most.kinds;
        const outputs = most.output * most.choices;
        const otherBounds = {
          characters: most.characters,
          audio_seconds: most.seconds * 1_000_000,
          images: most.images,
          input_audio_tokens: part(most.input, inputAudio),
          input_image_tokens: part(most.input, inputImage),
          output_audio_tokens: part(outputs, outputAudio),
          output_image_tokens: part(outputs, outputImage),
        };
        const held = estimate(
          operation({
            model: card.model,
            inputTokensBound: most.input,
            outputTokensLimit: most.output,
            choices: most.choices,
            otherBounds,
            isBilledEither: true,
          }),
          card,
          { strict: true },
        );
        if ('code' in held) throw held;
        const input = part(most.input, used[0]);
        const output = part(outputs, used[1]);
        const audio = Math.min(part(otherBounds.input_audio_tokens, used[2]), input);
        const usages: Quantities[] = [
          { characters: part(most.characters, used[0]) },
          { audio_seconds: part(otherBounds.audio_seconds, used[1]) },
          { images: part(most.images, used[2]) },
          {
            input_tokens: input,
            input_audio_tokens: audio,
            input_image_tokens: Math.min(part(otherBounds.input_image_tokens, used[3]), input - audio),
            output_tokens: output,
            output_audio_tokens: Math.min(otherBounds.output_audio_tokens, output),
          },
          {
            input_tokens: input,
            output_tokens: output,
            output_image_tokens: Math.min(otherBounds.output_image_tokens, output),
          },
        ];
        for (const usage of usages) {
          const cost = card.tiers.default === undefined ? null : costOf(usage, card.tiers.default);
          if (cost === null) continue;
          compared++;
          expect(cost <= smallestClaim(held).cost, `${card.model} ${JSON.stringify(usage)}`).toBe(true);
        }
      },
    ),
    { numRuns: 3_000 },
  );
  expect(compared).toBeGreaterThan(5_000);
});

test('an image of any model, size and quality is held at no less than one of less', () => {
  const models = fc.constantFrom(
    'gpt-image-1',
    'gpt-image-1-mini',
    'gpt-image-1.5',
    'gpt-image-2',
    'gpt-image-2.5-flare',
  );
  const size = fc.constantFrom('1024x1024', '1536x1024', '1024x1536', '3840x2160', '16x16');
  fc.assert(
    fc.property(
      models,
      size,
      fc.constantFrom('low', 'medium', 'high', null),
      fc.nat(3),
      (model, shown, quality, partialImages) => {
        const tokens = madeImageTokens(model, { size: shown, quality, partialImages })!;
        const open = madeImageTokens(model, { size: null, quality: null, partialImages })!;
        const dearest = madeImageTokens(model, { size: shown, quality: 'high', partialImages })!;
        expect(tokens).toBeGreaterThan(0);
        expect(dearest).toBeGreaterThanOrEqual(tokens);
        if (shown !== '3840x2160' && shown !== '16x16') expect(open).toBeGreaterThanOrEqual(tokens);
      },
    ),
  );
  expect(madeImageTokens('gpt-image-2', { size: '9000x9000', quality: null, partialImages: 0 })).toBeNull();
  expect(madeImageTokens('gpt-image-2', { size: 'large', quality: null, partialImages: 0 })).toBeNull();
});

test('images of gpt-image-2 are held at what the calculator on OpenAI’s pages says, and at a quarter more', () => {
  const said = [
    ...([
      ['1024x1024', 'low', 196],
      ['1024x1024', 'medium', 1756],
      ['1024x1024', 'high', 7024],
    ] as const),
    ...([
      ['1536x1024', 'high', 5488],
      ['1792x1024', null, 5063],
      ['3584x2048', 'high', 12_329],
    ] as const),
  ] as const;
  const text = 1024;
  for (const [size, quality, tokens] of said)
    for (const model of ['gpt-image-2', 'gpt-image-2-2026-04-21']) {
      const held = madeImageTokens(model, { size, quality, partialImages: 0 });
      expect([size, quality, held]).toEqual([size, quality, Math.ceil(tokens * 1.25) + text]);
    }
  // Of every size the square one is the dearest: what is left open is held so.
  const open = madeImageTokens('gpt-image-2', { size: null, quality: null, partialImages: 0 })!;
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 240 }), fc.integer({ min: 1, max: 240 }), (columns, rows) => {
      const size = `${columns * 16}x${rows * 16}`;
      const held = madeImageTokens('gpt-image-2', { size, quality: null, partialImages: 0 });
      expect(held ?? 0).toBeLessThanOrEqual(open);
    }),
  );
});

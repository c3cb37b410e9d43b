import { describe, expect, it } from 'vitest';
import { type ImageDetail, type ImageRule, imageTokens } from '../../src/domain/images.ts';

const GPT6: ImageRule = {
  kind: 'patches',
  hundredths: 120,
  budget: { low: 2500, high: 2500, auto: null, original: null },
};
const GPT55: ImageRule = { ...GPT6, budget: { low: 2500, high: 2500, auto: 10_000, original: 10_000 } };
const MINI: ImageRule = {
  kind: 'patches',
  hundredths: 162,
  budget: { low: 1536, high: 1536, auto: 1536, original: 1536 },
};
const GPT4O: ImageRule = { kind: 'tiles', base: 85, tile: 170 };

const tokens = (rule: ImageRule, width: number, height: number, detail: ImageDetail = 'auto') =>
  imageTokens(rule, { size: { width, height }, detail });

describe('patches', () => {
  // The data set JOHNISKING/image-token-cost (Hugging Face, autumn 2026), measured on the API.
  it.each([
    [256, 256, 77, 77, 77],
    [512, 512, 308, 308, 308],
    [768, 768, 692, 692, 692],
    [1024, 1024, 1229, 1229, 1229],
    [1280, 720, 1104, 1104, 1104],
    [1920, 1080, 2448, 2448, 2448],
    [2560, 1440, 4320, 2931, 4320],
    [3840, 2160, 9792, 2931, 9792],
    [4032, 3024, 14_364, 2942, 11_868],
  ])('%i × %i: at least what was billed, and at most 3 %% more', (width, height, auto, high, older) => {
    const pairs = [
      [tokens(GPT6, width, height), auto],
      [tokens(GPT6, width, height, 'high'), high],
      [tokens(GPT55, width, height), older],
    ];
    for (const [held, billed] of pairs) {
      expect(held).toBeGreaterThanOrEqual(billed!);
      expect(held).toBeLessThanOrEqual(billed! * 1.03);
    }
  });

  it('a pixel costs a patch', () => {
    expect(tokens(MINI, 1, 1)).toBe(2);
  });

  it('an unknown size costs the whole budget; without a budget nothing bounds it', () => {
    expect(imageTokens(MINI, { size: null, detail: 'auto' })).toBe(2489);
    expect(imageTokens(GPT6, { size: null, detail: 'high' })).toBe(3000);
    expect(imageTokens(GPT6, { size: null, detail: 'auto' })).toBeNull();
  });
});

describe('tiles', () => {
  // The examples of OpenAI's guide to images and vision.
  it.each([
    [1024, 1024, 765],
    [2048, 4096, 1105],
    [512, 512, 255],
    [1, 1, 255],
    [513, 1, 425],
    [4096, 1, 765],
    [8000, 3000, 1445],
  ])('%i × %i costs %i', (width, height, expected) => {
    expect(tokens(GPT4O, width, height)).toBe(expected);
    expect(tokens(GPT4O, height, width, 'high')).toBe(expected);
    expect(tokens(GPT4O, width, height, 'low')).toBe(85);
  });

  it('an unknown size costs the most tiles that can be left', () => {
    expect(imageTokens(GPT4O, { size: null, detail: 'auto' })).toBe(1445);
  });
});

import { describe, expect, it } from 'vitest';
import {
  type ImageDetail,
  type ImageRule,
  imageTokens,
  pageTokens,
  unknownImagesTokens,
} from '../../src/domain/images.ts';
import { readImageRules } from '../../src/store/seed/read-seed.ts';

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

  it('an image of unknown size costs as much as the largest that the API takes', () => {
    const rule = readImageRules().get('gpt-5.6')!;
    expect(imageTokens(rule, { size: null, detail: 'auto' })).toBe(36_000);
    expect(tokens(rule, 8000, 8000, 'original')).toBe(36_000);
    expect(imageTokens(rule, { size: null, detail: 'high' })).toBe(3000);
    // A page is scaled down before it is read.
    expect(pageTokens(rule)).toBe(3000);
  });

  // Measured on the API in March 2026 (community.openai.com/t/1377015): the guide says less of gpt-5.4-mini.
  it.each([
    ['gpt-5.4', 2500 * 1.2],
    ['gpt-5.4-mini', 2500 * 1.2],
    ['nano', 2500 * 1.2],
    ['gpt-5.2', 1521 * 1.2],
  ])('%s: 1,600 × 1,600 pixels cost no less than was billed', (name, billed) => {
    const held = tokens(readImageRules().get(name)!, 1600, 1600, 'high');
    expect(held).toBeGreaterThanOrEqual(billed);
    expect(held).toBeLessThanOrEqual(billed * 1.3);
  });

  it('what models bill beyond what they read is bounded by their maximum input', () => {
    expect(unknownImagesTokens(readImageRules().get('gpt-5.4')!, 1_050_000, 500)).toBe(1_260_000);
    expect(unknownImagesTokens(MINI, 100_000_000, 500)).toBe(1_244_160);
    expect(unknownImagesTokens(GPT6, 922_000, 500)).toBe(0);
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

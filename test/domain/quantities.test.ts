import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  areQuantities,
  formatQuantity,
  isMeterName,
  METER_NAMES,
  METERS,
  quantitiesJson,
  quantityOf,
  wholeOf,
} from '../../src/domain/quantities.ts';

describe('the registry of meters', () => {
  test('names every whole and every bound among its meters, wholes before their parts', () => {
    METER_NAMES.forEach((meter, index) => {
      const { partOf, boundBy } = METERS[meter];
      expect(isMeterName(boundBy)).toBe(true);
      if (partOf !== null) expect(METER_NAMES.indexOf(partOf)).toBeLessThan(index);
    });
  });

  test('counts a part in the steps of its whole', () => {
    for (const meter of METER_NAMES) {
      const whole = wholeOf(meter);
      if (whole !== null) expect(METERS[meter].steps).toBe(METERS[whole].steps);
    }
  });

  test('has no attribute twice', () => {
    const attributes = METER_NAMES.flatMap((meter) => METERS[meter].attribute ?? []);
    expect(new Set(attributes).size).toBe(attributes.length);
  });
});

describe('quantities', () => {
  test.each([
    ['nothing', {}],
    ['text', { input_tokens: 10, cached_input_tokens: 6, cache_write_tokens: 4, output_tokens: 0 }],
    [
      'parts of parts',
      { input_tokens: 10, cached_input_tokens: 6, cached_audio_tokens: 6, input_audio_tokens: 4 },
    ],
    ['what is no token', { audio_seconds: 12_500_000, images: 2 }],
  ])('may be %s', (_, amounts) => expect(areQuantities(amounts)).toBe(true));

  test.each([
    ['an unknown meter', { tokens: 1 }],
    ['an inherited name', { constructor: 1 }],
    ['a fraction', { audio_seconds: 0.5 }],
    ['a negative amount', { images: -1 }],
    ['more than a Number holds exactly', { characters: 2 ** 53 }],
    ['text as a number', { input_tokens: '1' }],
    [
      'parts that are more than their whole',
      { input_tokens: 10, cached_input_tokens: 6, input_audio_tokens: 5 },
    ],
    ['a part without its whole', { cached_audio_tokens: 1 }],
    ['more reasoning than output', { input_tokens: 1, output_tokens: 1, reasoning_tokens: 2 }],
  ])('may not have %s', (_, amounts) => expect(areQuantities(amounts)).toBe(false));
});

describe('an amount in units', () => {
  test('has the decimals of its steps and no others', () => {
    expect(formatQuantity('audio_seconds', 12_500_000)).toBe('12.5');
    expect(formatQuantity('audio_seconds', 1)).toBe('0.000001');
    expect(formatQuantity('audio_seconds', 60_000_000)).toBe('60');
    expect(formatQuantity('characters', 4_096)).toBe('4096');
  });

  test('comes back as it was', () => {
    fc.assert(
      fc.property(fc.constantFrom(...METER_NAMES), fc.nat({ max: 10 ** 15 }), (meter, amount) => {
        expect(quantityOf(meter, Number(formatQuantity(meter, amount)))).toBe(amount);
      }),
    );
  });

  test('is rounded up to a step', () => {
    expect(quantityOf('audio_seconds', 8.470000267028809)).toBe(8_470_001);
    expect(quantityOf('audio_seconds', 0.1 + 0.2)).toBe(300_000);
    expect(quantityOf('characters', 3)).toBe(3);
  });
});

test('the quantities of an event are what no column has, in units', () => {
  const text = { input_tokens: 10, cached_input_tokens: 1, output_tokens: 3 };
  expect(quantitiesJson(text)).toBe('null');
  expect(quantitiesJson({ ...text, images: 0 })).toBe('null');
  expect(JSON.parse(quantitiesJson({ ...text, input_audio_tokens: 9, audio_seconds: 1_500_000 }))).toEqual({
    input_audio_tokens: 9,
    audio_seconds: 1.5,
  });
});

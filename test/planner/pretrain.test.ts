import { describe, expect, it } from 'vitest';
import { isApiError } from '../../src/domain/errors.ts';
import { grouped, parseScaled, quotientText, scientific } from '../../src/planner/numbers.ts';
import { estimatePretrain, type PretrainQuestion } from '../../src/planner/pretrain.ts';

function estimated(question: Omit<PretrainQuestion, 'kind'>) {
  const found = estimatePretrain({ kind: 'pretrain', ...question });
  if (isApiError(found)) throw new Error(found.message);
  return found;
}

describe('numbers', () => {
  it.each([
    ['175B', 0, 175_000_000_000n],
    ['3.14e23', 0, 314n * 10n ** 21n],
    ['3.14E+2', 0, 314n],
    ['1,234,567', 0, 1_234_567n],
    ['0.5', 2, 50n],
    ['1.5k', 0, 1500n],
    ['1.5', 0, null],
    ['1e-3', 5, null],
    ['12,34', 0, null],
    ['-1', 0, null],
    ['', 0, null],
    ['1e999', 0, null],
  ])('%s with %d places is %s', (text, places, value) => {
    expect(parseScaled(text, places)).toBe(value);
  });

  it('are rounded half up, and written exactly', () => {
    expect(quotientText(1n, 2n, 0)).toBe('1');
    expect(quotientText(1n, 3n, 2)).toBe('0.33');
    expect(quotientText(2n, 3n, 2)).toBe('0.67');
    expect(scientific(314n * 10n ** 21n)).toBe('3.14e23');
    expect(scientific(10n ** 24n)).toBe('1e24');
    expect(scientific(999_999n)).toBe('999999');
    expect(grouped('3115079.37')).toBe('3,115,079.37');
  });
});

describe('an estimate of pre-training', () => {
  it('reproduces the published reckoning of GPT-3, with a source for every constant', () => {
    const { sources, ...found } = estimated({ preset: 'gpt-3' });
    expect(found).toMatchObject({
      ...{ flops: '314000000000000000000000', gpu: 'v100', tflops: '28', usd_per_hour: '1.50' },
      ...{ gpu_hours: '3115079.37', gpu_years: '355.6', cost_usd: '4672619.04761904762' },
      published: { cost: '$4.6M', gpu_years: '355' },
    });
    expect(sources.map(({ what }) => what)).toEqual([
      ...['FLOPs', 'TFLOPS of a GPU', 'USD an hour of a GPU', 'hours a year'],
    ]);
    for (const { source } of sources) expect(source).toMatch(/\w{3}/);
  });

  it('takes six operations for each parameter and token', () => {
    const found = estimated({ parameters: '175B', tokens: '300B', gpu: 'v100' });
    expect(found.flops).toBe((6n * 175n * 300n * 10n ** 18n).toString());
    expect(found).toMatchObject({ parameters: '175000000000', tokens: '300000000000', published: null });
  });

  it('is dearer by the utilisation that is not reached, and shorter by the GPUs that work at once', () => {
    const whole = estimated({ flops: '3.6e18', tflops: '1', usd_per_hour: '2', gpus: '10' });
    expect(whole).toMatchObject({ gpu_hours: '1000.00', cost_usd: '2000.00', days: '4.2' });
    const part = estimated({ flops: '3.6e18', tflops: '1', usd_per_hour: '2', utilisation: '12.5' });
    expect(part).toMatchObject({
      gpu_hours: '8000.00',
      cost_usd: '16000.00',
      days: null,
      utilisation: '12.5',
    });
  });

  it('lets a preset be computed with another GPU and at another price', () => {
    const found = estimated({ preset: 'gpt-3', tflops: '15', usd_per_hour: '1' });
    expect(found).toMatchObject({ gpu: null, gpu_years: '663.8', published: { cost: '$4.6M' } });
  });

  it.each<[Omit<PretrainQuestion, 'kind'>, string]>([
    [{ preset: 'gpt-9' }, 'preset'],
    [{ preset: 'gpt-3', gpu: 'z1' }, 'gpu'],
    [{ flops: '3' }, 'gpu'],
    [{ flops: '3', gpu: 'a100' }, 'usd_per_hour'],
    [{ flops: '3', gpu: 'v100', tokens: '3' }, 'flops'],
    [{ flops: '0', gpu: 'v100' }, 'flops'],
    [{ flops: 'many', gpu: 'v100' }, 'flops'],
    [{ parameters: '3', gpu: 'v100' }, 'tokens'],
    [{ tokens: '3', gpu: 'v100' }, 'parameters'],
    [{ flops: '3', gpu: 'v100', utilisation: '101' }, 'utilisation'],
    [{ flops: '3', gpu: 'v100', utilisation: '0' }, 'utilisation'],
    [{ flops: '3', tflops: '0', usd_per_hour: '1' }, 'tflops'],
    [{ flops: '3', gpu: 'v100', usd_per_hour: 'one' }, 'usd_per_hour'],
    [{ flops: '3', gpu: 'v100', gpus: '0' }, 'gpus'],
  ])('%j is refused, naming %s', (question, param) => {
    expect(estimatePretrain({ kind: 'pretrain', ...question })).toMatchObject({
      code: 'invalid_request',
      param,
    });
  });
});

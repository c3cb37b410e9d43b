import { describe, expect, it } from 'vitest';
import { apiError, ERROR_CODES } from '../../src/domain/errors.ts';
import { errorBody, errorHeaders, isOpenAiError } from '../../src/openai/wire/errors.ts';

describe('errorBody', () => {
  it("has OpenAI's shape, with the details inside", () => {
    const refusal = apiError('insufficient_quota', 'All spent.', {
      details: { affordable_output_tokens: 0 },
    });
    expect(JSON.parse(errorBody(refusal).toString())).toEqual({
      error: {
        message: 'All spent.',
        type: 'insufficient_quota',
        param: null,
        code: 'insufficient_quota',
        affordable_output_tokens: 0,
      },
    });
  });

  it('is itself recognised as an error of the API', () => {
    for (const code of ERROR_CODES) {
      expect(isOpenAiError(errorBody(apiError(code, 'x', { param: 'n' })))).toBe(true);
    }
  });
});

describe('errorHeaders', () => {
  it('stops the SDKs from retrying what a retry cannot help', () => {
    for (const code of ['insufficient_quota', 'upstream_interrupted', 'invalid_request'] as const) {
      expect(errorHeaders(apiError(code, 'x'))).toEqual({
        'content-type': 'application/json',
        'x-should-retry': 'false',
      });
    }
  });

  it.each([
    [undefined, '1000', '1'],
    [1_500.2, '1501', '2'],
    [0, '1', '1'],
    [3_600_000, '60000', '60'],
  ])('says when to retry, within a minute: %s ms', (retryAfterMs, milliseconds, seconds) => {
    const extra = retryAfterMs === undefined ? {} : { retryAfterMs };
    expect(errorHeaders(apiError('rate_limit_exceeded', 'x', extra))).toEqual({
      'content-type': 'application/json',
      'retry-after-ms': milliseconds,
      'retry-after': seconds,
    });
  });
});

describe('isOpenAiError', () => {
  it.each(['', '<html>502</html>', '{"error":"x"}', '{"error":{}}', '{"message":"x"}', '[]', 'null'])(
    'does not take %j for an error of the API',
    (body) => {
      expect(isOpenAiError(Buffer.from(body))).toBe(false);
    },
  );
});

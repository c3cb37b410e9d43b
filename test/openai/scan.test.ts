import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_DEPTH, scanNames } from '../../src/openai/body.ts';
import { countDuplicates, objectText } from './json-text.ts';

describe('scanNames', () => {
  it('never calls a body plain that holds a name twice in one object', () => {
    let seen = 0;
    fc.assert(
      fc.property(objectText, (text) => {
        if (countDuplicates(text) === 0) return;
        seen++;
        expect(scanNames(text)).toBe('ambiguous');
      }),
      { numRuns: 2000 },
    );
    expect(seen).toBeGreaterThan(100);
  });

  it('calls every body plain that holds no name twice and no name with an escape', () => {
    let seen = 0;
    fc.assert(
      fc.property(objectText, (text) => {
        if (countDuplicates(text) > 0 || /mod\\u|a\\"b|back\\\\slash/.test(text)) return;
        seen++;
        expect(scanNames(text)).toBe('plain');
      }),
      { numRuns: 2000 },
    );
    expect(seen).toBeGreaterThan(100);
  });

  it('takes the same name in sibling and in nested objects for what it is: no duplicate', () => {
    expect(scanNames('{"type":{"type":1,"x":[{"type":2},{"type":3}]},"y":{"type":4}}')).toBe('plain');
  });

  it('finds a name that is written once plainly and once with an escape', () => {
    expect(scanNames('{"model":"a","mod\\u0065l":"b"}')).toBe('ambiguous');
  });

  it('finds a name that returns after a nested object', () => {
    expect(scanNames('{"n":1,"x":{"n":[{}]},"n":2}')).toBe('ambiguous');
  });

  it('finds a name twice behind any number of other objects', () => {
    expect(scanNames(`{"a":[${'{"b":1,"c":2},'.repeat(100_000)}{"n":1,"n":2}]}`)).toBe('ambiguous');
  });

  it('returns an error for nesting beyond its limit and accepts it up to there', () => {
    const nested = (depth: number) => `${'['.repeat(depth - 1)}{}${']'.repeat(depth - 1)}`;
    expect(scanNames(nested(MAX_DEPTH))).toBe('plain');
    expect(scanNames(nested(MAX_DEPTH + 1))).toBe('too_deep');
  });

  it('stays linear on objects with very many names', () => {
    const names = Array.from({ length: 200_000 }, (_, index) => `"${index}":0`);
    const startedAt = performance.now();
    expect(scanNames(`{${names.join(',')}}`)).toBe('ambiguous');
    expect(performance.now() - startedAt).toBeLessThan(500);
  });

  it('stays linear on long runs of backslashes and escaped quotes', () => {
    const startedAt = performance.now();
    expect(scanNames(`{"a":"${'\\\\'.repeat(500_000)}","b":"${'\\"'.repeat(500_000)}"}`)).toBe('plain');
    expect(performance.now() - startedAt).toBeLessThan(500);
  });
});

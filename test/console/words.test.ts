import { describe, expect, it } from 'vitest';
import { en } from '../../src/console/words/en.ts';
import { zh } from '../../src/console/words/zh.ts';
import { ERRORS } from '../../src/domain/errors.ts';

/** The paths of all words of a dictionary, and the words. */
function flat(words: object, path = ''): Map<string, unknown> {
  const entries = Object.entries(words).flatMap(([name, value]) =>
    typeof value === 'object' ? [...flat(value, `${path}${name}.`)] : [[`${path}${name}`, value] as const],
  );
  return new Map(entries);
}

describe('the dictionaries', () => {
  const english = flat(en);
  const chinese = flat(zh);

  it('have the same words', () => {
    expect([...chinese.keys()].sort()).toEqual([...english.keys()].sort());
  });

  it('leave nothing in English that has a Chinese word', () => {
    const kept = new Set([
      'calls.tokens',
      'call.tokens',
      'limits.units.cost_usd',
      'overview.deliveries.none',
    ]);
    for (const [path, word] of chinese) {
      if (typeof word !== 'string' || kept.has(path)) continue;
      expect(word, path).toMatch(/\p{Script=Han}/u);
    }
  });

  it('say why in words for every reason that a call can be refused for before it is forwarded', () => {
    const later = ['conflict', 'not_found', 'internal_error', 'upstream_interrupted', 'upstream_timeout'];
    const console = ['csrf_failed', 'not_allowed'];
    const reasons = Object.keys(ERRORS).filter((code) => ![...later, ...console].includes(code));
    expect(reasons.filter((code) => !(code in en.reasons))).toEqual([]);
  });
});

import { globSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { en } from '../../src/console/messages/en.ts';
import { zh } from '../../src/console/messages/zh.ts';
import { ERRORS } from '../../src/domain/errors.ts';

/** Returns all messages of a language by their paths. */
function flat(messages: object, path = ''): Map<string, unknown> {
  const entries = Object.entries(messages).flatMap(([name, value]) =>
    typeof value === 'object' ? [...flat(value, `${path}${name}.`)] : [[`${path}${name}`, value] as const],
  );
  return new Map(entries);
}

describe('the dictionaries', () => {
  const english = flat(en);
  const chinese = flat(zh);

  it('have the same messages', () => {
    expect([...chinese.keys()].sort()).toEqual([...english.keys()].sort());
  });

  it('have no text that no page shows', () => {
    const folder = new URL('../../src/console/', import.meta.url).pathname;
    const pages = globSync('{.,pages,parts,shell}/*.{ts,tsx}', { cwd: folder });
    const code = pages.map((path) => readFileSync(`${folder}${path}`, 'utf8')).join('');
    const isShown = (path: string) =>
      new RegExp(String.raw`\b${path.replaceAll('.', String.raw`\.`)}\b`).test(code);
    // By a name that the API gives, or that is made of parts.
    const named = ['nav', 'errors', 'reasons', 'keys.active', 'keys.expired', 'keys.revoked'];
    const units = ['limits.seconds', 'limits.minutes', 'limits.hours', 'limits.days'];
    const texts = Object.entries(en).flatMap(([group, words]) =>
      Object.keys(words).map((word) => `${group}.${word}`),
    );
    const isNamed = (path: string) => [...named, ...units].some((name) => `${path}.`.startsWith(`${name}.`));
    expect(texts.filter((path) => !isShown(path) && !isNamed(path))).toEqual([]);
  });

  it('have Chinese text in every Chinese message', () => {
    const kept = new Set(['limits.units.cost_usd', 'overview.deliveries.none']);
    for (const [path, word] of chinese) {
      if (typeof word !== 'string' || kept.has(path)) continue;
      expect(word, path).toMatch(/\p{Script=Han}/u);
    }
  });

  it('have a text for every error code that a call can end in before it is forwarded', () => {
    const later = [
      ...['conflict', 'not_found', 'internal_error'],
      ...['upstream_interrupted', 'upstream_over_limit', 'upstream_timeout'],
    ];
    const console = ['csrf_failed', 'not_allowed'];
    const reasons = Object.keys(ERRORS).filter((code) => ![...later, ...console].includes(code));
    expect(reasons.filter((code) => !(code in en.reasons))).toEqual([]);
  });
});

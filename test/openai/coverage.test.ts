import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { coveragePage } from '../../src/openai/operations/coverage.ts';
import { OPERATIONS } from '../../src/openai/operations/table.ts';

test('docs/COVERAGE.md is what the table of operations says: `npm run build:coverage` writes it', () => {
  const page = readFileSync(new URL('../../docs/COVERAGE.md', import.meta.url), 'utf8');
  expect(page).toBe(coveragePage());
});

test('every operation has a name, and a method and path, of its own', () => {
  const names = OPERATIONS.map(({ name }) => name);
  const lines = OPERATIONS.map(({ method, path }) => `${method} ${path}`);
  expect(new Set(names).size).toBe(OPERATIONS.length);
  expect(new Set(lines).size).toBe(OPERATIONS.length);
});

test('an operation that costs money has a bound and reports its usage, and a free one has neither', () => {
  for (const { name, class: kind, bound, usage } of OPERATIONS) {
    expect([name, bound !== null, usage !== null]).toEqual([name, kind === 'metered', kind === 'metered']);
  }
});

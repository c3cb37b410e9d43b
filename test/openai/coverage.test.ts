import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { coveragePage } from '../../src/openai/operations/coverage.ts';
import { OPERATIONS } from '../../src/openai/operations/table.ts';
import { findRoute } from '../../src/openai/request.ts';

test('docs/COVERAGE.md is what the table of operations says: `npm run build:coverage` writes it', () => {
  const page = readFileSync(new URL('../../docs/COVERAGE.md', import.meta.url), 'utf8');
  const suite = readFileSync(new URL('../../docs/sdk-suite.txt', import.meta.url), 'utf8');
  expect(page).toBe(coveragePage(suite));
});

/** `GET /files/{}`: parameters have other names in the specification than in its clients. */
const nameless = (line: string) => line.replaceAll(/\{\w+\}/g, '{}');

test('the table has every operation of the specification and of its client, and no other', () => {
  const text = readFileSync(new URL('../fixtures/openai-operations.txt', import.meta.url), 'utf8');
  const published = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  // A WebSocket is in no specification of operations: its messages are schemas of their own.
  const requests = OPERATIONS.filter(({ method }) => method !== 'WEBSOCKET');
  const known = requests.map(({ method, path }) => nameless(`${method} ${path}`));
  expect(published.length).toBeGreaterThan(380);
  expect(known.toSorted()).toEqual(published.map((line) => nameless(line.replace(/ \*$/, ''))).toSorted());
});

test('every operation that is served has a name, and each a method and path, of its own', () => {
  const names = OPERATIONS.filter(({ reason }) => reason === null).map(({ name }) => name);
  const lines = OPERATIONS.map(({ method, path }) => `${method} ${path}`);
  expect(new Set(names).size).toBe(names.length);
  expect(new Set(lines).size).toBe(OPERATIONS.length);
});

test('what is refused says why, and nothing else does', () => {
  for (const { name, class: kind, reason } of OPERATIONS)
    expect([name, reason !== null]).toEqual([name, kind === 'refused']);
});

test('a path with parameters finds its operation, whatever its ids are', () => {
  for (const { method, path, name } of OPERATIONS) {
    const url = `/v1${path.replaceAll(/\{\w+\}/g, 'id_1')}`;
    expect([url, findRoute(method, url)?.descriptor.path]).toEqual([url, path]);
    expect(findRoute(method, url)?.descriptor.name).toBe(name);
  }
});

test('an operation that costs money has a bound and reports its usage, and a free one has neither', () => {
  for (const { name, class: kind, bound, usage, pricedAs } of OPERATIONS) {
    // What is billed by no model is billed as it was asked for.
    const reports = kind === 'metered' && pricedAs === null;
    expect([name, bound !== null, usage !== null]).toEqual([name, kind === 'metered', reports]);
  }
});

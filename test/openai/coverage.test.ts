import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
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

describe('an operation that is served', () => {
  const served = OPERATIONS.filter(({ reason, method }) => reason === null && method !== 'WEBSOCKET');
  /** What lies in the object that the path names before it. */
  const INSIDE = new Set(['item_id', 'version', 'run_id', 'output_item_id', 'file_id']);
  /** A model is found by its name, and refused by it (tenancy.ts). */
  const BY_NAME = new Set(['/models/{model}']);
  /** Recorded with the event of the call that makes them. */
  const WITH_EVENT = new Set(['responses', 'chat.completions']);

  test('names objects that are recorded with their team, or lie in one that is', () => {
    for (const { method, path, pathObjects } of served) {
      const params = [...path.matchAll(/\{(\w+)\}/g)].map(([, param = '']) => param);
      const unknown = params.filter(
        (param, at) =>
          !Object.hasOwn(pathObjects, param) &&
          !BY_NAME.has(path) &&
          !(INSIDE.has(param) && at > 0 && Object.hasOwn(pathObjects, params[0] ?? '')),
      );
      expect([method, path, unknown]).toEqual([method, path, []]);
    }
  });

  test('lists only its team’s own, records what it makes, and forgets what it deletes', () => {
    const byLine = new Map(served.map((operation) => [`${operation.method} ${operation.path}`, operation]));
    const kinds = new Set<string>();
    for (const { path, pathObjects } of served) {
      const [, collection, param] = /^([^{}]+)\/\{(\w+)\}$/.exec(path) ?? [];
      const kind = pathObjects[param ?? ''];
      if (kind === undefined) continue;
      kinds.add(kind);
      const [list, made, ended] = [`GET ${collection}`, `POST ${collection}`, `DELETE ${path}`].map((line) =>
        byLine.get(line),
      );
      const isKept = made === undefined || WITH_EVENT.has(made.name) || made.makes?.kind === kind;
      const says = [list === undefined || list.lists?.kind === kind || list.listsModels, isKept, ended?.ends];
      expect([path, ...says]).toEqual([path, true, true, ended === undefined ? undefined : true]);
    }
    expect(kinds.size).toBeGreaterThan(10);
  });
});

test('a test of the official client is listed for a reason that still holds', () => {
  const suite = readFileSync(new URL('../../docs/sdk-suite.txt', import.meta.url), 'utf8');
  const reasons = new Set(OPERATIONS.flatMap(({ reason }) => reason ?? []));
  const lines = suite.trimEnd().split('\n').slice(1);
  const given = new Set(lines.map((line) => line.slice(line.indexOf(' | ') + 3)));
  // What is answered by 400 is what the tests send as an example: only running them tells.
  expect([...given].filter((reason) => !/^400\b/.test(reason) && !reasons.has(reason))).toEqual([]);
});

/** Which files a call needs. */
import { describe, expect, it } from 'vitest';
import { filesOfACall, filesRun, sourceOf } from '../../bench/coverage.ts';
import { inspectorUrls } from '../../bench/inspector.ts';

const SOURCES = new Set(['src/main.ts', 'src/gateway/pipeline.ts', 'src/console/main.tsx']);
const isSource = (path: string) => SOURCES.has(path);

describe('the source of a script', () => {
  it.each([
    ['file:///home/a/tollgate/src/gateway/pipeline.ts', 'src/gateway/pipeline.ts'],
    ['file:///usr/src/app/src/gateway/pipeline.ts', 'src/gateway/pipeline.ts'],
    ['file:///var/cache/tollgate/0a1b/src/gateway/pipeline.js', 'src/gateway/pipeline.ts'],
    ['file:///var/cache/a%20b/src/gateway/pipeline.mjs?v=2', 'src/gateway/pipeline.ts'],
    ['/srv/tollgate/src/main.js', 'src/main.ts'],
    ['file:///srv/tollgate/src/console/main.js', 'src/console/main.tsx'],
  ])('of %s is %s', (url, source) => {
    expect(sourceOf(url, isSource)).toBe(source);
  });

  it.each([
    ['file:///srv/tollgate/node_modules/postgres/src/main.js'],
    ['file:///srv/tollgate/src/gateway/unknown.ts'],
    ['file:///srv/tollgate/bin/tollgate.mjs'],
    ['node:internal/process/promises'],
    [''],
  ])('of %s is none of ours', (url) => {
    expect(sourceOf(url, isSource)).toBeNull();
  });
});

it('counts a file when one of its functions ran', () => {
  const script = (path: string, counts: number[]) => ({
    url: `file:///srv/${path}`,
    functions: counts.map((count) => ({ functionName: 'f', ranges: [{ count }] })),
  });
  const scripts = [script('src/main.ts', [0, 0]), script('src/gateway/pipeline.ts', [0, 1])];
  expect(filesRun(scripts, isSource)).toEqual(new Set(['src/gateway/pipeline.ts']));
});

it('tells what every call runs from what a timer runs now and then', () => {
  const calls = Array.from({ length: 10 }, (_, call) =>
    call === 0 ? new Set(['b', 'a', 'timer']) : new Set(['a', ...(call === 1 ? [] : ['b'])]),
  );
  expect(filesOfACall(calls)).toEqual({ always: ['a', 'b'], sometimes: ['timer'] });
});

it('finds the inspectors of all processes in a log', () => {
  const log = [
    'Debugger listening on ws://127.0.0.1:40001/0d7e',
    'For help, see: https://nodejs.org/en/docs/inspector',
    '{"msg":"listening"}',
    'Debugger listening on ws://127.0.0.1:40002/1e8f',
  ].join('\n');
  expect(inspectorUrls(log)).toEqual(['ws://127.0.0.1:40001/0d7e', 'ws://127.0.0.1:40002/1e8f']);
});

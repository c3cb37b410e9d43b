/** docs/TRAINING.md, in English and in Chinese: what it shows is what the commands print. */
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { runEstimate } from '../../src/main/estimate/run.ts';

const ROOT = new URL('../../', import.meta.url).pathname;
const EXAMPLE = /^```console\n\$ tollgate estimate (.*)\n([\s\S]*?)^```$/gm;

function examplesOf(path: string): [string, string][] {
  const page = readFileSync(`${ROOT}${path}`, 'utf8');
  return [...page.matchAll(EXAMPLE)].map(([, command = '', output = '']) => [command, output]);
}

const english = examplesOf('docs/TRAINING.md');
const before = process.cwd();
beforeEach(() => process.chdir(ROOT));
afterEach(() => process.chdir(before));

it.each(english)('tollgate estimate %s', async (command, output) => {
  let printed = '';
  const code = await runEstimate(command.split(' '), {
    env: {},
    nowMs: Date.parse('2026-11-28T12:00:00Z'),
    stdout: (text) => {
      printed += text;
    },
    stderr: () => {},
    isTerminal: false,
  });
  expect(code).toBe(0);
  expect(printed).toBe(output);
});

it('the Chinese page has the same examples', () => {
  expect(examplesOf('docs/TRAINING.zh.md')).toEqual(english);
  expect(english.length).toBeGreaterThan(7);
});

import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { buildConsole } from '../../src/console/build.ts';

const DIST = join(import.meta.dirname, '../../src/console/dist');

it('commits exactly what the sources of the console build', async () => {
  const committed = globSync('**/*.*', { cwd: DIST }).map((path) => path.replaceAll('\\', '/'));
  const built = await buildConsole();
  expect(committed.sort()).toEqual([...built.keys()].sort());
  for (const [path, text] of built) {
    const isSame = readFileSync(join(DIST, path), 'utf8') === text;
    expect(isSame, `${path} is not what its sources build: npm run build:console`).toBe(true);
  }
});

it('keeps the console small, and to its own origin', async () => {
  const built = await buildConsole();
  const text = [...built.values()].join('\n');
  const later = built.get('assets/later.js') ?? '';
  expect(Buffer.byteLength(text) - Buffer.byteLength(later)).toBeLessThan(290_000);
  expect(Buffer.byteLength(later)).toBeLessThan(60_000);
  const elsewhere = text.match(/(?:https?:)?\/\/[a-z0-9-]+\.[a-z]{2,}[^\s"'`)]*/gi) ?? [];
  expect(elsewhere.filter((url) => !url.startsWith('http://www.w3.org/'))).toEqual([]);
  expect(built.get('index.html')).not.toMatch(/<style|style=|<script>|onload=/);
});

import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createTestCli, type TestCli } from './support.ts';

/** In the month of the page: its moments lie where it says that they do. */
const NOW = '2026-11-28T12:00:00Z';

let cli: TestCli;
beforeAll(async () => {
  cli = await createTestCli(NOW);
});
afterAll(() => cli.close());

/** The lines of a page's shell examples, as words. */
function linesOf(page: string): string[][] {
  const text = readFileSync(new URL(`../../docs/${page}`, import.meta.url), 'utf8');
  const blocks = [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].flatMap(([, block = '']) =>
    block.split('\n'),
  );
  return blocks
    .filter((line) => line.startsWith('tollgate '))
    .map((line) =>
      [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '').slice(1),
    );
}

/** These need a bill of the upstream's. */
const NEEDS_BILL = 'reconciliation';

it('the lines of the page for finance work in their order', async () => {
  await cli.json(['teams', 'create', '--name', 'Atlas', '--plan', 'null']);
  // A limit without a name stands beside those that have one.
  await cli.json([
    'limits',
    'create',
    '--subject',
    'org',
    '--meter',
    'requests',
    '--amount',
    '9',
    '--window',
    'day',
  ]);
  const lines = linesOf('FINANCE.md').filter(([noun]) => noun !== NEEDS_BILL);
  expect(lines.length).toBeGreaterThan(12);
  for (const words of lines) {
    const at = words.indexOf('--out');
    const ran = await cli.run(at < 0 ? words : words.toSpliced(at, 2));
    expect([words.join(' '), ran.code, ran.code === 0 ? '' : ran.stderr]).toEqual([words.join(' '), 0, '']);
  }
});

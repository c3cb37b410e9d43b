import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { writeReconciliation } from '../../src/store/reconciliation.ts';
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

it('shows each difference of a day, by the id that posts it', async () => {
  const difference = {
    id: 'price_changed/gpt-5-mini/default/gpt-5-mini, output/-',
    kind: 'price_changed' as const,
    with: [],
    model: 'gpt-5-mini',
    tier: 'default' as const,
    lineItem: 'gpt-5-mini, output',
    apiKeyId: null,
    quantity: 1000,
    amount: usd('0.5'),
    corrected: 0n,
    calls: 3,
  };
  await writeReconciliation(
    cli.admin.database,
    {
      day: '2026-01-01',
      upstream: null,
      ownKeys: null,
      isFinal: true,
      at: new Date('2026-01-04T00:00:00Z'),
    },
    {
      billed: usd('1.5'),
      charged: usd('1'),
      corrected: 0n,
      unexplained: 0n,
      differences: [difference],
    },
  );
  const { stdout } = await cli.run(['reconciliation', '--day', '2026-01-01']);
  expect(stdout).toMatch(/^billed_usd +1\.50$/m);
  expect(stdout).toMatch(/^price_changed +0\.50 +0\.00 +3 +price_changed\/gpt-5-mini\/default/m);
});

/** docs/PRICES.md says what the code does. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { NewPrice } from '../../src/admin/contract.ts';
import { usd } from '../../src/domain/money.ts';
import { costAt } from '../../src/domain/price.ts';
import { METER_NAMES, meterDefinition } from '../../src/domain/quantities.ts';
import { compileRates } from '../../src/domain/rates.ts';
import { USAGE_FIELDS } from '../../src/telemetry/fields.ts';

const page = readFileSync(new URL('../../docs/PRICES.md', import.meta.url), 'utf8');

test('its table is the registry of meters', () => {
  const rows = [...(page.split('## Images')[0] ?? '').matchAll(/^\| `.*$/gm)].map(([row]) =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim().replaceAll('`', '')),
  );
  expect(rows).toEqual(
    METER_NAMES.map((meter) => {
      const { unit, partOf } = meterDefinition(meter);
      return [meter, unit, partOf ?? '', USAGE_FIELDS.get(meter)];
    }),
  );
});

test('its example is a price, and costs what it says', () => {
  const body = NewPrice.parse(JSON.parse(/```json\n([^`]*)```/.exec(page)?.[1] ?? ''));
  const lines = (body.lines ?? []).map(({ meter, per, rate }) => ({ meter, per, rate: usd(rate) }));
  const usage = { input_tokens: 1_000, cached_input_tokens: 300, input_audio_tokens: 200 };
  const [, said] = /: \$([\d.]*\d)\.$/m.exec(page) ?? [];
  expect(costAt(compileRates(lines), usage)).toBe(usd(said ?? ''));
});

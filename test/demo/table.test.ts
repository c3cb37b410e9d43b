import { describe, expect, it } from 'vitest';
import type { TeamFigures } from '../../src/demo/figures.ts';
import { renderTable, type TableStyle } from '../../src/demo/table.ts';
import { usd } from '../../src/domain/money.ts';

const PLAIN: TableStyle = { quiet: (text) => text, strong: (text) => text, alarm: (text) => text };

const figures: TeamFigures[] = [
  {
    name: 'support',
    models: [
      { model: 'gpt-5.4-nano', calls: 1_234, tokens: 98_765, costPicoUsd: usd('1.5') },
      { model: 'text-embedding-3-small', calls: 3, tokens: 78, costPicoUsd: usd('0.00000156') },
    ],
    amountPicoUsd: usd('5'),
    remainingPicoUsd: usd('3.49999844'),
    denials: 2,
  },
  { name: 'you', models: [], amountPicoUsd: usd('18'), remainingPicoUsd: usd('18'), denials: 0 },
];

describe('the table', () => {
  it('is exact, with aligned decimal points and names', () => {
    expect(renderTable(figures, PLAIN)).toEqual([
      'TEAM     MODEL                   CALLS  TOKENS         COST        REMAINING  DENIED',
      '────────────────────────────────────────────────────────────────────────────────────',
      'support  gpt-5.4-nano            1,234  98,765  $1.50          $3.4999 of $5       2',
      '         text-embedding-3-small      3      78  $0.00000156',
      'you                                                          $18.0000 of $18',
      '────────────────────────────────────────────────────────────────────────────────────',
      'total                            1,237  98,843  $1.50000156                        2',
    ]);
  });

  it('never shows more left than there is', () => {
    const [team] = renderTable([{ ...figures[1]!, remainingPicoUsd: usd('17.99999999') }], PLAIN).slice(2);
    expect(team).toContain('$17.9999 of $18');
  });
});

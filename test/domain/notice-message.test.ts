import { expect, it } from 'vitest';
import { messageOf } from '../../src/domain/notice-message.ts';

const digest = {
  ...({
    kind: 'weekly',
    team: null,
    from: '2026-11-23T00:00:00.000Z',
    to: '2026-11-30T00:00:00.000Z',
  } as const),
  ...{ cost: '1234567.891', before: '-1', calls: 2, keys: [] },
  days: [
    { day: '2026-11-23', cost: '1234568.00' },
    { day: '2026-11-24', cost: '-0.109' },
    { day: '2026-11-25', cost: '0.000000000001' },
  ],
  teams: [{ name: 'a', cost: '1000000' }],
  models: [
    { name: 'gpt-5', cost: '1234000' },
    { name: null, cost: '567.891' },
  ],
};

it('a digest says in text and in cells the same amounts, the others too, and why it comes', () => {
  const { subject, lines, html, why } = messageOf(digest, 'en', 'https://tollgate.example.com/console');
  expect(subject).toContain('spent $1,234,567.89 in the week from 2026-11-23 to 2026-11-29');
  expect(lines).toContain('Before: −$1.00 (–).');
  const amounts = ['$1,234,568.00', '−$0.11', '< $0.01', '$1,000,000.00', '$1,234,000.00', '$567.89'];
  const ofText = lines.filter((line) => line.startsWith('  ')).map((line) => line.split('  ').at(-1));
  expect(ofText).toEqual(amounts);
  const ofPage = [...html.matchAll(/<td align="right"[^>]*>([^<]*)</g)].map(([, cell]) => cell);
  expect(ofPage.map((cell) => cell?.replace('&lt;', '<'))).toEqual(amounts);
  expect(lines).toContain('  All others  $567.89');
  expect(lines).toContain('By day (UTC):');
  for (const [calls, said] of [
    [1, '1 call.'],
    [1234567, '1,234,567 calls.'],
  ] as const)
    expect(messageOf({ ...digest, calls }, 'en', null).lines).toContain(said);
  expect(html).toContain('>All others<');
  expect(html).toContain(`<a href="https://tollgate.example.com/console/notices"`);
  expect(html).toContain(why);
});

it.each([
  [50, '10.25', '20', false, 'has used 50 % of its limit: $10.25 of $20.00'],
  [80, '0.016254', '0.02', false, 'has used 80 % of its limit: $0.0163 of $0.02'],
  [100, '0.0145', '0.02', true, 'has used up its limit: $0.0145 of $0.02'],
  [100, '0.00001', '0.00002', true, 'has used up its limit: < $0.0001 of < $0.0001'],
])(
  'a warning at %i %% of small and large budgets, and of one that denied a call',
  (threshold, settled, amount, denied, said) => {
    const facts = {
      ...({
        kind: 'warning',
        team: 'a',
        source: 'limit',
        sourceId: 'x',
        meter: 'cost_usd',
        endsAt: null,
      } as const),
      ...{ threshold, settled, amount, denied },
    };
    expect(messageOf(facts, 'en', null).subject).toBe(`Team a ${said}`);
    expect(messageOf(facts, 'zh', null).subject).toContain(
      denied ? '已用完限额' : `已用去限额的 ${threshold} %`,
    );
  },
);

import { expect, it, onTestFinished, vi } from 'vitest';
import { bucketsOf, heights, type Point, stackOf } from '../../src/console/parts/stack.ts';

const DAY_MS = 86_400_000;
const start = Date.parse('2026-11-01T00:00:00Z');
const startsMs = [0, 1, 2].map((day) => start + day * DAY_MS);
const point = (day: number, series: string, usd: string): Point => ({
  at: new Date(startsMs[day]!).toISOString(),
  series,
  usd,
});

it('stacks the largest series lowest, with nothing where nothing was spent', () => {
  const points = [point(0, 'small', '0.10'), point(0, 'large', '1.00'), point(2, 'large', '2.00')];
  const stack = stackOf(points, startsMs, 8, 'other');
  expect(stack.series.map(({ name, amounts }) => [name, ...amounts])).toEqual([
    ['large', '1.00', '0.00', '2.00'],
    ['small', '0.10', '0.00', '0.00'],
  ]);
  expect(stack.totals).toEqual(['1.10', '0.00', '2.00']);
  expect(stack.total).toBe('3.10');
  expect(heights(stack)).toEqual([
    [1, 0, 2],
    [1.1, 0, 2],
  ]);
});

it('makes one series of what a chart cannot tell apart, and loses nothing by it', () => {
  const points = Array.from({ length: 12 }, (_, index) => point(1, `team-${index}`, `${index + 1}.00`));
  const stack = stackOf(points, startsMs, 8, 'other');
  expect(stack.series).toHaveLength(8);
  expect(stack.series.at(-1)).toMatchObject({ name: 'other', total: '15.00' });
  expect(stack.total).toBe('78.00');
});

it('puts what came as one sum with what it cannot tell apart, last whatever it amounts to', () => {
  const others = [0, 1].map((day) => ({ ...point(day, '', '50.00'), series: null }));
  const named = (count: number) =>
    Array.from({ length: count }, (_, index) => point(1, `team-${index}`, `${index + 1}.00`));
  const many = stackOf([...others, ...named(8)], startsMs, 8, 'other');
  expect(many.series.map(({ name, total }) => [name, total])).toEqual([
    ...[8, 7, 6, 5, 4, 3, 2].map((place) => [`team-${place - 1}`, `${place}.00`]),
    ['other', '101.00'],
  ]);
  expect(many.series.at(-1)!.amounts).toEqual(['50.00', '51.00', '0.00']);
  expect(many.total).toBe('136.00');
  const few = stackOf([...others, ...named(2)], startsMs, 8, 'other');
  expect(few.series.map(({ name }) => name)).toEqual(['team-1', 'team-0', 'other']);
});

it('is the same stack from the largest series and the sum of the others as from all', () => {
  const all = Array.from({ length: 20 }, (_, index) => [
    point(index % 3, `team-${index}`, `${index + 1}.25`),
    point(1, `team-${index}`, '0.000000000001'),
  ]).flat();
  const isTop = ({ series }: Point) => Number(series?.slice('team-'.length)) >= 12;
  const top = all.map((each) => (isTop(each) ? each : { ...each, series: null }));
  expect(stackOf(top, startsMs, 8, 'other')).toEqual(stackOf(all, startsMs, 8, 'other'));
});

it('keeps series of one name apart, each with the end of its id', () => {
  const of = (id: string, usd: string) => ({ ...point(0, 'app', usd), id });
  const { series } = stackOf(
    [of('id-1111', '1'), of('id-2222', '2'), point(0, 'b', '3')],
    startsMs,
    8,
    'app',
  );
  expect(series.map(({ name, total }) => [name, total])).toEqual([
    ['b', '3.00'],
    ['app (…2222)', '2.00'],
    ['app (…1111)', '1.00'],
  ]);
});

it('adds up rows of one bucket exactly', () => {
  const stack = stackOf([point(0, 'a', '0.1'), point(0, 'a', '0.2')], startsMs, 8, 'other');
  expect(stack.total).toBe('0.30');
});

it.each(['15m', 'hour', 'day', 'month'] as const)(
  'shows every bucket of a range, empty ones too: %s',
  (step) => {
    const now = Date.parse('2026-06-15T12:34:56Z');
    const buckets = bucketsOf(step, 24, now);
    expect(new Set(buckets).size).toBe(24);
    expect(buckets.at(-1)).toBeLessThanOrEqual(now);
    expect(bucketsOf(step, 24, buckets.at(-1)!)).toEqual(buckets);
  },
);

it.each([
  ['Europe/Berlin', '2027-10-31T01:30:00Z', ['2027-10-30T23', '2027-10-31T00', '2027-10-31T01']],
  ['Europe/Berlin', '2027-03-28T01:30:00Z', ['2027-03-27T23', '2027-03-28T00', '2027-03-28T01']],
  ['America/New_York', '2026-11-01T06:30:00Z', ['2026-11-01T04', '2026-11-01T05', '2026-11-01T06']],
])('has each hour once where the clock of %s changes, at %s', (zone, now, hours) => {
  vi.stubEnv('TZ', zone);
  onTestFinished(() => void vi.unstubAllEnvs());
  const buckets = bucketsOf('hour', 3, Date.parse(now));
  expect(buckets.map((ms) => new Date(ms).toISOString())).toEqual(hours.map((hour) => `${hour}:00:00.000Z`));
});

it('has a day whose midnight comes twice, whichever of them the database names', () => {
  vi.stubEnv('TZ', 'America/Havana');
  onTestFinished(() => void vi.unstubAllEnvs());
  const days = bucketsOf('day', 2, Date.parse('2026-11-01T12:00:00Z'));
  for (const at of ['2026-11-01T04:00:00Z', '2026-11-01T05:00:00Z'])
    expect(stackOf([{ at, series: 'atelier', usd: '1' }], days, 1, 'others').totals).toEqual([
      '0.00',
      '1.00',
    ]);
});

it('begins hours where the clock does', () => {
  vi.stubEnv('TZ', 'Asia/Kolkata');
  onTestFinished(() => void vi.unstubAllEnvs());
  const buckets = bucketsOf('hour', 2, Date.parse('2026-06-15T12:34:56Z'));
  expect(buckets.map((ms) => new Date(ms).toISOString().slice(11, 16))).toEqual(['11:30', '12:30']);
});

it('begins months and days at their midnight', () => {
  const months = bucketsOf('month', 12, Date.parse('2026-03-31T10:00:00Z'));
  for (const ms of months) expect([new Date(ms).getDate(), new Date(ms).getHours()]).toEqual([1, 0]);
  expect(months.map((ms) => new Date(ms).getMonth())).toEqual([3, 4, 5, 6, 7, 8, 9, 10, 11, 0, 1, 2]);
});

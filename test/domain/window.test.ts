import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  CALENDAR_UNITS,
  type CalendarWindow,
  isTimeZone,
  QUARTER_HOUR_MS,
  windowRange,
} from '../../src/domain/window.ts';
import { noonZone } from '../support/noon.ts';

function calendar(unit: CalendarWindow['unit'], timeZone: string): CalendarWindow {
  return { type: 'calendar', unit, timeZone };
}

function span(unit: CalendarWindow['unit'], timeZone: string, at: string): (string | null)[] {
  const { startMs, endMs } = windowRange(calendar(unit, timeZone), Date.parse(at));
  return [startMs, endMs].map((ms) =>
    ms === null ? null : new Date(ms).toISOString().replace('.000Z', 'Z'),
  );
}

describe('a calendar window', () => {
  test.each([
    // Clocks go forward (23 hours) and back (25 hours).
    ['day', 'Europe/Berlin', '2026-03-29T12:00:00Z', '2026-03-28T23:00:00Z', '2026-03-29T22:00:00Z'],
    ['day', 'Europe/Berlin', '2026-10-25T12:00:00Z', '2026-10-24T22:00:00Z', '2026-10-25T23:00:00Z'],
    ['day', 'America/New_York', '2026-03-08T12:00:00Z', '2026-03-08T05:00:00Z', '2026-03-09T04:00:00Z'],
    ['day', 'America/New_York', '2026-11-01T12:00:00Z', '2026-11-01T04:00:00Z', '2026-11-02T05:00:00Z'],
    ['week', 'Europe/Berlin', '2026-03-29T12:00:00Z', '2026-03-22T23:00:00Z', '2026-03-29T22:00:00Z'],
    ['month', 'Europe/Berlin', '2026-10-31T12:00:00Z', '2026-09-30T22:00:00Z', '2026-10-31T23:00:00Z'],
    ['month', 'America/New_York', '2026-03-15T00:00:00Z', '2026-03-01T05:00:00Z', '2026-04-01T04:00:00Z'],
    // No daylight saving; half an hour beside the full ones.
    ['day', 'Asia/Shanghai', '2026-06-15T15:59:59Z', '2026-06-14T16:00:00Z', '2026-06-15T16:00:00Z'],
    ['day', 'Asia/Kolkata', '2026-06-15T18:29:59Z', '2026-06-14T18:30:00Z', '2026-06-15T18:30:00Z'],
    ['month', 'Asia/Kolkata', '2024-02-29T12:00:00Z', '2024-01-31T18:30:00Z', '2024-02-29T18:30:00Z'],
    ['week', 'UTC', '2027-01-01T00:00:00Z', '2026-12-28T00:00:00Z', '2027-01-04T00:00:00Z'],
    // Midnight itself is skipped, and repeated.
    ['day', 'America/Sao_Paulo', '2018-11-04T12:00:00Z', '2018-11-04T03:00:00Z', '2018-11-05T02:00:00Z'],
    ['day', 'America/Havana', '2026-11-01T12:00:00Z', '2026-11-01T04:00:00Z', '2026-11-02T05:00:00Z'],
  ] as const)('%s in %s around %s is from %s to %s', (unit, timeZone, at, start, end) => {
    expect(span(unit, timeZone, at)).toEqual([start, end]);
  });

  test.each([
    ['quarter', {}, '2026-06-30T23:59:59Z', '2026-04-01T00:00:00Z', '2026-07-01T00:00:00Z'],
    ['year', {}, '2026-06-30T00:00:00Z', '2026-01-01T00:00:00Z', '2027-01-01T00:00:00Z'],
    // A fiscal year from October, and its quarters.
    ['year', { startMonth: 10 }, '2026-09-30T12:00:00Z', '2025-10-01T00:00:00Z', '2026-10-01T00:00:00Z'],
    ['year', { startMonth: 10 }, '2026-10-01T00:00:00Z', '2026-10-01T00:00:00Z', '2027-10-01T00:00:00Z'],
    ['quarter', { startMonth: 2 }, '2026-01-31T00:00:00Z', '2025-11-01T00:00:00Z', '2026-02-01T00:00:00Z'],
    // Billing days; a month without the day begins on its last.
    ['month', { startDay: 15 }, '2026-03-14T23:00:00Z', '2026-02-15T00:00:00Z', '2026-03-15T00:00:00Z'],
    ['month', { startDay: 31 }, '2026-02-28T00:00:00Z', '2026-02-28T00:00:00Z', '2026-03-31T00:00:00Z'],
    ['month', { startDay: 31 }, '2026-02-27T00:00:00Z', '2026-01-31T00:00:00Z', '2026-02-28T00:00:00Z'],
    ['week', { startDay: 7 }, '2026-11-28T12:00:00Z', '2026-11-22T00:00:00Z', '2026-11-29T00:00:00Z'],
    ['day', { startHour: 6 }, '2026-11-28T05:59:00Z', '2026-11-27T06:00:00Z', '2026-11-28T06:00:00Z'],
    [
      'month',
      { startDay: 1, startHour: 9 },
      '2026-11-01T08:00:00Z',
      '2026-10-01T09:00:00Z',
      '2026-11-01T09:00:00Z',
    ],
  ] as const)('%s with %j around %s is from %s to %s', (unit, start, at, from, to) => {
    const { startMs, endMs } = windowRange({ ...calendar(unit, 'UTC'), ...start }, Date.parse(at));
    expect([startMs, endMs]).toEqual([Date.parse(from), Date.parse(to)]);
  });

  test.each([
    // In Berlin 02:00 does not exist on 29 March, and exists twice on 25 October.
    ['2026-03-29T12:00:00Z', '2026-03-29T01:00:00Z', '2026-03-30T00:00:00Z'],
    ['2026-10-25T12:00:00Z', '2026-10-25T00:00:00Z', '2026-10-26T01:00:00Z'],
  ])('a day from 02:00 in Berlin around %s is from %s to %s', (at, from, to) => {
    const window = { ...calendar('day', 'Europe/Berlin'), startHour: 2 };
    const { startMs, endMs } = windowRange(window, Date.parse(at));
    expect([startMs, endMs]).toEqual([Date.parse(from), Date.parse(to)]);
  });

  test('starts at its first instant and ends before its last', () => {
    expect(span('day', 'Europe/Berlin', '2026-10-24T22:00:00Z')[0]).toBe('2026-10-24T22:00:00Z');
    expect(span('day', 'Europe/Berlin', '2026-10-24T21:59:59.999Z')[1]).toBe('2026-10-24T22:00:00Z');
  });

  const zones = fc.constantFrom(
    'Europe/Berlin',
    'Asia/Shanghai',
    'Asia/Kolkata',
    'America/New_York',
    'America/St_Johns',
    'America/Havana',
    'Australia/Lord_Howe',
    'Africa/Casablanca',
    'Pacific/Apia',
    'UTC',
  );
  const units = fc.constantFrom(...CALENDAR_UNITS);
  const moments = fc.integer({ min: Date.parse('1990-01-01'), max: Date.parse('2060-01-01') });

  const starts = fc.record(
    {
      startMonth: fc.integer({ min: 1, max: 12 }),
      startDay: fc.integer({ min: 1, max: 31 }),
      startHour: fc.integer({ min: 0, max: 23 }),
    },
    { requiredKeys: [] },
  );

  test('contains its moment, and the next one starts where it ends, on a quarter of an hour', () => {
    fc.assert(
      fc.property(units, zones, moments, starts, (unit, timeZone, atMs, start) => {
        const startDay = unit === 'week' && start.startDay ? ((start.startDay - 1) % 7) + 1 : start.startDay;
        const window = { ...calendar(unit, timeZone), ...start, startDay };
        const { startMs, endMs } = windowRange(window, atMs);
        if (endMs === null) return false;
        return (
          startMs <= atMs &&
          atMs < endMs &&
          startMs % QUARTER_HOUR_MS === 0 &&
          windowRange(window, endMs).startMs === endMs &&
          windowRange(window, startMs - 1).endMs === startMs
        );
      }),
      { numRuns: 500 },
    );
  });

  test('is one window even where clocks go back over midnight and a date is shown twice', () => {
    const window = calendar('day', 'America/St_Johns');
    const midnight = Date.parse('2010-11-07T02:30:00Z');
    // At 00:01 clocks went back to 23:01: for an hour the old date again.
    for (const minutes of [0, 1, 15, 59, 60, 90]) {
      windowRange(window, 0); // so that no answer is remembered
      expect(windowRange(window, midnight + minutes * 60_000).startMs).toBe(midnight);
    }
    windowRange(window, 0);
    expect(windowRange(window, midnight - 1).endMs).toBe(midnight);
  });

  test('refuses a time zone that does not exist', () => {
    expect(() => windowRange(calendar('day', 'Mars/Olympus'), 0)).toThrow(RangeError);
  });
});

test('a lifetime window has no end', () => {
  expect(windowRange({ type: 'lifetime' }, 123)).toEqual({ startMs: 0, endMs: null });
});

test.each(['UTC', 'Europe/Berlin', 'Asia/Kolkata', 'America/Argentina/Buenos_Aires', 'Etc/GMT+5'])(
  '%s is a time zone',
  (text) => expect(isTimeZone(text)).toBe(true),
);

test.each([
  '',
  'Mars/Olympus',
  '+02:00',
  '-05:17',
  '2026-01-01T00:00[Europe/Berlin]',
  'Europe/Berlin ',
  '../etc',
])('%j is no time zone', (text) => expect(isTimeZone(text)).toBe(false));

test.each(CALENDAR_UNITS)(
  'the %s of a zone where it is noon neither began nor ends within eleven hours',
  (unit) => {
    for (let hour = 0; hour < 72; hour++) {
      for (const minute of [0, 59]) {
        const nowMs = Date.UTC(2026, 11, 31, hour, minute);
        const window = { type: 'calendar', unit, timeZone: noonZone(nowMs) } as const;
        const { startMs, endMs } = windowRange(window, nowMs);
        expect([nowMs - startMs, Number(endMs) - nowMs].every((ms) => ms > 11 * 3_600_000)).toBe(true);
      }
    }
  },
);

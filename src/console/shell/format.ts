/** Times, counts and shares in the format of the language and the browser's time zone. */
import { useMemo } from 'preact/hooks';
import { type Language, useLanguage } from './language.ts';

export const TIME_ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC';

export type Format = ReturnType<typeof formatsOf>;

const DAY_MS = 86_400_000;
const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
  ['day', DAY_MS],
  ['hour', 3_600_000],
  ['minute', 60_000],
];

function formatsOf(language: Language) {
  const locale = language === 'zh' ? 'zh-CN' : 'en-GB';
  const date = (options: Intl.DateTimeFormatOptions) => {
    const format = new Intl.DateTimeFormat(locale, { timeZone: TIME_ZONE, ...options });
    return (time: string | number | Date) => format.format(new Date(time));
  };
  const clock = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' } as const;
  const seconds = { day: 'numeric', month: 'short', ...clock, second: '2-digit' } as const;
  const thisYear = date(seconds);
  const anyYear = date({ ...seconds, year: 'numeric' });
  const count = new Intl.NumberFormat(locale);
  const compact = new Intl.NumberFormat(language === 'zh' ? locale : 'en-US', {
    notation: 'compact',
    maximumFractionDigits: 1,
  });
  const percent = new Intl.NumberFormat(locale, { style: 'percent', maximumFractionDigits: 0 });
  const fine = new Intl.NumberFormat(locale, { style: 'percent', maximumFractionDigits: 1 });
  const relative = new Intl.RelativeTimeFormat(locale, { numeric: 'always' });
  return {
    /** 25 Nov 2026 */
    day: date({ day: 'numeric', month: 'short', year: 'numeric' }),
    /** The same in UTC, for dates that were published without a time. */
    utcDay: date({ day: 'numeric', month: 'short', year: 'numeric', timeZone: 'UTC' }),
    /** 25 Nov */
    shortDay: date({ day: 'numeric', month: 'short' }),
    /** 25 Nov, 14:02 */
    shortDateTime: date({ day: 'numeric', month: 'short', ...clock }),
    /** 25 Nov, 14:02:31; with the year unless it is the current one */
    timeOf: (time: string) =>
      new Date(time).getFullYear() === new Date().getFullYear() ? thisYear(time) : anyYear(time),
    /** 25 Nov 2026, 14:02:31 */
    dateTime: anyYear,
    /** November 2026 */
    month: date({ month: 'long', year: 'numeric' }),
    shortMonth: date({ month: 'short', year: '2-digit' }),
    /** 14:02 */
    clock: date(clock),
    count: (value: number) => count.format(value),
    compact: (value: number) => compact.format(value),
    /** Whole percents; a share above 0 never shows as 0 %, one below 1 never as 100 %. */
    percent: (share: number) =>
      (share > 0 && share < 0.01) || (share > 0.99 && share < 1) ? fine.format(share) : percent.format(share),
    /** "in 3 days", "3 天后": the largest unit that is not zero. */
    relative: (time: string, nowMs: number = Date.now()) => {
      const ms = Date.parse(time) - nowMs;
      const [unit, size] = UNITS.find(([, each]) => Math.abs(ms) >= each) ?? ['minute', 60_000];
      return relative.format(Math.trunc(ms / size), unit);
    },
    /** Microseconds as µs, ms or s. */
    duration: (us: number) => {
      if (us < 1_000) return `${count.format(us)} µs`;
      if (us < 1_000_000) return `${(us / 1_000).toFixed(us < 10_000 ? 2 : 1)} ms`;
      return `${(us / 1_000_000).toFixed(2)} s`;
    },
  };
}

export function useFormat(): Format {
  const language = useLanguage();
  return useMemo(() => formatsOf(language), [language]);
}

/** The rule of a limit as forms hold it (meter, amount and window as text), and as the API reads it. Pure. */
import type { NewLimit, Window } from '../api/types.ts';
import type { Meter } from './limit-text.tsx';

export type WindowName = 'day' | 'week' | 'month' | 'quarter' | 'year' | 'lifetime' | 'rolling';

export interface Rule {
  meter: Meter;
  amount: string;
  window: WindowName;
  timeZone: string;
  seconds: string;
  /** Where a calendar window begins; empty: as usual. */
  startMonth: string;
  startDay: string;
  startHour: string;
}

/** Returns the windows that a meter may have: money has no rolling one, concurrency only the lifetime. */
export function windowsOf(meter: Meter): readonly [WindowName, ...WindowName[]] {
  if (meter === 'concurrency') return ['lifetime'];
  const calendar = ['day', 'week', 'month', 'quarter', 'year', 'lifetime'] as const;
  return meter === 'cost_usd' ? calendar : ['rolling', ...calendar];
}

/** Returns the chosen window, or the meter's first one where the meter cannot have the chosen. */
export function windowNameOf({ meter, window }: Rule): WindowName {
  const windows = windowsOf(meter);
  return windows.includes(window) ? window : windows[0];
}

/** Returns whether a limit may be soft: rate limits are always strict. */
export function mayBeSoft(rule: Rule): boolean {
  return windowNameOf(rule) !== 'rolling' && rule.meter !== 'concurrency';
}

export function toBody(rule: Rule): Pick<NewLimit, 'meter' | 'amount' | 'window'> {
  const name = windowNameOf(rule);
  const window: Window =
    name === 'lifetime'
      ? { type: name }
      : name === 'rolling'
        ? { type: name, seconds: Number(rule.seconds) }
        : { type: 'calendar', unit: name, time_zone: rule.timeZone, ...startOf(rule, name) };
  return { meter: rule.meter, amount: rule.amount, window };
}

/** Returns which starts a window may have, and the highest value of each. */
export function startsOf(name: WindowName): {
  start_month?: number;
  start_day?: number;
  start_hour?: number;
} {
  if (name === 'lifetime' || name === 'rolling') return {};
  return {
    ...(name === 'quarter' || name === 'year' ? { start_month: 12 } : {}),
    ...(name === 'day' ? {} : { start_day: name === 'week' ? 7 : 31 }),
    start_hour: 23,
  };
}

function startOf({ startMonth, startDay, startHour }: Rule, name: WindowName) {
  const starts = startsOf(name);
  return {
    ...(starts.start_month && startMonth !== '' ? { start_month: Number(startMonth) } : {}),
    ...(starts.start_day && startDay !== '' ? { start_day: Number(startDay) } : {}),
    ...(starts.start_hour && startHour !== '' ? { start_hour: Number(startHour) } : {}),
  };
}

/** Returns the rule of an existing limit; `timeZone` is the form's, for limits without one. */
export function toRule(limit: { meter: Meter; amount: string; window: Window }, timeZone: string): Rule {
  const { meter, amount, window } = limit;
  return {
    meter,
    amount,
    window: window.type === 'calendar' ? window.unit : window.type,
    timeZone: window.type === 'calendar' ? window.time_zone : timeZone,
    seconds: window.type === 'rolling' ? String(window.seconds) : '60',
    startMonth: startText(window, 'start_month'),
    startDay: startText(window, 'start_day'),
    startHour: startText(window, 'start_hour'),
  };
}

function startText(window: Window, name: 'start_month' | 'start_day' | 'start_hour'): string {
  const value = window.type === 'calendar' ? window[name] : undefined;
  return value === undefined ? '' : String(value);
}

/** Returns the names of models, written apart by commas or blanks; null: all models. */
export function modelsOf(text: string): string[] | null {
  const models = text.split(/[,，\s]+/).filter((model) => model !== '');
  return models.length === 0 ? null : models;
}

/** Returns the tags that a text lists as `name=value`; null: it is empty; undefined: it is not valid. */
export function tagsOf(text: string): Record<string, string> | null | undefined {
  const tags: Record<string, string> = {};
  for (const part of text.split(/[,，]/)) {
    const [name = '', ...rest] = part.split('=');
    const value = rest.join('=').trim();
    if (part.trim() === '') continue;
    if (name.trim() === '' || value === '') return undefined;
    tags[name.trim()] = value;
  }
  return Object.keys(tags).length === 0 ? null : tags;
}

/** Returns the percents that a text lists; null: it is empty; undefined: it is not valid. */
export function percentsOf(text: string): number[] | null | undefined {
  const parts = text.split(/[,，\s%]+/).filter((part) => part !== '');
  if (parts.length === 0) return null;
  const isGood = parts.length <= 10 && parts.every((part) => /^[1-9]\d{0,3}$/.test(part) && +part <= 1_000);
  return isGood ? parts.map(Number) : undefined;
}

/** The rule of a limit as forms hold it (meter, amount and window as text), and as the API reads it. Pure. */
import type { NewLimit, Window } from '../api/types.ts';
import type { Meter } from './limit-text.tsx';

export type WindowName = 'day' | 'week' | 'month' | 'lifetime' | 'rolling';

export interface Rule {
  meter: Meter;
  amount: string;
  window: WindowName;
  timeZone: string;
  seconds: string;
}

/** Returns the windows that a meter may have: money has no rolling one, concurrency only the lifetime. */
export function windowsOf(meter: Meter): readonly [WindowName, ...WindowName[]] {
  if (meter === 'concurrency') return ['lifetime'];
  const calendar = ['day', 'week', 'month', 'lifetime'] as const;
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
        : { type: 'calendar', unit: name, time_zone: rule.timeZone };
  return { meter: rule.meter, amount: rule.amount, window };
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
  };
}

/** Returns the names of models, written apart by commas or blanks; null: all models. */
export function modelsOf(text: string): string[] | null {
  const models = text.split(/[,，\s]+/).filter((model) => model !== '');
  return models.length === 0 ? null : models;
}

/** Returns the percents that a text lists; null: it is empty; undefined: it is not valid. */
export function percentsOf(text: string): number[] | null | undefined {
  const parts = text.split(/[,，\s%]+/).filter((part) => part !== '');
  if (parts.length === 0) return null;
  const isGood = parts.length <= 10 && parts.every((part) => /^[1-9]\d{0,3}$/.test(part) && +part <= 1_000);
  return isGood ? parts.map(Number) : undefined;
}

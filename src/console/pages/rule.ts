/** What a limit counts, how much of it and in which window, as forms hold it: text until it is sent. Pure. */
import type { NewLimit, Window } from '../api/types.ts';
import type { Words } from '../words/words.ts';
import { amountFault } from './faults.ts';
import type { Meter } from './limit-words.ts';

export type WindowName = 'day' | 'week' | 'month' | 'lifetime' | 'rolling';

export interface Rule {
  meter: Meter;
  amount: string;
  window: WindowName;
  timeZone: string;
  seconds: string;
}

const ROLLING_SECONDS_MAX = 2_678_400;

/** The windows in which a meter can be counted: money by the calendar, calls at once by no window. */
export function windowsOf(meter: Meter): readonly WindowName[] {
  if (meter === 'concurrency') return ['lifetime'];
  const calendar = ['day', 'week', 'month', 'lifetime'] as const;
  return meter === 'cost_usd' ? calendar : ['rolling', ...calendar];
}

/** The window that the rule means: the chosen one, unless its meter has none such. */
export function windowNameOf({ meter, window }: Rule): WindowName {
  const windows = windowsOf(meter);
  return windows.includes(window) ? window : windows[0]!;
}

/** Limits on flow always refuse: nothing is left of them to warn of. */
export function mayOnlyWarn(rule: Rule): boolean {
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

/** The rule of a limit that exists; the zone is that of the form where the limit has none. */
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

/** What is wrong with it, by the API's names of the fields; empty text: nothing. */
export function faultsOf(t: Words, rule: Rule, prefix = ''): Record<string, string> {
  const name = windowNameOf(rule);
  const hasZone = name !== 'lifetime' && name !== 'rolling';
  return {
    [`${prefix}amount`]: quantityFault(t, rule.meter, rule.amount),
    [`${prefix}window.time_zone`]: hasZone && !isTimeZone(rule.timeZone) ? t.limits.badTimeZone : '',
    [`${prefix}window.seconds`]: name === 'rolling' && !isSeconds(rule.seconds) ? t.limits.badLength : '',
  };
}

/** Money to the pico-dollar, everything else in whole numbers. */
export function quantityFault(t: Words, meter: Meter, amount: string): string {
  if (meter === 'cost_usd') return amountFault(t, amount);
  return /^[1-9]\d{0,11}$/.test(amount) ? '' : t.limits.wholeNumber;
}

function isSeconds(text: string): boolean {
  return /^\d{1,7}$/.test(text) && Number(text) >= 1 && Number(text) <= ROLLING_SECONDS_MAX;
}

function isTimeZone(text: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: text });
    return text !== '';
  } catch {
    return false;
  }
}

/** Names of models as people write them: apart by commas or blanks. Null: all. */
export function modelsOf(text: string): string[] | null {
  const models = text.split(/[,，\s]+/).filter((model) => model !== '');
  return models.length === 0 ? null : models;
}

/** Percents as people write them; null: none is written; undefined: what is written is none. */
export function percentsOf(text: string): number[] | null | undefined {
  const parts = text.split(/[,，\s%]+/).filter((part) => part !== '');
  if (parts.length === 0) return null;
  const isGood = parts.length <= 10 && parts.every((part) => /^[1-9]\d{0,3}$/.test(part) && +part <= 1_000);
  return isGood ? parts.map(Number) : undefined;
}

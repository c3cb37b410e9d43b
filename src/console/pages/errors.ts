/** Errors of form fields, in the user's language; empty text: the field is valid. */

import type { Messages } from '../messages/messages.ts';
import { amountProblem } from '../money.ts';
import type { Meter } from './limit-text.tsx';
import { type Rule, startsOf, windowNameOf } from './rule.ts';

const ROLLING_SECONDS_MAX = 2_678_400;

export function amountError(t: Messages, text: string, zeroAllowed = false): string {
  const problem = amountProblem(text, zeroAllowed);
  if (problem === null) return '';
  return problem === 'positive' ? t.common.badPositive : t.common.badAmount;
}

/** Returns the error of an amount of a meter: money to the pico-dollar, everything else in whole numbers. */
export function quantityError(t: Messages, meter: Meter, amount: string): string {
  if (meter === 'cost_usd') return amountError(t, amount);
  return /^[1-9]\d{0,11}$/.test(amount) ? '' : t.limits.wholeNumber;
}

/** Returns the errors of a rule by the API's names of the fields. */
export function ruleErrors(t: Messages, rule: Rule, prefix = ''): Record<string, string> {
  const name = windowNameOf(rule);
  const hasZone = name !== 'lifetime' && name !== 'rolling';
  return {
    [`${prefix}amount`]: quantityError(t, rule.meter, rule.amount),
    [`${prefix}window.time_zone`]: hasZone && !isTimeZone(rule.timeZone) ? t.limits.badTimeZone : '',
    [`${prefix}window.seconds`]: name === 'rolling' && !isSeconds(rule.seconds) ? t.limits.badLength : '',
    [`${prefix}window.start_month`]: startError(t, rule.startMonth, 1, startsOf(name).start_month),
    [`${prefix}window.start_day`]: startError(t, rule.startDay, 1, startsOf(name).start_day),
    [`${prefix}window.start_hour`]: startError(t, rule.startHour, 0, startsOf(name).start_hour),
  };
}

function startError(t: Messages, text: string, least: number, most: number | undefined): string {
  if (most === undefined || text === '') return '';
  const isGood = /^\d{1,2}$/.test(text) && Number(text) >= least && Number(text) <= most;
  return isGood ? '' : t.limits.badStart(least, most);
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

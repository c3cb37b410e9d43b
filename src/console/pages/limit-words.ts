/** A limit's rule in words: whom it binds, in which window, how much of what. */
import type { Window } from '../api/types.ts';
import { partsOf } from '../money.ts';
import { moneyText } from '../parts/money.tsx';
import type { Words } from '../words/words.ts';

export type Meter = keyof Words['limits']['meters'];

export interface SubjectOf {
  type: 'org' | 'team' | 'key' | 'user';
  id?: string | null | undefined;
}

export function subjectText(t: Words, subject: SubjectOf, keyName: (id: string) => string): string {
  switch (subject.type) {
    case 'org':
      return t.limits.subjectOrg;
    case 'team':
      return t.limits.subjectTeam;
    case 'key':
      return t.limits.ofKey(keyName(subject.id ?? ''));
    case 'user':
      return subject.id ? t.limits.ofUser(subject.id) : t.limits.subjectUser;
  }
}

const LENGTHS = [
  ['days', 86_400],
  ['hours', 3_600],
  ['minutes', 60],
  ['seconds', 1],
] as const;

/** "a month", "for ever", "in any 90 s". */
export function windowText(t: Words, window: Window): string {
  if (window.type === 'lifetime') return t.limits.per.lifetime;
  if (window.type === 'calendar') return t.limits.per[window.unit];
  const [unit, seconds] = LENGTHS.find(
    ([, each]) => window.seconds % each === 0 && window.seconds > each,
  ) ?? ['seconds', 1];
  return t.limits.rolling(t.limits[unit](String(window.seconds / seconds)));
}

/** `$5.00`, `120 requests`. */
export function quantityText(t: Words, meter: Meter, amount: string): string {
  return meter === 'cost_usd' ? moneyText(amount) : `${wholeText(amount)} ${t.limits.units[meter]}`;
}

/** A whole number with its thousands apart; the API writes it with or without digits after the point. */
export function wholeText(amount: string): string {
  const { main, rest } = partsOf(amount);
  return `${main}${rest}`.replace(/\.0+$/, '');
}

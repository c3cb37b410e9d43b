/** How a limit is shown: its subject, window and amount as text, and its used share as a bar. */
import type { Window } from '../api/types.ts';
import type { Messages } from '../messages/messages.ts';
import { partsOf, ratio } from '../money.ts';
import { Bar } from '../parts/bar.tsx';
import { Money, moneyText } from '../parts/money.tsx';
import { useFormat } from '../shell/format.ts';
import { useMessages } from '../shell/language.ts';

export type Meter = keyof Messages['limits']['meters'];

export interface LimitSubject {
  type: 'org' | 'department' | 'team' | 'key' | 'user' | 'member' | 'tag';
  id?: string | null | undefined;
  name?: string | undefined;
  value?: string | null | undefined;
}

/** @param nameOf the name of a key or a department */
export function subjectText(t: Messages, subject: LimitSubject, nameOf: (id: string) => string): string {
  switch (subject.type) {
    case 'org':
      return t.limits.subjectOrg;
    case 'team':
      return t.limits.subjectTeam;
    case 'department':
      return t.limits.ofDepartment(nameOf(subject.id ?? ''));
    case 'key':
      return t.limits.ofKey(nameOf(subject.id ?? ''));
    case 'user':
      return subject.id ? t.limits.ofUser(subject.id) : t.limits.subjectUser;
    case 'member':
      return t.limits.ofTag('member', subject.id ?? null);
    case 'tag':
      return t.limits.ofTag(subject.name ?? '', subject.value ?? null);
  }
}

const LENGTHS = [
  ['days', 86_400],
  ['hours', 3_600],
  ['minutes', 60],
  ['seconds', 1],
] as const;

/** Returns "a month", "for ever", "in any 90 s". */
export function windowText(t: Messages, window: Window): string {
  if (window.type === 'lifetime') return t.limits.per.lifetime;
  if (window.type === 'calendar') return t.limits.per[window.unit];
  const [unit, seconds] = LENGTHS.find(
    ([, each]) => window.seconds % each === 0 && window.seconds > each,
  ) ?? ['seconds', 1];
  return t.limits.rolling(t.limits[unit](String(window.seconds / seconds)));
}

/** Returns `$5.00`, `120 requests`. */
export function quantityText(t: Messages, meter: Meter, amount: string): string {
  return meter === 'cost_usd' ? moneyText(amount) : `${wholeText(amount)} ${t.limits.units[meter]}`;
}

/** Returns a whole number with its thousands apart; the API writes it with or without digits after the point. */
function wholeText(amount: string): string {
  const { main, rest } = partsOf(amount);
  return `${main}${rest}`.replace(/\.0+$/, '');
}

interface QuantityProps {
  meter: Meter;
  amount: string;
  reserve?: number;
}

/** Money, or an amount of another meter. */
export function Quantity({ meter, amount, reserve }: QuantityProps) {
  const t = useMessages();
  if (meter === 'cost_usd') return <Money usd={amount} reserve={reserve} />;
  return <span class="numeric">{quantityText(t, meter, amount)}</span>;
}

/** The used share of a budget, as a bar and as a number. */
export function UsedBar({ amount, settled, held }: { amount: string; settled: string; held: string }) {
  const t = useMessages();
  const format = useFormat();
  const share = ratio(settled, amount);
  return (
    <span class="tightest">
      <Bar label={t.overview.usedShare(format.percent(share))} used={share} held={ratio(held, amount)} />
      <span class="tightest-share">{format.percent(share)}</span>
    </span>
  );
}

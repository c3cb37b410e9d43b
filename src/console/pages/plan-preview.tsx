/** Compares a plan's credit with what teams spent: which of them it would deny by now. */
import { useState } from 'preact/hooks';
import type { Usage } from '../api/types.ts';
import { useApi } from '../api/use.ts';
import { amountProblem, compare, isZero, sum } from '../money.ts';
import { moneyText } from '../parts/money.tsx';
import { useFormat } from '../shell/format.ts';
import { useMessages } from '../shell/language.ts';

/** One line of a plan's credit as it is written. */
export interface Credit {
  amount: string;
  /** Empty: it never expires. */
  months: string;
}

const MONTHS_MAX = 1_200;

export const isMonths = (text: string) =>
  text === '' || (/^\d{1,4}$/.test(text) && +text >= 1 && +text <= MONTHS_MAX);
export const monthsOf = (text: string) => (text === '' ? null : Number(text));

const DAYS_MS = 30 * 86_400_000;
const NAMES_MAX = 8;

export function PlanPreview({ lines }: { lines: readonly Credit[] }) {
  const t = useMessages();
  const format = useFormat();
  const [from] = useState(() => new Date(Date.now() - DAYS_MS).toISOString());
  const usage = useApi<Usage>('/usage', { group_by: 'team', interval: 'total', from });
  const good = lines.filter(({ amount, months }) => amountProblem(amount) === null && isMonths(months));
  if (good.length === 0 || !usage.data) return null;
  const total = sum(good.map(({ amount }) => amount));
  const spenders = usage.data.data.filter((row) => !isZero(row.cost_usd));
  const beyond = spenders.filter((row) => compare(row.cost_usd, total) > 0);
  const count = format.count(spenders.length);
  const names = beyond.map((row) => row.team_name ?? '').slice(0, NAMES_MAX);
  const months = good.map((line) => monthsOf(line.months));
  const last = months.every((each) => each !== null) ? inMonths(Math.max(...months)) : null;
  return (
    <section class="preview" aria-label={t.plans.preview} aria-live="polite">
      <h3>{t.plans.preview}</h3>
      <p>
        {t.plans.previewTotal(moneyText(total))} {last && t.plans.previewLast(format.day(last))}
      </p>
      <p>
        {beyond.length === 0
          ? t.plans.previewNone(count)
          : t.plans.previewDenied(names.join(', ') + (beyond.length > NAMES_MAX ? ' …' : ''), count)}
      </p>
    </section>
  );
}

/** The same day so many months on, or the last one of a shorter month. */
function inMonths(months: number): Date {
  const date = new Date();
  const day = date.getDate();
  date.setMonth(date.getMonth() + months, 1);
  const lastDay = new Date(date.getFullYear(), date.getMonth() + 1, 0).getDate();
  date.setDate(Math.min(day, lastDay));
  return date;
}

/** A plan's form, and what a team on it could do by now. */
import { useState } from 'preact/hooks';
import { patch, post } from '../api/client.ts';
import type { Plan, Usage } from '../api/types.ts';
import { useApi } from '../api/use.ts';
import { amountProblem, compare, isZero, sum } from '../money.ts';
import { FormDialog } from '../parts/dialog.tsx';
import { TextField } from '../parts/field.tsx';
import { moneyText } from '../parts/money.tsx';
import { useFormat } from '../shell/format.ts';
import { useWords } from '../shell/language.ts';
import { amountFault } from './faults.ts';

interface Line {
  id: number;
  amount: string;
  /** Empty: it never expires. */
  months: string;
}

interface PlanDialogProps {
  /** Null: a new one. */
  plan: Plan | null;
  onClose: () => void;
  onDone: (text: string) => void;
}

const GRANTS_MAX = 10;
const MONTHS_MAX = 1_200;

const isMonths = (text: string) =>
  text === '' || (/^\d{1,4}$/.test(text) && +text >= 1 && +text <= MONTHS_MAX);
const monthsOf = (text: string) => (text === '' ? null : Number(text));

export function PlanDialog({ plan, onClose, onDone }: PlanDialogProps) {
  const t = useWords();
  const [name, setName] = useState(plan?.name ?? '');
  const [lines, setLines] = useState<Line[]>(
    plan?.grants.map(({ amount_usd, months }, id) => ({
      id,
      amount: amount_usd,
      months: String(months ?? ''),
    })) ?? [{ id: 0, amount: '', months: '' }],
  );
  const change = (id: number, part: Partial<Line>) =>
    setLines(lines.map((line) => (line.id === id ? { ...line, ...part } : line)));
  const faults = () =>
    lines.flatMap(({ amount, months }, index) => [
      [`grants[${index}].amount_usd`, amountFault(t, amount)],
      [`grants[${index}].months`, isMonths(months) ? '' : t.plans.badMonths],
    ]);
  return (
    <FormDialog
      title={plan ? t.plans.change : t.plans.new}
      submit={plan ? t.common.save : t.plans.new}
      wide
      onClose={onClose}
      check={() => ({ name: name.trim() === '' && t.common.required, ...Object.fromEntries(faults()) })}
      send={async () => {
        const grants = lines.map(({ amount, months }) => ({ amount_usd: amount, months: monthsOf(months) }));
        if (plan) await patch<Plan>(`/plans/${encodeURIComponent(plan.name)}`, { grants });
        else await post<Plan>('/plans', { name: name.trim(), grants });
        onDone(plan ? t.plans.changed(plan.name) : t.plans.made(name.trim()));
      }}
    >
      {!plan && <TextField label={t.common.name} param="name" value={name} onValue={setName} autofocus />}
      {lines.map((line, index) => (
        <div key={line.id} class="row grant-line">
          <TextField
            label={t.common.amount}
            param={`grants[${index}].amount_usd`}
            value={line.amount}
            onValue={(amount) => change(line.id, { amount })}
            numeric
          />
          <TextField
            label={t.plans.months}
            param={`grants[${index}].months`}
            hint={t.plans.monthsHint}
            value={line.months}
            onValue={(months) => change(line.id, { months })}
            numeric
          />
          <button
            type="button"
            class="button small"
            onClick={() => setLines(lines.filter((each) => each !== line))}
            aria-label={`${t.plans.removeGrant} ${index + 1}`}
          >
            ×
          </button>
        </div>
      ))}
      {lines.length < GRANTS_MAX && (
        <p>
          <button
            type="button"
            class="button quiet"
            onClick={() =>
              setLines([
                ...lines,
                { id: Math.max(-1, ...lines.map(({ id }) => id)) + 1, amount: '', months: '' },
              ])
            }
          >
            {t.plans.add}
          </button>
        </p>
      )}
      <PlanPreview lines={lines} />
    </FormDialog>
  );
}

const DAYS_MS = 30 * 86_400_000;
const NAMES_MAX = 8;

/** Holds the plan's credit against what teams really spent: who would be refused by now, had they started with it. */
function PlanPreview({ lines }: { lines: Line[] }) {
  const t = useWords();
  const format = useFormat();
  const [from] = useState(() => new Date(Date.now() - DAYS_MS).toISOString());
  const usage = useApi<Usage>('/usage', { group_by: 'team', interval: 'total', from });
  const good = lines.filter(({ amount, months }) => amountProblem(amount) === null && isMonths(months));
  if (good.length === 0 || !usage.data) return null;
  const total = sum(good.map(({ amount }) => amount));
  const spenders = usage.data.data.filter((row) => !isZero(row.cost_usd));
  const beyond = spenders.filter((row) => compare(row.cost_usd, total) > 0);
  const count = format.count(spenders.length);
  const names = beyond.map((row) => row.team_name ?? row.team_id ?? '').slice(0, NAMES_MAX);
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
          : t.plans.previewRefused(names.join(', ') + (beyond.length > NAMES_MAX ? ' …' : ''), count)}
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

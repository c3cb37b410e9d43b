/** A plan's form: credit, limits and models that a new team starts with. */
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { patch, post } from '../api/client.ts';
import type { Plan } from '../api/types.ts';
import { FormDialog } from '../parts/dialog.tsx';
import { TextField } from '../parts/field.tsx';
import { TIME_ZONE } from '../shell/format.ts';
import { useMessages } from '../shell/language.ts';
import { amountError, ruleErrors } from './errors.ts';
import { type Credit, isMonths, monthsOf, PlanPreview } from './plan-preview.tsx';
import { modelsOf, type Rule, toBody, toRule } from './rule.ts';
import { NEW_RULE, RuleFields } from './rule-fields.tsx';

interface PlanDialogProps {
  /** Null: a new one. */
  plan: Plan | null;
  onClose: () => void;
  onDone: (text: string) => void;
}

const GRANTS_MAX = 10;
const LIMITS_MAX = 20;

/** A line of a list that grows and shrinks keeps its number, and with it its fields on the page. */
interface Line<Value> {
  id: number;
  value: Value;
}

const numbered = <Value,>(values: readonly Value[]) =>
  values.map((value, id): Line<Value> => ({ id, value }));

export function PlanDialog({ plan, onClose, onDone }: PlanDialogProps) {
  const t = useMessages();
  const [name, setName] = useState(plan?.name ?? '');
  const [credit, setCredit] = useState(numbered<Credit>(plan ? plan.grants.map(creditOf) : [EMPTY_CREDIT]));
  const [rules, setRules] = useState(
    numbered<Rule>(plan?.limits.map((each) => toRule(each, TIME_ZONE)) ?? []),
  );
  const [models, setModels] = useState(plan?.models?.join(', ') ?? '');
  const errors = () => ({
    name: name.trim() === '' && t.common.required,
    ...Object.fromEntries(
      credit.flatMap(({ value: { amount, months } }, index) => [
        [`grants[${index}].amount_usd`, amountError(t, amount)],
        [`grants[${index}].months`, isMonths(months) ? '' : t.plans.badMonths],
      ]),
    ),
    ...Object.assign({}, ...rules.map(({ value }, index) => ruleErrors(t, value, `limits[${index}].`))),
  });
  return (
    <FormDialog
      title={plan ? t.plans.change : t.plans.new}
      submit={plan ? t.common.save : t.plans.new}
      wide
      onClose={onClose}
      check={errors}
      send={async () => {
        const grants = credit.map(({ value }) => ({
          amount_usd: value.amount,
          months: monthsOf(value.months),
        }));
        // What the form does not show of a limit stays as it is.
        const limits = rules.map(({ id, value }) => ({ ...hidden(plan?.limits[id]), ...toBody(value) }));
        const body = { grants, limits, models: modelsOf(models) };
        if (plan) await patch<Plan>(`/plans/${encodeURIComponent(plan.name)}`, body);
        else await post<Plan>('/plans', { name: name.trim(), ...body });
        onDone(plan ? t.plans.changed(plan.name) : t.plans.made(name.trim()));
      }}
    >
      {!plan && <TextField label={t.common.name} param="name" value={name} onValue={setName} autofocus />}
      <Lines
        title={t.plans.grants}
        add={t.plans.add}
        removeLabel={t.plans.removeGrant}
        lines={credit}
        most={GRANTS_MAX}
        empty={EMPTY_CREDIT}
        onLines={setCredit}
      >
        {(value, index, change) => <CreditFields credit={value} index={index} onCredit={change} />}
      </Lines>
      <Lines
        title={t.nav.limits}
        add={t.plans.addLimit}
        removeLabel={t.plans.removeLimit}
        lines={rules}
        most={LIMITS_MAX}
        empty={NEW_RULE}
        onLines={setRules}
      >
        {(value, index, change) => <RuleFields rule={value} onRule={change} prefix={`limits[${index}].`} />}
      </Lines>
      <TextField
        label={t.keys.models}
        param="models"
        hint={t.keys.modelsHint}
        optional
        value={models}
        onValue={setModels}
      />
      <PlanPreview lines={credit.map(({ value }) => value)} />
    </FormDialog>
  );
}

interface CreditFieldsProps {
  credit: Credit;
  index: number;
  onCredit: (credit: Credit) => void;
}

function CreditFields({ credit, index, onCredit }: CreditFieldsProps) {
  const t = useMessages();
  return (
    <div class="row">
      <TextField
        label={t.common.amount}
        param={`grants[${index}].amount_usd`}
        value={credit.amount}
        onValue={(amount) => onCredit({ ...credit, amount })}
        numeric
      />
      <TextField
        label={t.plans.months}
        param={`grants[${index}].months`}
        hint={t.plans.monthsHint}
        value={credit.months}
        onValue={(months) => onCredit({ ...credit, months })}
        numeric
      />
    </div>
  );
}

const EMPTY_CREDIT: Credit = { amount: '', months: '' };

function creditOf({ amount_usd: amount, months }: Plan['grants'][number]): Credit {
  return { amount, months: String(months ?? '') };
}

function hidden(limit: Plan['limits'][number] | undefined) {
  if (!limit) return {};
  const { models, enforcement, max_hold, max_unknown, warn_at, on_exhausted, carry_over } = limit;
  return { models, enforcement, max_hold, max_unknown, warn_at, on_exhausted, carry_over };
}

interface LinesProps<Value> {
  title: string;
  add: string;
  removeLabel: string;
  lines: Line<Value>[];
  most: number;
  empty: Value;
  onLines: (lines: Line<Value>[]) => void;
  children: (value: Value, index: number, change: (value: Value) => void) => ComponentChildren;
}

function Lines<Value>({ title, add, removeLabel, lines, most, empty, onLines, children }: LinesProps<Value>) {
  const change = (id: number) => (value: Value) =>
    onLines(lines.map((line) => (line.id === id ? { id, value } : line)));
  // Beyond the numbers that a stored plan's lines have, so that a new line is never taken for one of them.
  const next = Math.max(LIMITS_MAX, ...lines.map(({ id }) => id)) + 1;
  return (
    <fieldset class="lines">
      <legend>{title}</legend>
      {lines.map((line, index) => (
        <div key={line.id} class="line">
          <div class="line-fields">{children(line.value, index, change(line.id))}</div>
          <button
            type="button"
            class="button small"
            aria-label={`${removeLabel} ${index + 1}`}
            onClick={() => onLines(lines.filter((each) => each !== line))}
          >
            ×
          </button>
        </div>
      ))}
      {lines.length < most && (
        <button
          type="button"
          class="button quiet"
          onClick={() => onLines([...lines, { id: next, value: empty }])}
        >
          {add}
        </button>
      )}
    </fieldset>
  );
}

/** What becomes of a limit's ends: of a call that it would refuse, and of what its window leaves. */
import type { Limit, NewLimit } from '../api/types.ts';
import type { Messages } from '../messages/messages.ts';
import { amountProblem } from '../money.ts';
import { SelectField, TextField } from '../parts/field.tsx';
import { useMessages } from '../shell/language.ts';
import { modelsOf } from './rule.ts';

type OnExhausted = Limit['on_exhausted'];

const ACTIONS = ['refuse', 'wait', 'slow_down', 'cheaper_model'] as const;
const FROM_PERCENT = 80;
const MODELS_MAX = 10;

export interface LimitEnds {
  action: OnExhausted['action'];
  seconds: string;
  perMinute: string;
  fromPercent: string;
  models: string;
  /** Dollars such as `100`, or a part of the amount such as `20%`. */
  carryOver: string;
}

/** Returns the ends of a limit as the form holds them; those of a new one by default. */
export function endsOf(limit?: Pick<Limit, 'on_exhausted' | 'carry_over'>): LimitEnds {
  const what: OnExhausted = limit?.on_exhausted ?? { action: 'refuse' };
  const carry = limit?.carry_over ?? null;
  return {
    action: what.action,
    seconds: what.action === 'wait' ? String(what.max_seconds) : '30',
    perMinute: what.action === 'slow_down' ? String(what.calls_per_minute) : '10',
    fromPercent: String(what.action === 'slow_down' ? what.from_percent : FROM_PERCENT),
    models: what.action === 'cheaper_model' ? what.models.join(', ') : '',
    carryOver: carry === null ? '' : (carry.max_usd ?? `${carry.max_percent}%`),
  };
}

/** Returns the ends as the API reads them. */
export function endsBody(ends: LimitEnds): Required<Pick<NewLimit, 'on_exhausted' | 'carry_over'>> {
  const percent = /^(\d+) ?%$/.exec(ends.carryOver)?.[1];
  const carry = percent === undefined ? { max_usd: ends.carryOver } : { max_percent: Number(percent) };
  return { on_exhausted: onExhaustedOf(ends), carry_over: ends.carryOver === '' ? null : carry };
}

function onExhaustedOf({ action, seconds, perMinute, fromPercent, models }: LimitEnds): OnExhausted {
  switch (action) {
    case 'refuse':
      return { action };
    case 'wait':
      return { action, max_seconds: Number(seconds) };
    case 'slow_down':
      return { action, calls_per_minute: Number(perMinute), from_percent: Number(fromPercent) };
    case 'cheaper_model':
      return { action, models: modelsOf(models) ?? [] };
  }
}

/** Returns the errors of the fields by the API's names of them. */
export function endsErrors(t: Messages, ends: LimitEnds): Record<string, string> {
  const { action, seconds, perMinute, fromPercent, models, carryOver } = ends;
  const among = (text: string, most: number) =>
    /^\d{1,4}$/.test(text) && Number(text) >= 1 && Number(text) <= most ? '' : t.limits.badStart(1, most);
  const listed = modelsOf(models)?.length ?? 0;
  const isCarry = /^([1-9]\d?|100) ?%$/.test(carryOver) || amountProblem(carryOver) === null;
  return {
    'on_exhausted.max_seconds': action === 'wait' ? among(seconds, 300) : '',
    'on_exhausted.calls_per_minute': action === 'slow_down' ? among(perMinute, 6_000) : '',
    'on_exhausted.from_percent': action === 'slow_down' ? among(fromPercent, 99) : '',
    'on_exhausted.models':
      action === 'cheaper_model' && (listed === 0 || listed > MODELS_MAX) ? t.ends.badModels : '',
    carry_over: carryOver === '' || isCarry ? '' : t.ends.badCarryOver,
  };
}

interface FieldsProps {
  ends: LimitEnds;
  onEnds: (ends: LimitEnds) => void;
}

export function EndsFields({ ends, onEnds }: FieldsProps) {
  const t = useMessages();
  const field = (name: keyof LimitEnds) => ({
    value: ends[name],
    onValue: (value: string) => onEnds({ ...ends, [name]: value }),
  });
  const { action } = ends;
  return (
    <>
      <SelectField
        label={t.ends.onExhausted}
        param="on_exhausted.action"
        {...field('action')}
        options={ACTIONS.map((value) => ({ value, text: t.ends.actions[value] }))}
      />
      {action === 'wait' && (
        <TextField label={t.ends.seconds} param="on_exhausted.max_seconds" {...field('seconds')} numeric />
      )}
      {action === 'slow_down' && (
        <div class="row">
          <TextField
            label={t.ends.perMinute}
            param="on_exhausted.calls_per_minute"
            {...field('perMinute')}
            numeric
          />
          <TextField
            label={t.ends.fromPercent}
            param="on_exhausted.from_percent"
            {...field('fromPercent')}
            numeric
          />
        </div>
      )}
      {action === 'cheaper_model' && (
        <TextField
          label={t.keys.models}
          param="on_exhausted.models"
          hint={t.ends.modelsHint}
          {...field('models')}
        />
      )}
      <TextField
        label={t.ends.carryOver}
        param="carry_over"
        hint={t.ends.carryOverHint}
        optional
        {...field('carryOver')}
      />
    </>
  );
}

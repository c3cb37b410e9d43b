/** The options of a limit that its two forms share: the most that one call may hold, and when it warns. */
import type { Messages } from '../messages/messages.ts';
import { TextField } from '../parts/field.tsx';
import { useMessages } from '../shell/language.ts';
import { quantityError } from './errors.ts';
import type { Meter } from './limit-text.tsx';
import { percentsOf } from './rule.ts';

export interface LimitOptionValues {
  maxHold: string;
  maxUnknown: string;
  warnAt: string;
}

interface LimitOptionsProps {
  meter: Meter;
  /** False: a soft limit bounds no call. */
  hasMaxHold: boolean;
  values: LimitOptionValues;
  onValues: (values: LimitOptionValues) => void;
}

export function LimitOptions({ meter, hasMaxHold, values, onValues }: LimitOptionsProps) {
  const t = useMessages();
  return (
    <div class="row">
      {hasMaxHold && (
        <TextField
          label={t.limits.maxHold}
          param="max_hold"
          hint={t.limits.maxHoldHint}
          optional
          value={values.maxHold}
          onValue={(maxHold) => onValues({ ...values, maxHold })}
          numeric
        />
      )}
      {meter === 'cost_usd' && (
        <TextField
          label={t.limits.maxUnknown}
          param="max_unknown"
          hint={t.limits.maxUnknownHint}
          optional
          value={values.maxUnknown}
          onValue={(maxUnknown) => onValues({ ...values, maxUnknown })}
          numeric
        />
      )}
      <TextField
        label={t.limits.warnAt}
        param="warn_at"
        hint={t.limits.warnAtHint}
        optional
        value={values.warnAt}
        onValue={(warnAt) => onValues({ ...values, warnAt })}
      />
    </div>
  );
}

/** Returns the errors of the options by the API's names of the fields. */
export function limitOptionErrors(t: Messages, meter: Meter, values: LimitOptionValues) {
  const { maxHold, maxUnknown, warnAt } = values;
  return {
    max_hold: maxHold === '' ? '' : quantityError(t, meter, maxHold),
    max_unknown: maxUnknown === '' ? '' : quantityError(t, meter, maxUnknown),
    warn_at: percentsOf(warnAt) === undefined ? t.limits.badPercents : '',
  };
}

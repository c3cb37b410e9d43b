/** Dialogs that create, change and delete limits; each previews what the limit would do. */
import { useState } from 'preact/hooks';
import { patch, remove } from '../api/client.ts';
import type { Limit } from '../api/types.ts';
import { useApi } from '../api/use.ts';
import { announce } from '../parts/announce.tsx';
import { Dialog, FormDialog } from '../parts/dialog.tsx';
import { TextField } from '../parts/field.tsx';
import { Load } from '../parts/states.tsx';
import { useMessages } from '../shell/language.ts';
import { quantityError } from './errors.ts';
import { EndsFields, endsBody, endsErrors, endsOf } from './limit-ends.tsx';
import { NewLimitDialog } from './limit-form.tsx';
import { LimitOptions, limitOptionErrors } from './limit-options.tsx';
import { LimitPreviewBox } from './limit-preview.tsx';
import { RaiseDialog, ResetDialog } from './limit-raise.tsx';
import type { LimitTag } from './limit-subject.tsx';
import type { LimitRow } from './limit-table.tsx';
import { percentsOf } from './rule.ts';

export type LimitDialogState =
  | { what: 'create'; tag?: LimitTag }
  | { what: 'change' | 'delete' | 'raise' | 'reset'; limit: LimitRow };

interface LimitDialogsProps {
  dialog: LimitDialogState | null;
  /** The team of a new limit; null: the form has a field for it. */
  teamId: string | null;
  onClose: () => void;
  onDone: () => void;
}

export function LimitDialogs({ dialog, teamId, onClose, onDone }: LimitDialogsProps) {
  const t = useMessages();
  const done = (text: string) => {
    announce(text);
    onDone();
    onClose();
  };
  if (dialog === null) return null;
  if (dialog.what === 'create')
    return <NewLimitDialog teamId={teamId} tag={dialog.tag} onClose={onClose} onDone={done} />;
  if (dialog.what === 'raise') return <RaiseDialog limit={dialog.limit} onClose={onClose} onDone={done} />;
  if (dialog.what === 'reset') return <ResetDialog limit={dialog.limit} onClose={onClose} onDone={done} />;
  if (dialog.what === 'change') return <ChangeDialog limit={dialog.limit} onClose={onClose} onDone={done} />;
  return (
    <FormDialog
      title={t.limits.deleteTitle}
      text={t.limits.deleteText}
      submit={t.common.remove}
      danger
      onClose={onClose}
      send={async () => {
        await remove<Limit>(`/limits/${dialog.limit.id}`);
        done(t.limits.deleted);
      }}
    />
  );
}

interface ChangeProps {
  limit: LimitRow;
  onClose: () => void;
  onDone: (text: string) => void;
}

/** A list does not hold all fields of a limit: the dialog loads the limit. */
function ChangeDialog(props: ChangeProps) {
  const t = useMessages();
  const whole = useApi<Limit>(`/limits/${props.limit.id}`);
  if (whole.data) return <ChangeForm {...props} whole={whole.data} />;
  return (
    <Dialog title={t.limits.changeTitle} onClose={props.onClose}>
      <Load of={whole}>{() => null}</Load>
    </Dialog>
  );
}

function ChangeForm({ limit, whole, onClose, onDone }: ChangeProps & { whole: Limit }) {
  const t = useMessages();
  const before = {
    maxHold: whole.max_hold ?? '',
    maxUnknown: whole.max_unknown ?? '',
    warnAt: whole.warn_at?.join(', ') ?? '',
  };
  const [name, setName] = useState(whole.name ?? '');
  const [amount, setAmount] = useState(whole.amount);
  const [options, setOptions] = useState(before);
  const [ends, setEnds] = useState(endsOf(whole));
  const isStrict = whole.enforcement === 'strict';
  const { maxHold, maxUnknown, warnAt } = options;
  const isMoney = limit.meter === 'cost_usd';
  const amountProblem = quantityError(t, limit.meter, amount);
  return (
    <FormDialog
      title={t.limits.changeTitle}
      submit={t.common.save}
      onClose={onClose}
      check={() => ({
        amount: amountProblem,
        ...limitOptionErrors(t, limit.meter, options),
        ...(isStrict ? endsErrors(t, ends) : {}),
      })}
      send={async () => {
        await patch<Limit>(`/limits/${limit.id}`, {
          name: name.trim() === '' ? null : name.trim(),
          amount,
          // Only changed fields are sent: "never warns" and "as configured" look the same in the form.
          ...(maxHold === before.maxHold ? {} : { max_hold: maxHold === '' ? null : maxHold }),
          ...(maxUnknown === before.maxUnknown ? {} : { max_unknown: maxUnknown === '' ? null : maxUnknown }),
          ...(warnAt === before.warnAt ? {} : { warn_at: percentsOf(warnAt) ?? null }),
          ...(isStrict ? endsBody(ends) : {}),
        });
        onDone(t.limits.changed);
      }}
    >
      <TextField
        label={isMoney ? t.common.amount : t.limits.quantity}
        param="amount"
        hint={isMoney ? t.common.wholeAmount : t.limits.wholeHint}
        value={amount}
        onValue={setAmount}
        numeric
        autofocus
      />
      <TextField label={t.common.name} param="name" optional value={name} onValue={setName} />
      <details class="more">
        <summary>{t.limits.more}</summary>
        <div class="dialog-body">
          {isStrict && <EndsFields ends={ends} onEnds={setEnds} />}
          <LimitOptions meter={limit.meter} hasMaxHold={isStrict} values={options} onValues={setOptions} />
        </div>
      </details>
      <LimitPreviewBox limit={amountProblem ? null : { ...ruleOf(whole), amount }} />
    </FormDialog>
  );
}

/** The rule of a limit as a new one would be dialog for. */
function ruleOf({ subject, models, meter, window, enforcement }: Limit) {
  return { subject, models, meter, window, enforcement };
}

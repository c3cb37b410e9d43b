/** Makes, changes and deletes limits, and shows before what a limit would do. */
import { useState } from 'preact/hooks';
import { patch, remove } from '../api/client.ts';
import type { Limit } from '../api/types.ts';
import { useApi } from '../api/use.ts';
import { announce } from '../parts/announce.tsx';
import { Dialog, FormDialog } from '../parts/dialog.tsx';
import { TextField } from '../parts/field.tsx';
import { Load } from '../parts/states.tsx';
import { useWords } from '../shell/language.ts';
import { NewLimitDialog } from './limit-form.tsx';
import { LimitPreviewBox } from './limit-preview.tsx';
import type { LimitRow } from './limit-table.tsx';
import { percentsOf, quantityFault } from './rule.ts';

export type LimitAsked = { what: 'make' } | { what: 'change' | 'delete'; limit: LimitRow };

interface LimitDialogsProps {
  asked: LimitAsked | null;
  /** The team that a new limit is for; null: the dialog asks. */
  teamId: string | null;
  onClose: () => void;
  onDone: () => void;
}

export function LimitDialogs({ asked, teamId, onClose, onDone }: LimitDialogsProps) {
  const t = useWords();
  const done = (text: string) => {
    announce(text);
    onDone();
    onClose();
  };
  if (asked === null) return null;
  if (asked.what === 'make') return <NewLimitDialog teamId={teamId} onClose={onClose} onDone={done} />;
  if (asked.what === 'change') return <ChangeDialog limit={asked.limit} onClose={onClose} onDone={done} />;
  return (
    <FormDialog
      title={t.limits.deleteTitle}
      text={t.limits.deleteText}
      submit={t.common.remove}
      danger
      onClose={onClose}
      send={async () => {
        await remove<Limit>(`/limits/${asked.limit.id}`);
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

/** A list of limits does not say all of one, so the dialog asks for the rest. */
function ChangeDialog(props: ChangeProps) {
  const t = useWords();
  const whole = useApi<Limit>(`/limits/${props.limit.id}`);
  if (whole.data) return <ChangeForm {...props} whole={whole.data} />;
  return (
    <Dialog title={t.limits.changeTitle} onClose={props.onClose}>
      <Load of={whole}>{() => null}</Load>
    </Dialog>
  );
}

function ChangeForm({ limit, whole, onClose, onDone }: ChangeProps & { whole: Limit }) {
  const t = useWords();
  const before = { maxHold: whole.max_hold ?? '', warnAt: whole.warn_at?.join(', ') ?? '' };
  const [amount, setAmount] = useState(whole.amount);
  const [maxHold, setMaxHold] = useState(before.maxHold);
  const [warnAt, setWarnAt] = useState(before.warnAt);
  const isMoney = limit.meter === 'cost_usd';
  const badAmount = quantityFault(t, limit.meter, amount);
  return (
    <FormDialog
      title={t.limits.changeTitle}
      submit={t.common.save}
      onClose={onClose}
      check={() => ({
        amount: badAmount,
        max_hold: maxHold !== '' && quantityFault(t, limit.meter, maxHold),
        warn_at: percentsOf(warnAt) === undefined && t.limits.badPercents,
      })}
      send={async () => {
        await patch<Limit>(`/limits/${limit.id}`, {
          amount,
          // What nobody touched is not sent: "warns never" and "as configured" look alike here.
          ...(maxHold === before.maxHold ? {} : { max_hold: maxHold === '' ? null : maxHold }),
          ...(warnAt === before.warnAt ? {} : { warn_at: percentsOf(warnAt) ?? null }),
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
      <details class="more">
        <summary>{t.limits.more}</summary>
        <div class="row">
          {whole.enforcement === 'strict' && (
            <TextField
              label={t.limits.maxHold}
              param="max_hold"
              hint={t.limits.maxHoldHint}
              optional
              value={maxHold}
              onValue={setMaxHold}
              numeric
            />
          )}
          <TextField
            label={t.limits.warnAt}
            param="warn_at"
            hint={t.limits.warnAtHint}
            optional
            value={warnAt}
            onValue={setWarnAt}
          />
        </div>
      </details>
      <LimitPreviewBox limit={badAmount ? null : { ...ruleOf(whole), amount }} />
    </FormDialog>
  );
}

/** The rule of a limit as a new one would be asked for. */
function ruleOf({ subject, models, meter, window, enforcement }: Limit) {
  return { subject, models, meter, window, enforcement };
}

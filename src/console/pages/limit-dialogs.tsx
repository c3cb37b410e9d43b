/** Makes, changes and deletes limits, and shows before what a limit would do. */
import { useState } from 'preact/hooks';
import { patch, remove } from '../api/client.ts';
import type { Limit } from '../api/types.ts';
import { announce } from '../parts/announce.tsx';
import { FormDialog } from '../parts/dialog.tsx';
import { TextField } from '../parts/field.tsx';
import { useWords } from '../shell/language.ts';
import { NewLimitDialog } from './limit-form.tsx';
import { LimitPreviewBox } from './limit-preview.tsx';
import type { LimitRow } from './limit-table.tsx';
import { quantityFault } from './rule.ts';

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

function ChangeDialog({ limit, onClose, onDone }: ChangeProps) {
  const t = useWords();
  const [amount, setAmount] = useState(limit.amount);
  const isMoney = limit.meter === 'cost_usd';
  const badAmount = quantityFault(t, limit.meter, amount);
  return (
    <FormDialog
      title={t.limits.changeTitle}
      submit={t.common.save}
      onClose={onClose}
      check={() => ({ amount: badAmount })}
      send={async () => {
        await patch<Limit>(`/limits/${limit.id}`, { amount });
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
      <LimitPreviewBox limit={badAmount ? null : { ...ruleOf(limit), amount }} />
    </FormDialog>
  );
}

/** The rule of a limit as a new one would be asked for. */
function ruleOf({ subject, models = null, meter, window, enforcement = 'strict' }: LimitRow) {
  return { subject, models, meter, window, enforcement };
}

/** Dialogs that raise a limit for some time, and that let its window count again from nothing. */
import { useState } from 'preact/hooks';
import { post } from '../api/client.ts';
import type { Limit } from '../api/types.ts';
import { FormDialog } from '../parts/dialog.tsx';
import { DateTimeField, TextField } from '../parts/field.tsx';
import { useMessages } from '../shell/language.ts';
import { toInstant } from './dates.ts';
import { quantityError } from './errors.ts';
import type { LimitRow } from './limit-table.tsx';

interface DialogProps {
  limit: LimitRow;
  onClose: () => void;
  onDone: (text: string) => void;
}

export function RaiseDialog({ limit, onClose, onDone }: DialogProps) {
  const t = useMessages();
  const [amount, setAmount] = useState('');
  const [until, setUntil] = useState('');
  const [reason, setReason] = useState('');
  return (
    <FormDialog
      title={t.limits.raiseTitle}
      text={t.limits.raiseText}
      submit={t.limits.raise}
      onClose={onClose}
      check={() => ({
        amount: quantityError(t, limit.meter, amount),
        until: !toInstant(until) && t.common.badDate,
        reason: reason.trim() === '' && t.common.required,
      })}
      send={async () => {
        const body = { amount, until: toInstant(until), reason: reason.trim() };
        await post<unknown>(`/limits/${limit.id}/raises`, body);
        onDone(t.limits.raised);
      }}
    >
      <TextField
        label={limit.meter === 'cost_usd' ? t.limits.raiseBy : t.limits.quantity}
        param="amount"
        value={amount}
        onValue={setAmount}
        numeric
        autofocus
      />
      <DateTimeField label={t.limits.until} param="until" value={until} onValue={setUntil} />
      <TextField label={t.limits.reason} param="reason" value={reason} onValue={setReason} />
    </FormDialog>
  );
}

export function ResetDialog({ limit, onClose, onDone }: DialogProps) {
  const t = useMessages();
  const [reason, setReason] = useState('');
  return (
    <FormDialog
      title={t.limits.resetTitle}
      text={t.limits.resetText}
      submit={t.limits.reset}
      onClose={onClose}
      check={() => ({ reason: reason.trim() === '' && t.common.required })}
      send={async () => {
        await post<Limit>(`/limits/${limit.id}/reset`, { reason: reason.trim() });
        onDone(t.limits.wasReset);
      }}
    >
      <TextField label={t.limits.reason} param="reason" value={reason} onValue={setReason} autofocus />
    </FormDialog>
  );
}

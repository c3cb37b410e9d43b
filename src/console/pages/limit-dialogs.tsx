/** Makes, changes and deletes limits, and shows before what a limit would do. */
import { useState } from 'preact/hooks';
import { patch, post, remove } from '../api/client.ts';
import type { Limit, NewLimit, Window } from '../api/types.ts';
import { amountProblem } from '../money.ts';
import { announce } from '../parts/announce.tsx';
import { FormDialog } from '../parts/dialog.tsx';
import { SelectField, TextField } from '../parts/field.tsx';
import { TIME_ZONE } from '../shell/format.ts';
import { useWords } from '../shell/language.ts';
import { amountFault } from './faults.ts';
import { LimitPreviewBox } from './limit-preview.tsx';
import type { LimitRow } from './limit-table.tsx';
import { useKeyOptions, useTeamOptions } from './names.ts';

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

interface NewLimitProps {
  teamId: string | null;
  onClose: () => void;
  onDone: (text: string) => void;
}

type WindowName = 'day' | 'week' | 'month' | 'lifetime';

function windowOf(name: WindowName, timeZone: string): Window {
  return name === 'lifetime' ? { type: 'lifetime' } : { type: 'calendar', unit: name, time_zone: timeZone };
}

const TIME_ZONES = [...new Set(['UTC', TIME_ZONE, ...Intl.supportedValuesOf('timeZone')])];

function isTimeZone(text: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: text });
    return text !== '';
  } catch {
    return false;
  }
}

function NewLimitDialog({ teamId, onClose, onDone }: NewLimitProps) {
  const t = useWords();
  const teams = useTeamOptions();
  const [team, setTeam] = useState(teamId ?? '');
  const [keyId, setKeyId] = useState('');
  const [amount, setAmount] = useState('');
  const [window, setWindow] = useState<WindowName>('month');
  const [timeZone, setTimeZone] = useState(TIME_ZONE);
  const keys = useKeyOptions(team === '' ? null : team);
  const body: NewLimit = {
    subject: keyId === '' ? { type: 'team', id: team } : { type: 'key', id: keyId },
    meter: 'cost_usd',
    amount,
    window: windowOf(window, timeZone),
    enforcement: 'strict',
  };
  const isReady = team !== '' && amountProblem(amount) === null && isTimeZone(timeZone);
  return (
    <FormDialog
      title={t.limits.new}
      submit={t.limits.new}
      wide
      onClose={onClose}
      check={() => ({
        team: team === '' && t.common.required,
        amount: amountFault(t, amount),
        'window.time_zone': !isTimeZone(timeZone) && t.limits.badTimeZone,
      })}
      send={async () => {
        await post<Limit>('/limits', body);
        onDone(t.limits.made);
      }}
    >
      <div class="row">
        {teamId === null && (
          <SelectField
            label={t.common.team}
            param="team"
            value={team}
            onValue={(id) => {
              setTeam(id);
              setKeyId('');
            }}
            options={[{ value: '', text: '—' }, ...teams]}
          />
        )}
        <SelectField
          label={t.limits.subject}
          param="subject"
          value={keyId}
          onValue={setKeyId}
          options={[
            { value: '', text: t.limits.subjectTeam },
            ...(team === '' ? [] : keys.map(({ value, text }) => ({ value, text: t.limits.ofKey(text) }))),
          ]}
        />
      </div>
      <div class="row">
        <TextField
          label={t.common.amount}
          param="amount"
          hint={t.common.wholeAmount}
          value={amount}
          onValue={setAmount}
          numeric
          autofocus={teamId !== null}
        />
        <SelectField
          label={t.limits.window}
          param="window"
          value={window}
          onValue={(name) => setWindow(name as WindowName)}
          options={(['day', 'week', 'month', 'lifetime'] as const).map((value) => ({
            value,
            text: t.limits.windows[value],
          }))}
        />
      </div>
      {window !== 'lifetime' && (
        <TextField
          label={t.limits.timeZone}
          param="window.time_zone"
          hint={t.limits.timeZoneHint}
          value={timeZone}
          onValue={setTimeZone}
          among={TIME_ZONES}
        />
      )}
      <LimitPreviewBox limit={isReady ? body : null} />
    </FormDialog>
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
  const { subject, meter, window } = limit;
  const preview: NewLimit = { subject, meter, amount, window, enforcement: 'strict' };
  return (
    <FormDialog
      title={t.limits.changeTitle}
      submit={t.common.save}
      onClose={onClose}
      check={() => ({ amount: amountFault(t, amount) })}
      send={async () => {
        await patch<Limit>(`/limits/${limit.id}`, { amount });
        onDone(t.limits.changed);
      }}
    >
      <TextField
        label={t.common.amount}
        param="amount"
        hint={t.common.wholeAmount}
        value={amount}
        onValue={setAmount}
        numeric
        autofocus
      />
      <LimitPreviewBox limit={amountProblem(amount) === null ? preview : null} />
    </FormDialog>
  );
}

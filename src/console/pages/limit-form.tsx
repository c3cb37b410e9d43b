/** The form of a new limit: its subject, meter, amount, window and options. */
import { useState } from 'preact/hooks';
import { post } from '../api/client.ts';
import type { Limit, NewLimit } from '../api/types.ts';
import { FormDialog } from '../parts/dialog.tsx';
import { TextField, Tick } from '../parts/field.tsx';
import { useMessages } from '../shell/language.ts';
import { ruleErrors } from './errors.ts';
import { EndsFields, endsBody, endsErrors, endsOf } from './limit-ends.tsx';
import { LimitOptions, limitOptionErrors } from './limit-options.tsx';
import { LimitPreviewBox } from './limit-preview.tsx';
import {
  type LimitTag,
  SubjectFields,
  type SubjectValues,
  subjectErrors,
  subjectOf,
} from './limit-subject.tsx';
import { mayBeSoft, modelsOf, percentsOf, toBody } from './rule.ts';
import { NEW_RULE, RuleFields } from './rule-fields.tsx';

interface NewLimitProps {
  /** The team of the limit; null: the form has a field for it. */
  teamId: string | null;
  /** What it is on; missing: the form says. */
  tag?: LimitTag | undefined;
  onClose: () => void;
  onDone: (text: string) => void;
}

export function NewLimitDialog({ teamId, tag, onClose, onDone }: NewLimitProps) {
  const t = useMessages();
  const [subject, setSubject] = useState<SubjectValues>({
    team: teamId ?? '',
    on: tag ? 'tag' : 'team',
    tag: tag ?? { name: '', value: '' },
  });
  const [rule, setRule] = useState(NEW_RULE);
  const [name, setName] = useState('');
  const [models, setModels] = useState('');
  const [soft, setSoft] = useState(false);
  const [ends, setEnds] = useState(endsOf());
  const [options, setOptions] = useState({ maxHold: '', maxUnknown: '', warnAt: '' });
  const { maxHold, maxUnknown, warnAt } = options;
  const isSoft = soft && mayBeSoft(rule);
  const body: NewLimit = {
    name: name.trim() === '' ? null : name.trim(),
    subject: subjectOf(subject),
    ...toBody(rule),
    models: modelsOf(models),
    enforcement: isSoft ? 'soft' : 'strict',
    max_hold: isSoft || maxHold === '' ? null : maxHold,
    max_unknown: rule.meter !== 'cost_usd' || maxUnknown === '' ? null : maxUnknown,
    warn_at: percentsOf(warnAt) ?? null,
    ...(isSoft ? {} : endsBody(ends)),
  };
  const errors = {
    ...subjectErrors(t, subject),
    ...ruleErrors(t, rule),
    ...(isSoft ? {} : endsErrors(t, ends)),
    ...limitOptionErrors(t, rule.meter, isSoft ? { ...options, maxHold: '' } : options),
  };
  const isReady = Object.values(errors).every((text) => text === '');
  return (
    <FormDialog
      title={t.limits.new}
      submit={t.limits.new}
      wide
      onClose={onClose}
      check={() => errors}
      send={async () => {
        await post<Limit>('/limits', body);
        onDone(t.limits.made);
      }}
    >
      <SubjectFields values={subject} onValues={setSubject} withAbove={teamId === null} />
      <TextField
        label={t.common.name}
        param="name"
        hint={t.limits.nameHint}
        optional
        value={name}
        onValue={setName}
      />
      <RuleFields rule={rule} onRule={setRule} />
      <details class="more">
        <summary>{t.limits.more}</summary>
        <div class="dialog-body">
          <TextField
            label={t.keys.models}
            param="models"
            hint={t.limits.modelsHint}
            optional
            value={models}
            onValue={setModels}
          />
          {mayBeSoft(rule) && (
            <Tick label={t.limits.soft} hint={t.limits.softHint} checked={soft} onChecked={setSoft} />
          )}
          {!isSoft && <EndsFields ends={ends} onEnds={setEnds} />}
          <LimitOptions meter={rule.meter} hasMaxHold={!isSoft} values={options} onValues={setOptions} />
        </div>
      </details>
      <LimitPreviewBox limit={isReady ? body : null} />
    </FormDialog>
  );
}

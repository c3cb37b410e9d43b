/** The form of a new limit: its subject, meter, amount, window and options. */
import { useState } from 'preact/hooks';
import { post } from '../api/client.ts';
import type { Limit, NewLimit } from '../api/types.ts';
import { FormDialog } from '../parts/dialog.tsx';
import { SelectField, TextField, Tick } from '../parts/field.tsx';
import { useMessages } from '../shell/language.ts';
import { ruleErrors } from './errors.ts';
import { LimitOptions, limitOptionErrors } from './limit-options.tsx';
import { LimitPreviewBox } from './limit-preview.tsx';
import { type Option, useDepartmentOptions, useKeyOptions, useTeamOptions } from './options.tsx';
import { mayBeSoft, modelsOf, percentsOf, toBody } from './rule.ts';
import { NEW_RULE, RuleFields } from './rule-fields.tsx';

const DEPARTMENT = 'department ';

interface NewLimitProps {
  /** The team of the limit; null: the form has a field for it. */
  teamId: string | null;
  onClose: () => void;
  onDone: (text: string) => void;
}

export function NewLimitDialog({ teamId, onClose, onDone }: NewLimitProps) {
  const t = useMessages();
  const teams = useTeamOptions('budgets:write');
  const [team, setTeam] = useState(teamId ?? '');
  const subjects = useSubjectOptions(team, teamId === null);
  /** `team`, `org`, `user`, a key's id, or `department` and an id. */
  const [subject, setSubject] = useState('team');
  const [rule, setRule] = useState(NEW_RULE);
  const [name, setName] = useState('');
  const [models, setModels] = useState('');
  const [soft, setSoft] = useState(false);
  const [options, setOptions] = useState({ maxHold: '', maxUnknown: '', warnAt: '' });
  const { maxHold, maxUnknown, warnAt } = options;
  const isOfTeam = subject !== 'org' && !subject.startsWith(DEPARTMENT);
  const needsTeam = isOfTeam && subject !== 'user' && team === '';
  const isSoft = soft && mayBeSoft(rule);
  const body: NewLimit = {
    name: name.trim() === '' ? null : name.trim(),
    subject: subjectOf(subject, team),
    ...toBody(rule),
    models: modelsOf(models),
    enforcement: isSoft ? 'soft' : 'strict',
    max_hold: isSoft || maxHold === '' ? null : maxHold,
    max_unknown: rule.meter !== 'cost_usd' || maxUnknown === '' ? null : maxUnknown,
    warn_at: percentsOf(warnAt) ?? null,
  };
  const errors = {
    ...ruleErrors(t, rule),
    ...limitOptionErrors(t, rule.meter, isSoft ? { ...options, maxHold: '' } : options),
  };
  const isReady = !needsTeam && Object.values(errors).every((text) => text === '');
  return (
    <FormDialog
      title={t.limits.new}
      submit={t.limits.new}
      wide
      onClose={onClose}
      check={() => ({ team: needsTeam && t.common.required, ...errors })}
      send={async () => {
        await post<Limit>('/limits', body);
        onDone(t.limits.made);
      }}
    >
      <div class="row">
        {teamId === null && isOfTeam && (
          <SelectField
            label={t.common.team}
            param="team"
            value={team}
            onValue={(id) => {
              setTeam(id);
              if (!['org', 'user'].includes(subject)) setSubject('team');
            }}
            options={[{ value: '', text: '—' }, ...teams]}
          />
        )}
        <SelectField
          label={t.limits.subject}
          param="subject"
          value={subject}
          onValue={setSubject}
          options={subjects}
        />
      </div>
      <RuleFields rule={rule} onRule={setRule} />
      <details class="more">
        <summary>{t.limits.more}</summary>
        <div class="dialog-body">
          <TextField label={t.common.name} param="name" optional value={name} onValue={setName} />
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
          <LimitOptions meter={rule.meter} hasMaxHold={!isSoft} values={options} onValues={setOptions} />
        </div>
      </details>
      <LimitPreviewBox limit={isReady ? body : null} />
    </FormDialog>
  );
}

/** Returns what a limit may be on: the chosen team and its keys, and what is above all teams where the form is not one team's. */
function useSubjectOptions(team: string, withAbove: boolean): Option[] {
  const t = useMessages();
  const keys = useKeyOptions(team === '' ? null : team);
  const departments = useDepartmentOptions();
  const ofKeys = team === '' ? [] : keys;
  const above = withAbove ? departments : [];
  return [
    { value: 'team', text: t.limits.subjectTeam },
    ...ofKeys.map(({ value, text }) => ({ value, text: t.limits.ofKey(text) })),
    { value: 'user', text: t.limits.subjectUser },
    ...above.map(({ value, text }) => ({ value: DEPARTMENT + value, text: t.limits.ofDepartment(text) })),
    ...(withAbove ? [{ value: 'org', text: t.limits.subjectOrg }] : []),
  ];
}

/** Returns the subject; without a team it is the end users of every team. */
function subjectOf(subject: string, team: string): NewLimit['subject'] {
  if (subject === 'org') return { type: 'org' };
  if (subject.startsWith(DEPARTMENT)) return { type: 'department', id: subject.slice(DEPARTMENT.length) };
  if (subject === 'team') return { type: 'team', id: team };
  if (subject === 'user') return { type: 'user', ...(team === '' ? {} : { team_id: team }) };
  return { type: 'key', id: subject };
}

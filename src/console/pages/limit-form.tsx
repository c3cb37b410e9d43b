/** The form of a new limit: whom it binds, what it counts, how much of it, in which window. */
import { useState } from 'preact/hooks';
import { post } from '../api/client.ts';
import type { Limit, NewLimit } from '../api/types.ts';
import { FormDialog } from '../parts/dialog.tsx';
import { SelectField, TextField, Tick } from '../parts/field.tsx';
import { useWords } from '../shell/language.ts';
import { LimitPreviewBox } from './limit-preview.tsx';
import { useKeyOptions, useTeamOptions } from './names.ts';
import { faultsOf, mayOnlyWarn, modelsOf, percentsOf, quantityFault, toBody } from './rule.ts';
import { NEW_RULE, RuleFields } from './rule-fields.tsx';

interface NewLimitProps {
  /** The team that the limit is for; null: the form asks. */
  teamId: string | null;
  onClose: () => void;
  onDone: (text: string) => void;
}

export function NewLimitDialog({ teamId, onClose, onDone }: NewLimitProps) {
  const t = useWords();
  const teams = useTeamOptions();
  const [team, setTeam] = useState(teamId ?? '');
  /** `team`, `org`, `user` or a key's id. */
  const [subject, setSubject] = useState('team');
  const [rule, setRule] = useState(NEW_RULE);
  const [models, setModels] = useState('');
  const [soft, setSoft] = useState(false);
  const [maxHold, setMaxHold] = useState('');
  const [warnAt, setWarnAt] = useState('');
  const keys = useKeyOptions(team === '' ? null : team);
  const needsTeam = subject !== 'org' && subject !== 'user' && team === '';
  const isSoft = soft && mayOnlyWarn(rule);
  const body: NewLimit = {
    subject: subjectOf(subject, team),
    ...toBody(rule),
    models: modelsOf(models),
    enforcement: isSoft ? 'soft' : 'strict',
    max_hold: isSoft || maxHold === '' ? null : maxHold,
    warn_at: percentsOf(warnAt) ?? null,
  };
  const faults = {
    ...faultsOf(t, rule),
    max_hold: isSoft || maxHold === '' ? '' : quantityFault(t, rule.meter, maxHold),
    warn_at: percentsOf(warnAt) === undefined ? t.limits.badPercents : '',
  };
  const isReady = !needsTeam && Object.values(faults).every((fault) => fault === '');
  return (
    <FormDialog
      title={t.limits.new}
      submit={t.limits.new}
      wide
      onClose={onClose}
      check={() => ({ team: needsTeam && t.common.required, ...faults })}
      send={async () => {
        await post<Limit>('/limits', body);
        onDone(t.limits.made);
      }}
    >
      <div class="row">
        {teamId === null && subject !== 'org' && (
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
          options={[
            { value: 'team', text: t.limits.subjectTeam },
            ...(team === '' ? [] : keys.map(({ value, text }) => ({ value, text: t.limits.ofKey(text) }))),
            { value: 'user', text: t.limits.subjectUser },
            ...(teamId === null ? [{ value: 'org', text: t.limits.subjectOrg }] : []),
          ]}
        />
      </div>
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
          {mayOnlyWarn(rule) && (
            <Tick label={t.limits.soft} hint={t.limits.softHint} checked={soft} onChecked={setSoft} />
          )}
          <div class="row">
            {!isSoft && (
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
        </div>
      </details>
      <LimitPreviewBox limit={isReady ? body : null} />
    </FormDialog>
  );
}

/** End users of no chosen team are those of every team. */
function subjectOf(subject: string, team: string): NewLimit['subject'] {
  if (subject === 'org') return { type: 'org' };
  if (subject === 'team') return { type: 'team', id: team };
  if (subject === 'user') return { type: 'user', ...(team === '' ? {} : { team_id: team }) };
  return { type: 'key', id: subject };
}

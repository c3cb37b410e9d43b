/** What a new limit is on: the fields of the form, and the subject as the API reads it. */
import type { NewLimit } from '../api/types.ts';
import type { Messages } from '../messages/messages.ts';
import { SelectField, TextField } from '../parts/field.tsx';
import { useMessages } from '../shell/language.ts';
import { type Option, useDepartmentOptions, useKeyOptions, useTags, useTeamOptions } from './options.tsx';

const DEPARTMENT = 'department ';
/** Subjects that may be of one team or of all. */
const OF_ANY_TEAM: readonly string[] = ['user', 'member', 'tag'];

/** A tag as the form holds it; an empty value stands for each. */
export interface LimitTag {
  name: string;
  value: string;
}

export interface SubjectValues {
  /** A team's id; empty: none is chosen. */
  team: string;
  /** `team`, `org`, `user`, `member`, `tag`, a key's id, or `department` and an id. */
  on: string;
  tag: LimitTag;
}

interface SubjectProps {
  values: SubjectValues;
  onValues: (values: SubjectValues) => void;
  /** Whether the form is not one team's: it has a field for the team, and what is above all teams. */
  withAbove: boolean;
}

export function SubjectFields({ values, onValues, withAbove }: SubjectProps) {
  const t = useMessages();
  const teams = useTeamOptions('budgets:write');
  const { team, on, tag } = values;
  const subjects = useSubjectOptions(team, withAbove);
  const isOfAny = OF_ANY_TEAM.includes(on);
  return (
    <>
      <div class="row">
        {withAbove && isOfTeam(on) && (
          <SelectField
            label={t.common.team}
            param="team"
            value={team}
            // Keys are one team's.
            onValue={(id) => onValues({ ...values, team: id, on: isOfAny ? on : 'team' })}
            options={[{ value: '', text: isOfAny ? t.common.allTeams : '—' }, ...teams]}
          />
        )}
        <SelectField
          label={t.limits.subject}
          param="subject"
          value={on}
          onValue={(chosen) => onValues({ ...values, on: chosen })}
          options={subjects}
        />
      </div>
      {on === 'tag' && <TagFields tag={tag} onTag={(changed) => onValues({ ...values, tag: changed })} />}
    </>
  );
}

function isOfTeam(on: string): boolean {
  return on !== 'org' && !on.startsWith(DEPARTMENT);
}

/** Returns the errors of the fields by their names. */
export function subjectErrors(t: Messages, { team, on, tag }: SubjectValues): Record<string, string> {
  const needsTeam = isOfTeam(on) && !OF_ANY_TEAM.includes(on) && team === '';
  const needsName = on === 'tag' && tag.name === '';
  return { team: needsTeam ? t.common.required : '', 'subject.name': needsName ? t.common.required : '' };
}

interface TagFieldsProps {
  tag: LimitTag;
  onTag: (tag: LimitTag) => void;
}

function TagFields({ tag, onTag }: TagFieldsProps) {
  const t = useMessages();
  const rules = useTags();
  const rule = rules.find(({ name }) => name === tag.name);
  return (
    <div class="row">
      <TextField
        label={t.tags.tag}
        param="subject.name"
        among={rules.map(({ name }) => name)}
        value={tag.name}
        onValue={(name) => onTag({ ...tag, name: name.trim() })}
      />
      <TextField
        label={t.tags.value}
        param="subject.value"
        hint={t.tags.eachValueHint}
        optional
        among={rule?.values ?? []}
        value={tag.value}
        onValue={(value) => onTag({ ...tag, value })}
      />
    </div>
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
    { value: 'member', text: t.ends.member },
    { value: 'tag', text: t.limits.subjectTag },
    ...above.map(({ value, text }) => ({ value: DEPARTMENT + value, text: t.limits.ofDepartment(text) })),
    ...(withAbove ? [{ value: 'org', text: t.limits.subjectOrg }] : []),
  ];
}

/** Returns the subject; without a team it is the end users, or the calls with the tag, of every team. */
export function subjectOf({ team, on: subject, tag: { name, value } }: SubjectValues): NewLimit['subject'] {
  const ofTeam = team === '' ? {} : { team_id: team };
  if (subject === 'org') return { type: 'org' };
  if (subject.startsWith(DEPARTMENT)) return { type: 'department', id: subject.slice(DEPARTMENT.length) };
  if (subject === 'team') return { type: 'team', id: team };
  if (subject === 'user' || subject === 'member') return { type: subject, ...ofTeam };
  if (subject === 'tag')
    return { type: 'tag', name, value: value.trim() === '' ? null : value.trim(), ...ofTeam };
  return { type: 'key', id: subject };
}

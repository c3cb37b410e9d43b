/** Roles: in a form, and as text. */
import type { GivenRole } from '../api/types.ts';
import { SelectField } from '../parts/field.tsx';
import { useMessages } from '../shell/language.ts';
import { nameIn, type Option, useDepartmentOptions, useTeamOptions } from './options.tsx';

const NAMES = ['owner', 'admin', 'finance', 'team_lead', 'viewer'] as const;

/** Returns a scope as the value of a choice: `org`, `team <id>`. */
function choiceOf({ scope }: GivenRole): string {
  return scope.type === 'org' ? scope.type : `${scope.type} ${scope.id}`;
}

function scopeOf(value: string): GivenRole['scope'] {
  const [type = '', id = ''] = value.split(' ');
  if (type === 'department') return { type, id } as GivenRole['scope'];
  return type === 'team' ? ({ type, id } as GivenRole['scope']) : { type: 'org' };
}

/** The scopes that a role may have, by name. */
function useScopes(): Option[] {
  const t = useMessages();
  const departments = useDepartmentOptions();
  const teams = useTeamOptions();
  return [
    { value: 'org', text: t.people.org },
    ...departments.map(({ value, text }) => ({
      value: `department ${value}`,
      text: t.people.department(text),
    })),
    ...teams.map(({ value, text }) => ({ value: `team ${value}`, text: t.people.ofTeam(text) })),
  ];
}

interface RoleFieldsProps {
  roles: readonly GivenRole[];
  onRoles: (roles: GivenRole[]) => void;
}

export function RoleFields({ roles, onRoles }: RoleFieldsProps) {
  const t = useMessages();
  const scopes = useScopes();
  const set = (index: number, change: Partial<GivenRole>) =>
    onRoles(roles.map((role, at) => (at === index ? { ...role, ...change } : role)));
  return (
    <fieldset class="lines">
      <legend>{t.people.roles}</legend>
      {roles.map((given, index) => (
        <div class="line" key={index}>
          <div class="line-fields">
            <SelectField
              label={t.people.role}
              param={`roles[${index}].role`}
              value={given.role}
              onValue={(role) => set(index, { role: role as GivenRole['role'] })}
              options={NAMES.map((value) => ({ value, text: t.people.names[value] }))}
            />
            <SelectField
              label={t.people.scope}
              param={`roles[${index}].scope.id`}
              value={choiceOf(given)}
              onValue={(value) => set(index, { scope: scopeOf(value) })}
              options={scopes}
            />
          </div>
          <button
            type="button"
            class="button small"
            onClick={() => onRoles(roles.filter((_, at) => at !== index))}
          >
            {t.people.removeRole}
            <span class="hidden">
              {' '}
              {index + 1}: {t.people.names[given.role]}
            </span>
          </button>
        </div>
      ))}
      <button
        type="button"
        class="button small"
        onClick={() => onRoles([...roles, { role: 'viewer', scope: { type: 'org' } }])}
      >
        {t.people.addRole}
      </button>
    </fieldset>
  );
}

/** Returns what names the roles of a row. */
export function useRoleText(): (roles: readonly GivenRole[]) => string {
  const t = useMessages();
  const scopes = useScopes();
  return (roles) =>
    roles.map((given) => `${t.people.names[given.role]} (${nameIn(scopes, choiceOf(given))})`).join(', ') ||
    t.people.noRoles;
}

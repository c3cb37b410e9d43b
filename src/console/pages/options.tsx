/** Choices of forms and filters: teams, departments, keys, plans. */
import type { Department, Key, Operations, Page, Plan, Tag, Team } from '../api/types.ts';
import { useApi } from '../api/use.ts';
import { type Permission, useMay, useSession } from '../shell/session.ts';

/** The most that one request returns; a form offers no more. */
const CHOICES_MAX = 1_000;

export interface Option {
  value: string;
  text: string;
}

/**
 * Returns the teams by name, of which something may be done; none in a session of a team, which has no choice.
 */
export function useTeamOptions(permission: Permission = 'read'): Option[] {
  const { role } = useSession();
  const may = useMay();
  const teams = useApi<Page<Team>>(role === 'team' ? null : '/teams', { limit: CHOICES_MAX });
  const reached = (teams.data?.data ?? []).filter(({ id }) => may(permission, id));
  const options = reached.map(({ id, name }) => ({ value: id, text: name }));
  return options.sort((a, b) => a.text.localeCompare(b.text, undefined, { numeric: true }));
}

/** Returns the departments that are there; none in a session of a team. */
function useDepartments(): Department[] {
  const { role } = useSession();
  const path = role === 'team' ? null : '/departments';
  return useApi<Page<Department>>(path, { limit: CHOICES_MAX }).data?.data ?? [];
}

/** Returns the departments by their names from the top down. */
export function useDepartmentOptions(): Option[] {
  const departments = useDepartments();
  const byId = new Map(departments.map((department) => [department.id, department]));
  const pathOf = ({ name, parent_id }: Department): string => {
    const parent = parent_id === null ? undefined : byId.get(parent_id);
    return parent ? `${pathOf(parent)} / ${name}` : name;
  };
  const options = departments.map((each) => ({ value: each.id, text: pathOf(each) }));
  return options.sort((a, b) => a.text.localeCompare(b.text, undefined, { numeric: true }));
}

/** Returns the name of the option with an id; the start of the id when there is none. */
export function nameIn(teams: readonly Option[], id: string): string {
  return teams.find(({ value }) => value === id)?.text ?? id.slice(0, 8);
}

/** Returns the keys of a team by name; those of every team for null. */
export function useKeyOptions(teamId: string | null): Option[] {
  const keys = useApi<Page<Key>>('/keys', { limit: CHOICES_MAX, team_id: teamId });
  return (keys.data?.data ?? []).map(({ id, name, prefix }) => ({ value: id, text: `${name} (${prefix}…)` }));
}

/** Returns the rules of tags, by which forms suggest names and values; none in a session of a team. */
export function useTags(): Tag[] {
  const may = useMay();
  const path = may('settings:read') ? '/tags' : null;
  return useApi<Page<Tag>>(path, { limit: CHOICES_MAX }).data?.data ?? [];
}

/** Returns the operations that are forwarded, by name. */
export function useOperationOptions(): Option[] {
  const operations = useApi<Operations>('/operations').data?.data ?? [];
  return operations.filter(({ reason }) => reason === null).map(({ name }) => ({ value: name, text: name }));
}

export function usePlans(): Plan[] {
  return useApi<Page<Plan>>('/plans', { limit: CHOICES_MAX }).data?.data ?? [];
}

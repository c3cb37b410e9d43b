/** Lists that forms choose from. */
import type { Key, Page, Plan, Team } from '../api/types.ts';
import { useApi } from '../api/use.ts';
import { useSession } from '../shell/session.ts';

/** As many as one request may answer; beyond that a form is not the way. */
const CHOICES_MAX = 1_000;

export interface Option {
  value: string;
  text: string;
}

/** Teams by name; empty for a team's own session, which has no choice. */
export function useTeamOptions(): Option[] {
  const { role } = useSession();
  const teams = useApi<Page<Team>>(role === 'admin' ? '/teams' : null, { limit: CHOICES_MAX });
  const options = (teams.data?.data ?? []).map(({ id, name }) => ({ value: id, text: name }));
  return options.sort((a, b) => a.text.localeCompare(b.text, undefined, { numeric: true }));
}

/** The name of a team, by its id. */
export function nameIn(teams: readonly Option[], id: string): string {
  return teams.find(({ value }) => value === id)?.text ?? id.slice(0, 8);
}

/** Keys of a team, by name; of every team for null. */
export function useKeyOptions(teamId: string | null): Option[] {
  const keys = useApi<Page<Key>>('/keys', { limit: CHOICES_MAX, team_id: teamId });
  return (keys.data?.data ?? []).map(({ id, name, prefix }) => ({ value: id, text: `${name} (${prefix}…)` }));
}

export function usePlans(): Plan[] {
  return useApi<Page<Plan>>('/plans', { limit: CHOICES_MAX }).data?.data ?? [];
}

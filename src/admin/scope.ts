/** Scope: what of a route's answers a team's session may see. The admin key and an admin's session see everything. */
import { type ApiError, apiError } from '../domain/errors.ts';

/** Who asks. */
export interface Caller {
  /** The only team whose things it sees; null: all. */
  team: string | null;
  /** As the audit log names it. */
  actor: string;
}

declare module 'hono' {
  interface ContextVariableMap {
    caller: Caller;
  }
}

/**
 * How a team's session may use a route: `query`: the parameter `team_id` is its own team, also when it is left out;
 * `team`: the path names its own team; `item`: what the path names bears its `team_id`; `open`: it tells of no team.
 */
export type TeamScope = 'query' | 'team' | 'item' | 'open';

/** The query as the caller may ask it, or why not. Null: to this caller there is nothing at this path. */
export function narrow(
  scope: TeamScope | undefined,
  { team }: Caller,
  pathId: string,
  query: Record<string, unknown>,
): Record<string, unknown> | ApiError | null {
  if (team === null) return query;
  if (scope === undefined)
    return apiError('not_allowed', 'a session of a team cannot do this: sign in with the admin key');
  if (scope === 'team') return pathId.toLowerCase() === team ? query : null;
  if (scope !== 'query') return query;
  if (query.team_id !== undefined && query.team_id !== team) {
    return apiError('not_allowed', 'a session of a team sees that team alone', { param: 'team_id' });
  }
  return { ...query, team_id: team };
}

/** Whether the caller may see an answer. */
export function maySee(scope: TeamScope | undefined, { team }: Caller, value: unknown): boolean {
  if (team === null || scope !== 'item') return true;
  return typeof value === 'object' && value !== null && 'team_id' in value && value.team_id === team;
}

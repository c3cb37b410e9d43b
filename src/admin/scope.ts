/**
 * Scope: what of a route a session of a team may use and see. The admin key and a session of an admin see everything.
 */
import { type ApiError, apiError } from '../domain/errors.ts';
import type { SessionId } from '../domain/ids.ts';

/** Who sends a request. */
export interface Caller {
  /** The only team that the caller sees; null: all. */
  team: string | null;
  /** The caller's name in the audit log. */
  actor: string;
  /** Null: the admin key. */
  sessionId: SessionId | null;
}

declare module 'hono' {
  interface ContextVariableMap {
    caller: Caller;
  }
}

/**
 * How a session of a team may use a route. `query`: the parameter `team_id` is its own team, also when it is missing.
 * `team`: the id in the path is its own team. `item`: what the path names belongs to its team (route.ts loads it
 * first).
 */
export type TeamScope = 'query' | 'team' | 'item';

/**
 * Returns the query, narrowed to the caller's team; an error when the caller may not use the route; null when there is
 * nothing at this path for the caller.
 */
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
  if (scope === 'item') return query;
  if (query.team_id !== undefined && query.team_id !== team) {
    return apiError('not_allowed', 'a session of a team sees that team alone', { param: 'team_id' });
  }
  return { ...query, team_id: team };
}

/** Returns whether the caller may use what belongs to a team. */
export function mayUse({ team }: Caller, ownerTeamId: string): boolean {
  return team === null || team === ownerTeamId;
}

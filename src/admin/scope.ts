/** Scope: who sends a request, and which teams its response may speak of. */
import { type ApiError, apiError } from '../domain/errors.ts';
import { asId, type PersonId, type SessionId, type TeamId } from '../domain/ids.ts';
import { type Authority, type Reach, reaches } from '../domain/roles.ts';

/** Who sends a request. */
export interface Caller {
  authority: Authority;
  /** The caller's name in the audit log. */
  actor: string;
  /** Null: the admin key, or a service token. */
  sessionId: SessionId | null;
  /** Null: the admin key, a service token, or a virtual key. */
  personId: PersonId | null;
  /** A service token. */
  isToken: boolean;
}

declare module 'hono' {
  interface ContextVariableMap {
    caller: Caller;
  }
}

/**
 * Returns the teams that a list may show: the one that its query names, else all within reach; undefined: every team. An
 * error when the query names one that is out of reach.
 */
export function teamsOf(reach: Reach, query: Record<string, unknown>): TeamId[] | undefined | ApiError {
  const { team_id: named } = query;
  if (typeof named !== 'string') return reach === 'all' ? undefined : [...reach].map((id) => asId(id));
  const team: TeamId = asId(named.toLowerCase());
  if (reaches(reach, team)) return [team];
  return apiError('not_allowed', 'your role holds for other teams alone: name one of those, or none', {
    param: 'team_id',
  });
}

/** Returns the only team that the caller sees, for its entries in the audit log; null: there are several. */
export function onlyTeam({ authority }: Caller): TeamId | null {
  const reach = authority.reach('read');
  if (reach === null || reach === 'all' || reach.size !== 1) return null;
  const [team = ''] = reach;
  return asId(team);
}

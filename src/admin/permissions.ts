/**
 * Permissions: what each operation of the admin API needs, in one table. Owns: the table, and the words for who lacks what.
 * Does not own: which role has a permission (domain/roles.ts). Invariant: an operation that is not in the table is for
 * owners of the whole installation alone.
 */
import { type ApiError, apiError } from '../domain/errors.ts';
import { type Authority, type Permission, type Reach, rolesWith } from '../domain/roles.ts';

/**
 * Of which teams an operation needs its permission. `installation`: of all. `anywhere`: of any; it shows nothing of a team.
 * `list`: it shows only those within reach. `path`: of the team that the path names. `owner`: of the team to which belongs
 * what the path or the body names (the route says which).
 */
export type Where = 'installation' | 'anywhere' | 'list' | 'path' | 'owner';

export interface Need {
  permission: Permission;
  where: Where;
}

const NEEDS: Record<string, readonly [Permission, Where]> = {
  'GET /archive': ['read', 'list'],
  'GET /audit': ['audit:read', 'list'],
  'GET /departments': ['read', 'list'],
  'POST /departments': ['teams:write', 'installation'],
  'GET /departments/{id}': ['settings:read', 'installation'],
  'PATCH /departments/{id}': ['teams:write', 'installation'],
  'DELETE /departments/{id}': ['teams:write', 'installation'],
  'GET /departments/{id}/statement': ['read', 'list'],
  'GET /denials': ['read', 'list'],
  'GET /errors': ['read', 'list'],
  'POST /estimates': ['settings:read', 'anywhere'],
  'GET /events': ['read', 'list'],
  'GET /events.csv': ['read', 'list'],
  'GET /events/{id}': ['read', 'owner'],
  'GET /events/{id}/content': ['contents:export', 'owner'],
  'GET /focus.csv': ['read', 'list'],
  'GET /focus.parquet': ['read', 'list'],
  'GET /grants': ['read', 'list'],
  'POST /grants': ['budgets:write', 'owner'],
  'GET /grants/{id}': ['read', 'owner'],
  'PATCH /grants/{id}': ['budgets:write', 'owner'],
  'DELETE /grants/{id}': ['budgets:write', 'owner'],
  'GET /jobs': ['read', 'list'],
  'GET /keys': ['read', 'list'],
  'POST /keys': ['keys:write', 'owner'],
  'GET /keys/{id}': ['read', 'owner'],
  'PATCH /keys/{id}': ['keys:write', 'owner'],
  'DELETE /keys/{id}': ['keys:write', 'owner'],
  'POST /keys/{id}/rotate': ['keys:write', 'owner'],
  'GET /labels': ['read', 'list'],
  'POST /labels': ['labels:write', 'owner'],
  'GET /labels/export': ['contents:export', 'list'],
  'GET /labels/report': ['read', 'list'],
  'GET /limits': ['read', 'list'],
  'POST /limits': ['budgets:write', 'owner'],
  'POST /limits/preview': ['budgets:write', 'owner'],
  'GET /limits/{id}': ['read', 'owner'],
  'PATCH /limits/{id}': ['budgets:write', 'owner'],
  'DELETE /limits/{id}': ['budgets:write', 'owner'],
  'GET /limits/{id}/raises': ['read', 'owner'],
  'POST /limits/{id}/raises': ['budgets:write', 'owner'],
  'DELETE /limits/{id}/raises': ['budgets:write', 'owner'],
  'POST /limits/{id}/reset': ['budgets:write', 'owner'],
  'GET /notices': ['read', 'list'],
  'POST /objects': ['objects:write', 'owner'],
  'GET /operations': ['read', 'list'],
  'GET /overview': ['read', 'list'],
  'GET /people': ['people', 'installation'],
  'POST /people': ['people', 'installation'],
  'GET /people/{id}': ['people', 'installation'],
  'PATCH /people/{id}': ['people', 'installation'],
  'DELETE /people/{id}': ['people', 'installation'],
  'GET /plans': ['settings:read', 'anywhere'],
  'POST /plans': ['plans:write', 'installation'],
  'GET /plans/{id}': ['settings:read', 'anywhere'],
  'PATCH /plans/{id}': ['plans:write', 'installation'],
  'DELETE /plans/{id}': ['plans:write', 'installation'],
  'GET /prices': ['settings:read', 'anywhere'],
  'POST /prices': ['prices:write', 'installation'],
  'GET /prices/{id}': ['settings:read', 'anywhere'],
  'PATCH /prices/{id}': ['prices:write', 'installation'],
  'DELETE /prices/{id}': ['prices:write', 'installation'],
  'GET /role-mappings': ['people', 'installation'],
  'POST /role-mappings': ['people', 'installation'],
  'GET /role-mappings/{id}': ['people', 'installation'],
  'PATCH /role-mappings/{id}': ['people', 'installation'],
  'DELETE /role-mappings/{id}': ['people', 'installation'],
  'GET /reconciliation': ['read', 'installation'],
  'POST /reconciliation/postings': ['calls:correct', 'installation'],
  'GET /recipients': ['read', 'list'],
  'POST /recipients': ['recipients:write', 'owner'],
  'GET /recipients/{id}': ['read', 'owner'],
  'PATCH /recipients/{id}': ['recipients:write', 'owner'],
  'DELETE /recipients/{id}': ['recipients:write', 'owner'],
  'GET /secrets': ['owners', 'installation'],
  'POST /secrets': ['owners', 'installation'],
  'GET /secrets/{id}': ['owners', 'installation'],
  'PATCH /secrets/{id}': ['owners', 'installation'],
  'DELETE /secrets/{id}': ['owners', 'installation'],
  'POST /secrets/rotate': ['owners', 'installation'],
  'GET /sessions': ['sessions', 'anywhere'],
  'DELETE /sessions/{id}': ['sessions', 'anywhere'],
  'GET /store': ['store', 'installation'],
  'POST /store/accept': ['store', 'installation'],
  'GET /savings': ['read', 'list'],
  'GET /models/report': ['read', 'list'],
  'GET /tags': ['settings:read', 'list'],
  'POST /tags': ['plans:write', 'installation'],
  'GET /tags/{id}': ['settings:read', 'list'],
  'PATCH /tags/{id}': ['plans:write', 'installation'],
  'DELETE /tags/{id}': ['plans:write', 'installation'],
  'GET /teams': ['read', 'list'],
  'POST /teams': ['teams:write', 'installation'],
  'GET /teams/{id}': ['read', 'path'],
  'PATCH /teams/{id}': ['teams:write', 'path'],
  'DELETE /teams/{id}': ['teams:write', 'path'],
  'GET /teams/{id}/balance': ['read', 'path'],
  'GET /teams/{id}/statement': ['read', 'path'],
  'GET /tokens': ['people', 'installation'],
  'POST /tokens': ['people', 'installation'],
  'GET /tokens/{id}': ['people', 'installation'],
  'PATCH /tokens/{id}': ['people', 'installation'],
  'DELETE /tokens/{id}': ['people', 'installation'],
  'GET /unknown': ['read', 'list'],
  'POST /unknown/release': ['calls:correct', 'owner'],
  'POST /unknown/{event_id}/release': ['calls:correct', 'owner'],
  'GET /upstream': ['settings:read', 'anywhere'],
  'GET /upstreams': ['settings:read', 'list'],
  'GET /usage': ['read', 'list'],
  'GET /warnings': ['read', 'list'],
};

/** The operations of the table. */
export const OPERATIONS_NEEDED = Object.keys(NEEDS);

/** Returns what an operation needs, by its method and its path below the root: `get`, `/teams/{id}`. */
export function needOf(method: string, path: string): Need {
  const [permission, where] = NEEDS[`${method.toUpperCase()} ${path}`] ?? ['owners', 'installation'];
  return { permission, where };
}

/** Returns of which teams the caller may do what an operation needs; or the error that says which role would do. */
export function reachFor(authority: Authority, { permission, where }: Need): Reach | ApiError {
  const reach = authority.reach(permission);
  if (reach === null) return lacking(permission, 'none of your roles may do this');
  if (where === 'installation' && reach !== 'all') {
    return lacking(permission, 'this concerns the whole organisation, and your role only some teams', true);
  }
  return reach;
}

/** Returns the error for what belongs to a team that is out of reach. `param`: the field that named it. */
export function outOfReach({ permission }: Need): ApiError {
  return lacking(permission, 'this belongs to no team that your role holds for');
}

function lacking(permission: Permission, why: string, ofAll = false): ApiError {
  const roles = rolesWith(permission).join(', ').replaceAll('_', ' ');
  const where = ofAll ? 'for the whole organisation' : 'for its team';
  const message = `${why}: it needs one of the roles ${roles} ${where}, or the admin key`;
  return apiError('not_allowed', message);
}

/** Returns what the OpenAPI document says of an operation. */
export function describeNeed({ permission }: Need): string {
  const roles = rolesWith(permission).join(', ').replaceAll('_', ' ');
  const ofKeys = permission === 'read' ? ' A session of a virtual key may use this for its team.' : '';
  return `Permission ${permission}. Roles: ${roles}.${ofKeys}`;
}

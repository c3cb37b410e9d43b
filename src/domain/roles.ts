/**
 * Roles: what a person or a service token may do, and of which teams. Owns: which role has which permission, and that no
 * one gives more than they have. Does not own: which operation needs which permission (admin/permissions.ts), who has which role
 * (store/people.ts). Pure.
 */
import { ORGANIZATION_ID } from './limit.ts';

/** What may be given to people and tokens. */
export const ROLES = ['owner', 'admin', 'finance', 'team_lead', 'viewer'] as const;
export type Role = (typeof ROLES)[number];

export const PERMISSIONS = [
  /** Teams, keys, limits, grants, calls, usage, reports and exports of the teams within reach. */
  'read',
  /** What belongs to no team: plans, prices, upstreams, estimates. */
  'settings:read',
  'audit:read',
  'teams:write',
  'keys:write',
  /** Limits and grants. */
  'budgets:write',
  /** Saying what a call of unknown outcome cost. */
  'calls:correct',
  'labels:write',
  /** What calls said, of teams that keep it. */
  'contents:export',
  /** Who gets notices of a team. */
  'recipients:write',
  'plans:write',
  'prices:write',
  'objects:write',
  /** Whether the store lends, and accepting what it lost. */
  'store',
  /** People, service tokens, role mappings, and the sessions of others. */
  'people',
  /** One's own sessions. */
  'sessions',
  /** Owners themselves: giving and taking that role. */
  'owners',
] as const;
export type Permission = (typeof PERMISSIONS)[number];

const READER: readonly Permission[] = ['read', 'settings:read', 'sessions'];
const ADMIN: readonly Permission[] = PERMISSIONS.filter((permission) => permission !== 'owners');

/** `key` cannot be given: a virtual key that signed in sees its own team. */
export const ROLE_PERMISSIONS: Record<Role | 'key', readonly Permission[]> = {
  owner: PERMISSIONS,
  admin: ADMIN,
  finance: [
    ...READER,
    ...([
      'audit:read',
      'budgets:write',
      'calls:correct',
      'recipients:write',
      'plans:write',
      'prices:write',
    ] as const),
  ],
  team_lead: [...READER, 'audit:read', 'keys:write', 'labels:write', 'recipients:write'],
  viewer: READER,
  key: ['read'],
};

/** Returns the roles that have a permission, in the words of an error. */
export function rolesWith(permission: Permission): Role[] {
  return ROLES.filter((role) => ROLE_PERMISSIONS[role].includes(permission));
}

/** The teams of which something may be done; `all`: also what belongs to the whole installation. */
export type Reach = 'all' | ReadonlySet<string>;

/** A role, and the teams of which it holds. */
export interface HeldRole {
  role: Role | 'key';
  teams: Reach;
}

/** What a caller may do, and of which teams. Immutable. */
export class Authority {
  readonly #held: readonly HeldRole[];
  /** Who gave it: it is never worth more than theirs. */
  readonly #giver: Authority | null;

  constructor(held: readonly HeldRole[], giver: Authority | null = null) {
    this.#held = held;
    this.#giver = giver;
  }

  /** Returns of which teams the permission is held; null: no role has it. */
  reach(permission: Permission): Reach | null {
    const own = union(this.#held.filter(({ role }) => ROLE_PERMISSIONS[role].includes(permission)));
    if (this.#giver === null || own === null) return own;
    const given = this.#giver.reach(permission);
    return given === null ? null : intersection(own, given);
  }

  /** Returns whether everything that the other may do may be done by this one too. */
  covers(other: Authority): boolean {
    return PERMISSIONS.every((permission) => {
      const wanted = other.reach(permission);
      if (wanted === null) return true;
      const own = this.reach(permission);
      return own !== null && contains(own, wanted);
    });
  }
}

/** Everything, everywhere: the admin key. */
export const EVERYTHING = new Authority([{ role: 'owner', teams: 'all' }]);

/** Returns whether what belongs to a team (the organization's id: to the whole installation) is within reach. */
export function reaches(reach: Reach, teamId: string): boolean {
  return reach === 'all' || (teamId !== ORGANIZATION_ID && reach.has(teamId));
}

function union(held: readonly HeldRole[]): Reach | null {
  if (held.length === 0) return null;
  const teams = new Set<string>();
  for (const { teams: each } of held) {
    if (each === 'all') return 'all';
    for (const team of each) teams.add(team);
  }
  return teams;
}

function intersection(one: Reach, other: Reach): Reach {
  if (one === 'all') return other;
  return other === 'all' ? one : new Set([...one].filter((team) => other.has(team)));
}

function contains(all: Reach, some: Reach): boolean {
  if (all === 'all') return true;
  return some !== 'all' && [...some].every((team) => all.has(team));
}

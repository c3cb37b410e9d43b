/** Makes the cast through the admin API: teams, their limits and their keys, new ones in every run. */
import { Limit, MadeKey, Team, Teams } from '../admin/contract.ts';
import type { AdminClient } from './admin-client.ts';
import { CAST, type Role } from './cast.ts';

export interface Player {
  role: Role;
  teamId: string;
  /** The role's name, numbered from the second run on the same data on. */
  teamName: string;
  keyId: string;
  key: string;
}

/**
 * New teams for this run. A name is never given twice, so later runs on the same data number theirs: each run starts
 * with full budgets, and the ledger keeps what earlier ones spent.
 */
export async function makePlayers(admin: AdminClient): Promise<Player[]> {
  const taken = await teamNames(admin);
  let run = 1;
  while (CAST.some(({ name }) => taken.has(numbered(name, run)))) run++;
  const players: Player[] = [];
  for (const role of CAST) players.push(await makePlayer(admin, role, numbered(role.name, run)));
  return players;
}

/** The run's keys end with it: a key of an old terminal must not spend in a later run. */
export async function revokeKeys(admin: AdminClient, players: readonly Player[]): Promise<void> {
  await Promise.all(players.map(({ keyId }) => admin.remove(`/keys/${keyId}`)));
}

function numbered(name: string, run: number): string {
  return run === 1 ? name : `${name} ${run}`;
}

async function teamNames(admin: AdminClient): Promise<Set<string>> {
  const names = new Set<string>();
  let next: string | null = null;
  do {
    const after: string = next === null ? '' : `&after=${encodeURIComponent(next)}`;
    const page = await admin.get(`/teams?limit=1000&include_deleted=true${after}`, Teams);
    for (const { name } of page.data) names.add(name);
    next = page.next;
  } while (next !== null);
  return names;
}

async function makePlayer(admin: AdminClient, role: Role, teamName: string): Promise<Player> {
  const team = await admin.post('/teams', { name: teamName, plan: role.plan }, Team);
  if (role.budget) {
    const { amount, window } = role.budget;
    const limit = {
      subject: { type: 'team', id: team.id },
      meter: 'cost_usd',
      amount,
      window:
        window === 'month' ? { type: 'calendar', unit: 'month', time_zone: 'UTC' } : { type: 'lifetime' },
      enforcement: 'strict',
    };
    await admin.post('/limits', limit, Limit);
  }
  const made = await admin.post('/keys', { team_id: team.id, name: 'demo' }, MadeKey);
  return { role, teamId: team.id, teamName, keyId: made.id, key: made.key };
}

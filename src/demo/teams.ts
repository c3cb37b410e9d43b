/**
 * The teams of the demo: what each may spend and calls, and how they are created through the admin API at every run.
 */
import { Limit, MadeKey, Team, Teams } from '../admin/contract.ts';
import type { AdminClient } from './admin-client.ts';

/** One kind of call that a team makes again and again. */
export interface Workload {
  api: 'chat' | 'responses' | 'embeddings';
  model: string;
  stream: boolean;
  maxOutputTokens: number;
  /** A whole number: how often, compared with all other workloads. */
  weight: number;
  prompts: readonly [string, ...string[]];
}

export interface TeamProfile {
  name: string;
  /** Prepaid credit; null: none, the budget below bounds the team. */
  plan: 'free-tier' | null;
  /** USD, in the current calendar month or over the lifetime. */
  budget: { amount: string; window: 'month' | 'lifetime' } | null;
  workloads: readonly Workload[];
}

const chat = (
  model: string,
  weight: number,
  maxOutputTokens: number,
  prompts: readonly [string, ...string[]],
): Workload => ({
  api: 'chat',
  model,
  stream: false,
  maxOutputTokens,
  weight,
  prompts,
});
const streamed = (workload: Workload): Workload => ({ ...workload, stream: true });

const RESEARCH = [
  'Compare these two proofs and say where they differ.',
  'Which experiment would tell the two hypotheses apart?',
] as const;
const PRODUCT = [
  'Turn these notes into a release announcement.',
  'Rewrite this paragraph so that a customer understands it.',
] as const;
const SUPPORT = [
  'A customer cannot log in since this morning. Draft an answer.',
  'Sort this ticket: billing, bug or question?',
] as const;

/** The user's own team, without sample traffic. */
export const OWN_TEAM = 'you';

/** Models from the fastest to the most capable; one team runs out of money within a minute. */
const TEAM_PROFILES: readonly TeamProfile[] = [
  {
    name: 'research',
    plan: null,
    budget: { amount: '50', window: 'month' },
    workloads: [
      { ...streamed(chat('gpt-6-astra', 2, 600, RESEARCH)), api: 'responses' },
      chat('gpt-5.6-sol', 3, 800, RESEARCH),
    ],
  },
  {
    name: 'product',
    plan: null,
    budget: { amount: '20', window: 'month' },
    workloads: [streamed(chat('gpt-5.6-terra', 5, 500, PRODUCT)), chat('gpt-5.6-luna', 4, 300, PRODUCT)],
  },
  {
    name: 'support',
    plan: null,
    budget: { amount: '5', window: 'month' },
    workloads: [
      chat('gpt-5.4-nano', 6, 200, SUPPORT),
      { ...chat('text-embedding-3-small', 5, 0, SUPPORT), api: 'embeddings' },
    ],
  },
  {
    name: 'trial',
    plan: 'free-tier',
    budget: null,
    workloads: [streamed(chat('gpt-5.6-sol', 3, 400, PRODUCT)), chat('gpt-5.6-luna', 2, 300, SUPPORT)],
  },
  {
    name: 'interns',
    plan: null,
    budget: { amount: '0.01', window: 'lifetime' },
    workloads: [chat('gpt-5.6-terra', 4, 300, PRODUCT)],
  },
  { name: OWN_TEAM, plan: 'free-tier', budget: null, workloads: [] },
];

export interface DemoTeam {
  profile: TeamProfile;
  teamId: string;
  /** The profile's name, with a number from the second run on the same data on. */
  teamName: string;
  keyId: string;
  key: string;
}

/**
 * Creates the teams of this run. Names are unique, so later runs on the same data number theirs: each run starts with
 * full budgets, and the ledger keeps what earlier runs spent.
 */
export async function createTeams(admin: AdminClient): Promise<DemoTeam[]> {
  const taken = await teamNames(admin);
  let run = 1;
  while (TEAM_PROFILES.some(({ name }) => taken.has(numbered(name, run)))) run++;
  const teams: DemoTeam[] = [];
  for (const profile of TEAM_PROFILES)
    teams.push(await createTeam(admin, profile, numbered(profile.name, run)));
  return teams;
}

/** Revokes the keys of this run, so that a copy of one cannot spend in a later run. */
export async function revokeKeys(admin: AdminClient, teams: readonly DemoTeam[]): Promise<void> {
  await Promise.all(teams.map(({ keyId }) => admin.remove(`/keys/${keyId}`)));
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

async function createTeam(admin: AdminClient, profile: TeamProfile, teamName: string): Promise<DemoTeam> {
  const team = await admin.post('/teams', { name: teamName, plan: profile.plan }, Team);
  if (profile.budget) {
    const { amount, window } = profile.budget;
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
  const { id: keyId, key } = await admin.post('/keys', { team_id: team.id, name: 'demo' }, MadeKey);
  return { profile, teamId: team.id, teamName, keyId, key };
}

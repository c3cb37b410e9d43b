/** The attack's command line. Every fault is reported with the valid values. */
import { parseArgs } from 'node:util';
import { usd } from '../../src/domain/money.ts';
import { GATEWAYS, type GatewayName } from './gateways.ts';
import type { Citus } from './house.ts';

export const SCENARIOS = [
  'grant',
  'agents',
  'hot',
  'rolling',
  'store',
  'teams',
  'nested',
  'disobey',
  'neighbours',
  'upstreams',
] as const;
export type Scenario = (typeof SCENARIOS)[number];

export const HELP = `Usage: npm run attack -- [options]

Attacks Tollgate with real processes on this machine: replicas of the gateway on one PostgreSQL, the simulated OpenAI,
and many clients (both official SDKs and plain HTTP). Replicas and PostgreSQL are killed with SIGKILL in the middle of
the work and started again. In the end the books are held against the upstream's invoice, and a row is printed for each
number of replicas, beside the same attack on a gateway that checks first and books afterwards.

  --scenario NAME   ${SCENARIOS.join(', ')} (default grant):
                    grant     the attack itself
                    agents    30 parallel calls without an output limit on $5, through the SDK as it comes
                    hot       one team at thousands of calls a second: who waits, and what Postgres has to do
                    store     a database that hangs, restarts, fails over, or is restored; two replicas
                    rolling   a limit of 600 requests in any 60 s over 4 replicas, asked for 1,000 a minute
                    teams     100,000 calls of 1,000 teams with a budget each, then every page of the console and
                              every query of the dashboards; once with and once without a limit above the teams
                    nested    budgets of three levels of departments, of 40 teams in them and of 500 runs of agents: with
                              plenty of money, then with little, while processes are killed and teams move. The first call of
                              a run on a replica has to ask: 99 % of all calls need 230,000 (--calls) at a --rate that leaves
                              the processors idle at times
                    disobey   an upstream that ignores output limits: one whose probe fails, one that turns after it
                    neighbours  ten honest teams beside a hostile one, and beside an honest one with as many requests
                    upstreams  three upstreams, of which one dies, one is slow, and one answers 502, in turn
  --citus FOLDER    on a Citus cluster of a coordinator and two workers, instead of one PostgreSQL: where PostgreSQL 15 or
                    later is installed with the extension citus 13. It is in no package registry: build it yourself
  --shards N        of the cluster (default 8); 0: one server of that installation, to compare with
  --teams N         teams, nested: how many (default 1000, 40)
  --calls N         teams: how many, in all; nested: with plenty of money (default 100000, 20000)
  --replicas A,B    numbers of replicas, a row each (default 1,2,4; agents 1, hot 2, rolling 4, teams 2, nested 4)
  --workers N       workers of each replica (TOLLGATE_WORKERS, default 1); then some strikes kill one worker, not the replica
  --gateways A,B    grant: ${GATEWAYS.join(', ')} (default both)
  --clients N       grant: clients at once (default 500); agents: how many (default 30)
  --budget USD      the grant; it covers a part of what is asked (default 6.00; agents 5.00, hot 40.00)
  --rate N          hot, nested: calls a second over all replicas (default 3300, 125)
  --seconds N       how long hot measures, after 5 s of settling, and rolling and neighbours ask (default 30, 185, 20);
                    upstreams: how long each fault lasts beyond 10 s (default 10)
  --speed N         agents: output tokens a second that a model writes (default 1000; real ones some hundred)
  --seed N          what the clients ask and what the upstream answers derive from it (default 1)
  --only A,B        store: cases whose names contain one of these
  --json FILE       also writes every number of every row
  --help            this text

The exit code is 1 when a row breaks a promise.
`;

export interface Options {
  scenario: Scenario;
  replicas: number[];
  workers: number;
  gateways: GatewayName[];
  clients: number;
  budgetUsd: string;
  seed: number;
  tokensPerSecond: number;
  callsPerSecond: number;
  seconds: number;
  teams: number;
  calls: number;
  citus: Citus | null;
  only: string[];
  jsonFile: string | null;
}

/** What each scenario does when nothing else was said. */
const USUAL: Record<Scenario, { replicas: string; clients: string; budget: string; seconds: string }> = {
  grant: { replicas: '1,2,4', clients: '500', budget: '6.00', seconds: '1' },
  agents: { replicas: '1', clients: '30', budget: '5.00', seconds: '1' },
  hot: { replicas: '2', clients: '64', budget: '40.00', seconds: '30' },
  store: { replicas: '2', clients: '40', budget: '1.50', seconds: '1' },
  rolling: { replicas: '4', clients: '1', budget: '1000.00', seconds: '185' },
  disobey: { replicas: '1', clients: '6', budget: '5.00', seconds: '1' },
  teams: { replicas: '2', clients: '64', budget: '100.00', seconds: '1' },
  nested: { replicas: '4', clients: '200', budget: '4.00', seconds: '1' },
  upstreams: { replicas: '1', clients: '24', budget: '5.00', seconds: '10' },
  neighbours: { replicas: '1', clients: '1', budget: '5.00', seconds: '20' },
};

/** Reads the arguments; null when help was asked for. Throws with a message for the user. */
export function readOptions(argv: string[]): Options | null {
  const { values } = parseArgs({
    args: argv,
    options: {
      scenario: { type: 'string', default: 'grant' },
      replicas: { type: 'string' },
      workers: { type: 'string', default: '1' },
      gateways: { type: 'string', default: GATEWAYS.join(',') },
      clients: { type: 'string' },
      budget: { type: 'string' },
      speed: { type: 'string', default: '1000' },
      rate: { type: 'string' },
      seconds: { type: 'string' },
      seed: { type: 'string', default: '1' },
      citus: { type: 'string' },
      shards: { type: 'string', default: '8' },
      teams: { type: 'string' },
      calls: { type: 'string' },
      only: { type: 'string', default: '' },
      json: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  const scenario = oneOf('--scenario', values.scenario, SCENARIOS);
  const usual = USUAL[scenario];
  const { replicas = usual.replicas, clients = usual.clients, budget = usual.budget } = values;
  usd(budget);
  const isNested = scenario === 'nested';
  return {
    scenario,
    replicas: replicas.split(',').map((text) => whole('--replicas', text, 16)),
    workers: whole('--workers', values.workers, 16),
    gateways: values.gateways.split(',').map((text) => oneOf('--gateways', text, GATEWAYS)),
    clients: whole('--clients', clients, 5_000),
    budgetUsd: budget,
    tokensPerSecond: whole('--speed', values.speed, 1_000_000),
    callsPerSecond: whole('--rate', values.rate ?? (isNested ? '125' : '3300'), 100_000),
    seconds: whole('--seconds', values.seconds ?? usual.seconds, 3_600),
    seed: whole('--seed', values.seed, 2 ** 31),
    teams: whole('--teams', values.teams ?? (isNested ? '40' : '1000'), 10_000),
    calls: whole('--calls', values.calls ?? (isNested ? '20000' : '100000'), 10_000_000),
    citus:
      values.citus === undefined ? null : { installation: values.citus, shards: shardsOf(values.shards) },
    only: values.only.split(',').filter((part) => part !== ''),
    jsonFile: values.json ?? null,
  };
}

function oneOf<Value extends string>(flag: string, text: string, all: readonly Value[]): Value {
  const value = all.find((each) => each === text);
  if (value === undefined) throw new Error(`${flag}: ${text} is none of ${all.join(', ')}`);
  return value;
}

/** Zero too: one server. */
function shardsOf(text: string): number {
  return text === '0' ? 0 : whole('--shards', text, 128);
}

function whole(flag: string, text: string, most: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > most)
    throw new Error(`${flag}: ${text} is not a whole number from 1 to ${most}`);
  return value;
}

/**
 * The attack: the promises under fire, with real processes. Owns: which scenarios run, what is printed, the exit code.
 * Invariants: loopback only; bounded in time; whatever it starts is gone when it ends.
 */
import { writeFileSync } from 'node:fs';
import { stopAll } from '../processes.ts';
import { AGENT_MODELS, type AgentsRow, brokenAgentPromises, describe, runAgents } from './agents.ts';
import { brokenDisobeyPromises, disobeyCells, runDisobey } from './disobey.ts';
import { attackGrant, type GrantRow } from './grant.ts';
import { brokenHotPromises, describeHot, type HotRow, runHot } from './hot.ts';
import { brokenNeighbourPromises, describeNeighbours, runNeighbours } from './neighbours.ts';
import { brokenNestedPromises, describeNested, type NestedRow, runNested } from './nested.ts';
import { HELP, type Options, readOptions, type Scenario } from './options.ts';
import { align, brokenPromises, renderTable } from './promises.ts';
import { runRolling } from './rolling.ts';
import { brokenStorePromises, runStore, storeCells } from './store.ts';
import { FULL_PLAN } from './strikes.ts';
import { brokenTeamsPromises, describeTeams, runTeams, type TeamsRow } from './teams.ts';
import { brokenUpstreamsPromises, describeUpstreams, runUpstreams } from './upstreams.ts';
import { brokenRollingPromises, type RollingRow, rollingCells } from './window.ts';

/** Kills that each row of the full attack must have seen. */
const STRIKES_LEAST = 5;

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

interface Outcome {
  broken: string[];
  results: unknown;
}

async function grant(options: Options): Promise<Outcome> {
  const rows: GrantRow[] = [];
  const broken: string[] = [];
  for (const gateway of options.gateways) {
    for (const replicas of options.replicas) {
      const name = `${gateway} × ${replicas}`;
      const progress = (text: string) => say(`${name}: ${text}`);
      const row = await attackGrant({ ...options, gateway, replicas, plan: FULL_PLAN, progress });
      rows.push(row);
      broken.push(...brokenPromises(row, STRIKES_LEAST).map((promise) => `${name}: ${promise}`));
    }
  }
  console.log(renderTable(rows));
  return { broken, results: rows };
}

async function agents(options: Options): Promise<Outcome> {
  const rows: AgentsRow[] = [];
  const broken: string[] = [];
  for (const model of AGENT_MODELS) {
    for (const replicas of options.replicas) {
      const row = await runAgents({ ...options, model, replicas, agents: options.clients, progress: say });
      rows.push(row);
      console.log(`${replicas} replicas, ${row.seconds.toFixed(0)} s, ${describe(row)}`);
      broken.push(...brokenAgentPromises(row, model).map((promise) => `${model.name}: ${promise}`));
    }
  }
  return { broken, results: rows };
}

async function hot(options: Options): Promise<Outcome> {
  const rows: HotRow[] = [];
  const broken: string[] = [];
  for (const replicas of options.replicas) {
    const row = await runHot({ ...options, replicas, progress: say });
    rows.push(row);
    console.log(describeHot(row));
    broken.push(...brokenHotPromises(row, options.callsPerSecond));
  }
  return { broken, results: rows };
}

async function rolling(options: Options): Promise<Outcome> {
  const rows: RollingRow[] = [];
  for (const replicas of options.replicas) {
    rows.push(...(await runRolling({ ...options, replicas, progress: say })));
  }
  console.log(align(rollingCells(rows)));
  return { broken: rows.flatMap(brokenRollingPromises), results: rows };
}

async function teams(options: Options): Promise<Outcome> {
  const rows: TeamsRow[] = [];
  for (const replicas of options.replicas) {
    const row = await runTeams({ ...options, replicas, progress: say });
    rows.push(row);
    console.log(describeTeams(row));
  }
  return { broken: rows.flatMap(brokenTeamsPromises), results: rows };
}

async function nested(options: Options): Promise<Outcome> {
  const rows: NestedRow[] = [];
  for (const replicas of options.replicas) {
    const row = await runNested({ ...options, replicas, progress: say });
    rows.push(row);
    console.log(describeNested(row));
  }
  return { broken: rows.flatMap((row) => brokenNestedPromises(row, STRIKES_LEAST)), results: rows };
}

async function disobey(options: Options): Promise<Outcome> {
  const rows = await runDisobey({ progress: say });
  console.log(align(disobeyCells(rows)));
  return { broken: rows.flatMap(brokenDisobeyPromises), results: { rows, seed: options.seed } };
}

async function neighbours(options: Options): Promise<Outcome> {
  const row = await runNeighbours({ ...options, progress: say });
  console.log(describeNeighbours(row));
  return { broken: brokenNeighbourPromises(row), results: row };
}

async function store(options: Options): Promise<Outcome> {
  const rows = await runStore({ ...options, progress: say });
  console.log(align(storeCells(rows)));
  return { broken: rows.flatMap(brokenStorePromises), results: rows };
}

async function upstreams(options: Options): Promise<Outcome> {
  const row = await runUpstreams({ ...options, progress: say });
  console.log(describeUpstreams(row));
  return { broken: brokenUpstreamsPromises(row), results: row };
}

const RUN: Record<Scenario, (options: Options) => Promise<Outcome>> = {
  grant,
  agents,
  hot,
  rolling,
  teams,
  nested,
  disobey,
  neighbours,
  store,
  upstreams,
};

async function main(): Promise<void> {
  if (process.platform !== 'linux') throw new Error('the attack reads /proc, so it runs on Linux only');
  const options = readOptions(process.argv.slice(2));
  if (!options) {
    console.log(HELP);
    return;
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => void stopAll().finally(() => process.exit(130)));
  }
  const { broken, results } = await RUN[options.scenario](options);
  if (options.jsonFile) {
    const json = JSON.stringify(
      { at: new Date().toISOString(), options, results, broken },
      (_, value) => (typeof value === 'bigint' ? value.toString() : value),
      2,
    );
    writeFileSync(options.jsonFile, `${json}\n`);
  }
  for (const promise of broken) console.log(`broken: ${promise}`);
  if (broken.length > 0) process.exitCode = 1;
}

main().catch((error: Error) => {
  console.error(`attack: ${error.message}`);
  // Clients and replicas may still be at work, and would keep the process alive.
  process.exit(1);
});

/**
 * The bench. Owns: how Tollgate is compared with a bare pipe and with a peer. The measure is the CPU time of the gateway's
 * process, because every process here shares the machine; rounds interleave the gateways, so that noise hits all.
 * Invariants: loopback only; bounded in time; whatever it starts is gone when it ends.
 */
import { chmodSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { type Cell, Load, measureCell } from './cell.ts';
import { type Contestant, startContestant } from './contestants.ts';
import type { Target } from './load.ts';
import { HELP, type Options, readOptions } from './options.ts';
import { benchPages } from './pages/main.ts';
import { startOwnServer, stopAll } from './processes.ts';
import { profileFlags, readProfile } from './profile.ts';
import { report } from './report.ts';

const PROFILE_SECONDS = 20;

function progress(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Long enough for the just-in-time compiler to settle: with 2 s a gateway of any size measured twice its later CPU. */
const WARMUP_SECONDS = 6;

/** Runs every kind of call until its code is as fast as it gets. */
async function warmUp(load: Load, contestant: Contestant, options: Options): Promise<void> {
  progress(`warming up ${contestant.name} ${contestant.version}`);
  for (const call of options.cases) await load.saturate(contestant, call, WARMUP_SECONDS);
}

async function compare(options: Options, dir: string, upstreamPort: number, load: Load): Promise<void> {
  const upstream: Target = { port: upstreamPort, headers: {} };
  const contestants: Contestant[] = [];
  for (const name of options.contestants) {
    contestants.push(await startContestant(name, { upstreamPort, dir: `${dir}/${name}`, nodeFlags: [] }));
  }
  for (const contestant of contestants) await warmUp(load, contestant, options);

  const cells: Cell[] = [];
  for (let round = 0; round < options.rounds; round++) {
    progress(`round ${round + 1} of ${options.rounds}`);
    for (const call of options.cases) {
      // Each round starts with another gateway, so that none is always the one behind a busy neighbour.
      const first = round % contestants.length;
      const order = [...contestants.slice(first), ...contestants.slice(0, first)];
      for (const contestant of order) {
        cells.push(await measureCell(load, contestant, call, round, options.seconds, upstream));
      }
    }
  }
  const ordered = contestants.flatMap(({ name }) => cells.filter((cell) => cell.contestant === name));
  const cpu = cpus();
  const machine = `${cpu.length} × ${cpu[0]?.model ?? 'unknown CPU'}, Node ${process.version}`;
  console.log(`${machine}; median (minimum–maximum) of ${options.rounds} rounds\n\n${report(ordered)}`);
  if (!options.jsonFile) return;
  const versions = Object.fromEntries(contestants.map(({ name, version }) => [name, version]));
  const results = {
    at: new Date().toISOString(),
    machine,
    versions,
    seconds: options.seconds,
    cells: ordered,
  };
  writeFileSync(options.jsonFile, `${JSON.stringify(results, null, 2)}\n`);
}

async function profile(options: Options, dir: string, upstreamPort: number, load: Load): Promise<void> {
  const name = options.contestants.includes('tollgate') ? 'tollgate' : options.contestants[0]!;
  const nodeFlags = profileFlags(dir);
  const contestant = await startContestant(name, { upstreamPort, dir: `${dir}/${name}`, nodeFlags });
  const seconds = PROFILE_SECONDS / options.cases.length;
  for (const call of options.cases) await load.saturate(contestant, call, seconds);
  await stopAll();
  console.log(`${name}: own time\n\n${readProfile(dir, PROFILE_SECONDS / 2)}`);
}

/** A gateway that had to be killed leaves its Postgres; the server's pid is the first line of its lock file. */
function endLeftDatabases(dir: string): void {
  for (const file of globSync(`${dir}/**/postmaster.pid`)) {
    try {
      process.kill(Number.parseInt(readFileSync(file, 'utf8'), 10), 'SIGINT');
    } catch {
      // It is gone already.
    }
  }
}

async function main(): Promise<void> {
  if (process.platform !== 'linux')
    throw new Error('the bench reads CPU times from /proc, so it runs on Linux only');
  const options = readOptions(process.argv.slice(2));
  if (!options) {
    console.log(HELP);
    return;
  }
  const dir = mkdtempSync(`${tmpdir()}/tollgate-bench-`);
  // An embedded Postgres started by root runs as another user, who has to reach its data.
  chmodSync(dir, 0o755);
  const cleanUp = async () => {
    await stopAll();
    endLeftDatabases(dir);
    rmSync(dir, { recursive: true, force: true });
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => void cleanUp().finally(() => process.exit(130)));
  }
  try {
    if (options.pages) {
      const { rounds, events } = options;
      const met = await benchPages(dir, { rounds, events, teams: 200, days: 90, inOrder: true }, progress);
      if (!met) process.exitCode = 1;
      return;
    }
    const { port } = await startOwnServer({ script: 'upstream.ts', logFile: `${dir}/upstream.log` });
    const load = await Load.start(`${dir}/load.log`);
    await (options.profile ? profile : compare)(options, dir, port, load);
  } finally {
    await cleanUp();
  }
}

main().catch((error: Error) => {
  console.error(`bench: ${error.message}`);
  process.exitCode = 1;
});

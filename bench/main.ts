/**
 * The bench. Owns: how Tollgate is compared with an earlier build, a bare pipe and peers. The measure is the CPU time of the
 * gateway's processes, because every process here shares the machine; rounds interleave the gateways, so that noise hits all.
 * Invariants: loopback only; bounded in time; whatever it starts is gone when it ends.
 */
import { chmodSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { SMALL_JSON } from './cases.ts';
import { type Contestant, hasSessions, isPeer, startContestant, warmupCalls } from './contestants.ts';
import { Generator } from './generator.ts';
import { goalsReached } from './goals.ts';
import { type Bench, type Cell, measureCase, measureIdle } from './measure.ts';
import { HELP, type Options, readOptions } from './options.ts';
import { resolveCommit } from './previous.ts';
import { startOwnServer, stop, stopAll } from './processes.ts';
import { profileFlags, readProfile } from './profile.ts';
import { report } from './report.ts';
import { gatewayPids } from './tree.ts';

const PROFILE_SECONDS = 20;
const WARMUP_CONNECTIONS = 16;
/** Of kinds of call other than small JSON, which had many more by then and share most of the code. */
const WARMUP_CALLS_OF_OTHERS = 2_000;

function progress(text: string): void {
  process.stderr.write(`${text}\n`);
}

/**
 * Counted, not timed: the compiler reacts to how often code ran. At 1 connection a call of the build of November 2026 took
 * 1,700 µs in the first thousand, 620 after 23,000 and 370–500 from 40,000 on.
 */
async function warmUp({ generator }: Bench, contestant: Contestant, options: Options): Promise<void> {
  const calls = new Map([[SMALL_JSON, options.warmupCalls]]);
  for (const one of options.cases) {
    if ('call' in one && one.kind !== 'held' && one.call !== SMALL_JSON)
      calls.set(one.call, WARMUP_CALLS_OF_OTHERS);
  }
  for (const one of options.cases) {
    if (one.kind === 'frames' && hasSessions(contestant.name))
      await generator.frames(contestant, one, { responses: WARMUP_CALLS_OF_OTHERS });
  }
  for (const [call, count] of calls) {
    await generator.count(contestant.target, call, WARMUP_CONNECTIONS, warmupCalls(contestant.name, count));
  }
}

async function startAll(options: Options, dir: string, upstreamPort: number): Promise<Contestant[]> {
  const contestants: Contestant[] = [];
  for (const name of options.contestants) {
    progress(`starting ${name}`);
    const { previous } = options;
    const own = { upstreamPort, dir: `${dir}/${name}`, nodeFlags: [], previous };
    contestants.push(await startContestant(name, own));
    // A start is measured on a data folder that is already there.
    if (options.cases.some(({ kind }) => kind === 'start') && !isPeer(name)) {
      const made = await startContestant(name, { ...own, dir: `${dir}/${name}-start` });
      await stop(made.child);
    }
  }
  return contestants;
}

async function measureAll(bench: Bench, contestants: Contestant[], options: Options): Promise<Cell[]> {
  const cells: Cell[] = [];
  const idle = async (fresh: boolean) => {
    const one = options.cases.find((other) => other.kind === 'idle' && other.fresh === fresh);
    if (!one) return;
    progress(one.name);
    cells.push(...(await measureIdle(one.name, contestants, options.rounds)));
  };
  await idle(true);
  const inRounds = options.cases.filter(({ kind }) => kind !== 'idle');
  for (const contestant of inRounds.length > 0 ? contestants : []) {
    progress(`warming up ${contestant.name} ${contestant.version}`);
    await warmUp(bench, contestant, options);
  }
  for (let round = 0; round < options.rounds; round++) {
    progress(`round ${round + 1} of ${options.rounds}`);
    for (const one of inRounds) {
      // Each round starts with another gateway, so that none is always the one behind a busy neighbour.
      const first = round % contestants.length;
      const order = [...contestants.slice(first), ...contestants.slice(0, first)];
      cells.push(...(await measureCase(bench, order, one, round)));
    }
  }
  await idle(false);
  return cells;
}

function machine(): string {
  const cpu = cpus();
  return `${cpu.length} × ${cpu[0]?.model ?? 'unknown CPU'}, Node ${process.version}, load ${loadavg()[0]?.toFixed(1)}`;
}

/** Names what was compared; says when the workers are not there, because a build without the setting ignores it. */
function describe(contestants: Contestant[]): string {
  return contestants
    .map(({ name, version, rootPid }) => {
      const processes = name === 'workers' ? ` (processes: ${gatewayPids(rootPid).length})` : '';
      return `${name} ${version}${processes}`;
    })
    .join('; ');
}

async function compare(options: Options, dir: string, bench: Bench): Promise<void> {
  const at = new Date().toISOString();
  const contestants = await startAll(options, dir, bench.upstream.target.port);
  const described = describe(contestants);
  const cells = await measureAll(bench, contestants, options);
  console.log(`${machine()}\n${described}\nmedian (minimum–maximum) of ${options.rounds} rounds\n`);
  console.log(report(cells, options.contestants));
  const goals = goalsReached(cells);
  if (goals !== '') console.log(`\ngoals, held against medians\n${goals}`);
  if (!options.jsonFile) return;
  const { rounds, slices, seconds, warmupCalls } = options;
  const results = {
    at,
    machine: machine(),
    contestants: described,
    rounds,
    slices,
    seconds,
    warmupCalls,
    cells,
  };
  writeFileSync(options.jsonFile, `${JSON.stringify(results, null, 2)}\n`);
}

async function profile(options: Options, dir: string, { generator, upstream }: Bench): Promise<void> {
  const name = options.contestants.includes('tollgate') ? 'tollgate' : options.contestants[0]!;
  const cases = options.cases.filter(
    (one) => one.kind === 'saturate' || one.kind === 'rate' || one.kind === 'frames',
  );
  if (cases.length === 0)
    throw new Error('--profile: --cases names none with saturated connections or sessions, or a rate');
  const contestant = await startContestant(name, {
    upstreamPort: upstream.target.port,
    dir: `${dir}/${name}`,
    nodeFlags: profileFlags(dir),
    previous: options.previous,
  });
  await generator.count(contestant.target, SMALL_JSON, WARMUP_CONNECTIONS, options.warmupCalls);
  const seconds = PROFILE_SECONDS / cases.length;
  for (const one of cases) {
    if (one.kind === 'saturate') await generator.saturate(contestant, one.call, one.connections, seconds);
    else if (one.kind === 'rate') await generator.pace(contestant, one.call, one.callsPerSecond, seconds);
    else await generator.frames(contestant, one, { seconds });
  }
  await stopAll();
  console.log(`${name}: own time\n\n${readProfile(dir, PROFILE_SECONDS)}`);
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

async function openBench(options: Options, dir: string): Promise<Bench> {
  const { child, port } = await startOwnServer({ script: 'upstream.ts', logFile: `${dir}/upstream.log` });
  const generator = await Generator.start(`${dir}/load.log`);
  const { slices, seconds, latency, previous } = options;
  return {
    generator,
    upstream: { child, target: { port, headers: {} } },
    slices,
    seconds,
    latency,
    startFresh: (name) =>
      startContestant(name, { upstreamPort: port, dir: `${dir}/${name}-start`, nodeFlags: [], previous }),
  };
}

async function run(options: Options, dir: string): Promise<void> {
  if (options.pages) {
    const { benchPages } = await import('./pages/main.ts');
    const { rounds, events } = options;
    const met = await benchPages(dir, { rounds, events, teams: 200, days: 90, inOrder: true }, progress);
    if (!met) process.exitCode = 1;
    return;
  }
  if (options.holds) {
    const { benchHolds } = await import('./holds/main.ts');
    const previous = options.contestants.includes('previous') ? options.previous : null;
    if (!(await benchHolds(`${dir}/holds`, previous, progress))) process.exitCode = 1;
    return;
  }
  if (options.training) {
    const { benchTraining } = await import('./training/main.ts');
    if (!(await benchTraining(dir, options.megabytes, progress))) process.exitCode = 1;
    return;
  }
  if (options.contestants.includes('previous')) resolveCommit(options.previous);
  const bench = await openBench(options, dir);
  await (options.profile ? profile : compare)(options, dir, bench);
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
    process.once(signal, () => {
      progress(`bench: ${signal}, ending what was started`);
      void cleanUp().finally(() => process.exit(130));
    });
  }
  try {
    await run(options, dir);
  } finally {
    await cleanUp();
  }
}

main().catch((error: Error) => {
  console.error(`bench: ${error.message}`);
  process.exitCode = 1;
});

/** The command `npm run simulate`. */
import { availableParallelism } from 'node:os';
import type { Fault } from './faults/fault.ts';
import { FAULTS } from './faults/list.ts';
import { HELP, type Options, readOptions } from './options.ts';
import { failureText, sumFigures, tableOf } from './report.ts';
import type { SeedResult } from './simulate.ts';
import { runSeeds } from './workers.ts';

const PROGRESS_EVERY_MS = 5_000;

async function main(argv: string[]): Promise<number> {
  let options: Options | null;
  try {
    options = readOptions(argv);
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${HELP}`);
    return 1;
  }
  if (options === null) {
    process.stdout.write(HELP);
    return 0;
  }
  if (options.list) {
    for (const { name, what } of FAULTS) process.stdout.write(`${name.padEnd(26)}${what}\n`);
    return 0;
  }
  if (options.faults === 'none') return prove(options);
  let caught = true;
  for (const fault of options.faults === 'all' ? FAULTS : [options.faults]) {
    if (!(await hunt(options, fault))) caught = false;
  }
  return caught ? 0 : 1;
}

/** Runs the seeds in good health; the exit code. */
async function prove({ seeds, steps, jobs }: Options): Promise<number> {
  const startedMs = performance.now();
  const sums: Record<string, number> = {};
  const failed: SeedResult[] = [];
  let done = 0;
  let saidMs = startedMs;
  await runSeeds({
    seeds,
    steps,
    jobs: jobs ?? defaultJobs(),
    fault: null,
    onResult(result) {
      done++;
      sumFigures(sums, result);
      if (result.failure) {
        failed.push(result);
        process.stderr.write(`${failureText(result, steps, null)}\n`);
      }
      if (performance.now() - saidMs > PROGRESS_EVERY_MS) {
        saidMs = performance.now();
        process.stderr.write(`${done} of ${seeds[1] - seeds[0] + 1} seeds, ${failed.length} failed\n`);
      }
      return true;
    },
  });
  process.stdout.write(`${tableOf(done, failed.length, sums, performance.now() - startedMs)}\n`);
  return failed.length === 0 ? 0 : 1;
}

/** Plants a fault and runs seeds until one catches it; whether one did, and the fault had fired. */
async function hunt({ seeds, steps, jobs }: Options, fault: Fault): Promise<boolean> {
  let caught: SeedResult | null = null;
  let fired = 0;
  let done = 0;
  await runSeeds({
    seeds,
    steps,
    jobs: jobs ?? defaultJobs(),
    fault: fault.name,
    takes: fault.canFire,
    onResult(result) {
      done++;
      fired += result.fired;
      if (result.failure && result.fired > 0) caught ??= result;
      return caught === null;
    },
  });
  const name = fault.name.padEnd(26);
  if (caught === null) {
    const why = fired === 0 ? 'it never fired' : `it fired ${fired} times`;
    process.stdout.write(`${name}NOT CAUGHT by ${done} seeds: ${why}\n`);
    return false;
  }
  const { seed, failure } = caught as SeedResult;
  process.stdout.write(
    `${name}caught by seed ${seed}, ${done} seeds, fired ${fired} times: ${failure!.message.slice(0, 200)}\n`,
  );
  return true;
}

function defaultJobs(): number {
  return Math.max(1, Math.floor(availableParallelism() / 2));
}

process.exitCode = await main(process.argv.slice(2));

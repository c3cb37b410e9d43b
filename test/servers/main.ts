/**
 * `npm run test:servers`: real servers behind Tollgate, one at a time, then pairs of which one dies. Each step is a run of its own with
 * a time limit of its own, so that a machine with two cores has no more than two servers at once, and one that hangs ends alone.
 * TOLLGATE_SERVERS names the servers that are wanted, with commas. Exits with 1 when a step fails, or nothing could be tried.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { install } from './install.ts';
import { KINDS } from './kinds.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const VITEST = fileURLToPath(new URL('../../node_modules/vitest/vitest.mjs', import.meta.url));
/** With the starts of PyTorch on a busy machine. */
const STEP_MS = 30 * 60_000;

interface Step {
  name: string;
  /** The servers that it starts. */
  servers: readonly string[];
  /** Of the tests. */
  file: string;
  /** Part of the tests' names; null: all. */
  only: string | null;
}

function stepsOf(names: readonly string[]): Step[] {
  const alone = names.map((name) => ({ name, servers: [name], file: 'checks', only: null }));
  const pairs = names.map((dying, at) => {
    const staying = names[(at + 1) % names.length] ?? dying;
    const name = `${dying} dies beside ${staying}`;
    return { name, servers: [dying, staying], file: 'failover', only: `${dying} dies` };
  });
  return [...alone, ...(names.length < 2 ? [] : pairs)];
}

/** Runs a step; returns what became of it. */
async function run({ servers, file, only }: Step): Promise<'passed' | 'failed' | 'took too long'> {
  const config = ['--config', 'test/servers/vitest.config.ts', '--root', '.'];
  const tests = [`test/servers/${file}.servers.ts`, ...(only === null ? [] : ['-t', only])];
  const child = spawn(process.execPath, [VITEST, 'run', ...config, ...tests], {
    cwd: ROOT,
    env: { ...process.env, TOLLGATE_SERVERS: servers.join() },
    stdio: 'inherit',
    // With the servers that it started.
    detached: true,
  });
  let isLate = false;
  const end = (): void => {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL');
  };
  const limit = setTimeout(() => {
    isLate = true;
    end();
  }, STEP_MS);
  const stop = (): void => {
    end();
    process.exit(1);
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop);
  const [code] = await once(child, 'exit');
  clearTimeout(limit);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, stop);
  return isLate ? 'took too long' : code === 0 ? 'passed' : 'failed';
}

const { servers } = install();
const there = KINDS.map(({ name }) => name).filter((name) => servers[name]?.missing === null);
const steps = stepsOf(there);
const rows: string[] = [];
let failed = steps.length === 0 ? 1 : 0;
for (const [at, step] of steps.entries()) {
  console.log(`\n=== ${at + 1} of ${steps.length}: ${step.name}`);
  const startMs = performance.now();
  const became = await run(step);
  if (became !== 'passed') failed++;
  rows.push(
    `${became.padEnd(13)}  ${`${Math.round((performance.now() - startMs) / 1000)} s`.padStart(6)}  ${step.name}`,
  );
}
for (const { name } of KINDS) {
  const why = servers[name]?.missing ?? null;
  if (why !== null)
    rows.push(`${'skipped'.padEnd(13)}  ${''.padStart(6)}  ${name}: ${why.split('\n', 1)[0]}`);
}
console.log(`\n${rows.join('\n')}\n`);
process.exitCode = failed === 0 ? 0 : 1;

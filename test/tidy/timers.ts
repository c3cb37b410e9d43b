/**
 * Where timers may stand: work that repeats is started in one place (`startJob`), and what else waits is listed here with
 * the reason. Not counted: `setImmediate` (a turn of the loop, no time), `AbortSignal.timeout` (a deadline by its name), the
 * console (a browser has no jobs), and the programs beside the gateway, which are the simulator and the demo.
 */
import type { SourceFile } from './imports.ts';

const JOBS = 'src/jobs/every.ts';
const ELSEWHERE = /^src\/(?:console|simulator|demo)[/.]/;
const DELAY = /\bsetTimeout\b/;
const INTERVAL = /\bsetInterval\b/;

/**
 * Why a file may delay something once. `deadline`: the end of one request, upload, statement, message, or of the process
 * itself. `retry`: one thing that failed, or is not ready yet, is tried again. `batch`: what waits is written together, and
 * there is no timer while nothing waits.
 */
const DELAYS: Readonly<Record<string, 'deadline' | 'retry' | 'batch'>> = {
  [JOBS]: 'retry',
  'src/cli/client.ts': 'deadline',
  'src/gateway/count-sharing.ts': 'batch',
  'src/gateway/audio.ts': 'deadline',
  'src/gateway/counting.ts': 'deadline',
  'src/gateway/file-counts.ts': 'deadline',
  'src/gateway/gateway.ts': 'deadline',
  'src/gateway/objects.ts': 'retry',
  'src/gateway/on-exhausted.ts': 'deadline',
  'src/gateway/stages/forward.ts': 'deadline',
  'src/ledger/journal.ts': 'batch',
  'src/main/channel.ts': 'deadline',
  'src/main/http/server.ts': 'deadline',
  'src/main/process.ts': 'deadline',
  'src/main/serve.ts': 'deadline',
  'src/main/supervisor.ts': 'deadline',
  'src/main/worker.ts': 'deadline',
  'src/main/workers.ts': 'retry',
  'src/store/connection/connect.ts': 'deadline',
  'src/store/connection/pool.ts': 'deadline',
  'src/store/embedded/server.ts': 'retry',
  'src/store/embedded/start.ts': 'retry',
  'src/store/embedded/supervisor.ts': 'retry',
  'src/store/migrate.ts': 'retry',
  'src/telemetry/log.ts': 'batch',
  'src/upstreams/probe.ts': 'deadline',
  'src/upstreams/read.ts': 'deadline',
  'src/wire/node-exchange.ts': 'deadline',
  'src/wire/outflow.ts': 'deadline',
  'src/wire/server-exchange.ts': 'deadline',
};

/** One timer for the deadlines of all open connections or uploads, which runs only while there are some. */
const SWEEPS = [
  'src/gateway/bodies.ts',
  'src/gateway/lines/lines.ts',
  'src/wire/client.ts',
  'src/wire/server.ts',
];

/** Timers that stand where none may, and places listed here that have none any more. */
export function timers(
  files: readonly SourceFile[],
  delays: readonly string[] = Object.keys(DELAYS),
  sweeps: readonly string[] = SWEEPS,
): string[] {
  const own = files.filter(({ path }) => path.startsWith('src/') && !ELSEWHERE.test(path));
  const paths = (pattern: RegExp) =>
    own.filter(({ text }) => pattern.test(withoutComments(text))).map(({ path }) => path);
  const delaying = paths(DELAY);
  const repeating = paths(INTERVAL);
  return [
    ...repeating
      .filter((path) => !sweeps.includes(path))
      .map((path) => `${path}: repeated work is startJob's`),
    ...delaying.filter((path) => !delays.includes(path)).map((path) => `${path}: a delay without a reason`),
    ...delays.filter((path) => !delaying.includes(path)).map((path) => `${path}: has no delay any more`),
    ...sweeps.filter((path) => !repeating.includes(path)).map((path) => `${path}: has no sweep any more`),
  ];
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '').replace(/\.setTimeout\(/g, '');
}

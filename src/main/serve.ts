/**
 * The command `serve`: one process that is the whole gateway, or a supervisor and its workers (`TOLLGATE_WORKERS`). Owns:
 * which of them this process is.
 */
import cluster from 'node:cluster';
import { availableParallelism } from 'node:os';
import type { Config } from '../config.ts';
import { greet, LINGER_MS, openLog, runUntilStopped, stopBeforeStart, stopSignals } from './process.ts';

/** Runs the gateway until a signal or its fence ends it; sets the process's exit code. */
export async function serve(config: Config, version: string): Promise<void> {
  if (cluster.isWorker) return (await import('./worker.ts')).work(config, version);
  const workers = config.workers === 'auto' ? availableParallelism() : config.workers;
  if (workers > 1) return (await import('./supervisor.ts')).supervise(config, workers);
  const log = openLog(config);
  const signals = stopSignals();
  const { startApp } = await import('./start.ts');
  const started = startApp({ config, log, version });
  const app = await Promise.race([started, stopBeforeStart(signals.hurry)]);
  greet(app, config, log);
  process.exitCode = await runUntilStopped(app, signals, log);
  setTimeout(() => process.exit(), LINGER_MS).unref();
}

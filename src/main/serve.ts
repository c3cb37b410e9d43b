/** The command `serve`: starts the gateway, says where it listens, waits for the reason to stop, and stops in order. */
import { join } from 'node:path';
import type { Config } from '../config.ts';
import { createLog, type Log } from '../telemetry/log.ts';
import { CannotStart } from './open.ts';
import { type App, startApp } from './start.ts';
import { type StopSignals, stopSignals } from './stop.ts';

/** How long what should have ended may still keep the process: a database that hangs, a handle that was forgotten. */
const LINGER_MS = 2000;

/** Runs the gateway until a signal or its fence ends it; sets the process's exit code. */
export async function serve(config: Config, version: string): Promise<void> {
  const log = logOf(config);
  const signals = stopSignals();
  const started = startApp({ config, log, version });
  const app = await Promise.race([started, secondSignal(signals.hurry)]);
  greet(app, config, log);
  process.exitCode = await stopped(app, signals, log);
  setTimeout(() => process.exit(), LINGER_MS).unref();
}

function logOf(config: Config): Log {
  return createLog({
    level: config.logLevel,
    logCalls: config.logCalls,
    secrets: [
      config.openaiApiKey,
      config.openaiAdminKey,
      config.adminKey,
      config.metricsKey,
      config.databaseUrl,
      config.webhookUrl,
      config.webhookSecret,
    ],
  });
}

/** Rejects when the start is not worth waiting for any more: what it left is in order for the next one, as after a crash. */
function secondSignal(hurry: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    hurry.addEventListener('abort', () => reject(new CannotStart('stopped before the start was complete')));
  });
}

function greet(app: App, config: Config, log: Log): void {
  log.logger.info(
    { url: app.url, upstream: config.openaiApiKey === null ? null : config.openaiBaseUrl },
    'listening',
  );
  const lines = [`Tollgate listens on ${app.url}`];
  const keyPath = join(config.dataDir, 'admin-key');
  if (app.adminKeyMade) lines.push(`Admin key, shown this once (kept in ${keyPath}): ${app.adminKey}`);
  else if (config.adminKey === null) lines.push(`The admin key is in ${keyPath}`);
  if (config.openaiApiKey === null) {
    lines.push('OPENAI_API_KEY is not set: /v1 answers 503 upstream_not_configured.');
  }
  process.stdout.write(`${lines.join('\n')}\n`);
}

/** Waits until the gateway must stop, and stops it. Returns the exit code. */
async function stopped(app: App, signals: StopSignals, log: Log): Promise<number> {
  const { logger } = log;
  const signal = await Promise.race([signals.asked, app.fenced]);
  if (signal) logger.info({ signal }, 'stopping: calls in flight may finish, a second signal ends them');
  else logger.fatal('another instance adopted this one: it may admit nothing more');
  // Until it is proven: a process with nothing left to do ends by itself, also in the middle of this.
  process.exitCode = 1;
  signals.hurry.addEventListener('abort', () => setTimeout(() => process.exit(), LINGER_MS).unref());
  try {
    await app.stop(signals.hurry);
    logger.info('stopped');
    return 0;
  } catch (error) {
    logger.error(
      { err: error },
      'stopped, but the ledger has not everything: the journal stays for the next start',
    );
    return 1;
  } finally {
    await log.flush();
  }
}

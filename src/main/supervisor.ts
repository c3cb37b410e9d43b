/**
 * The supervisor: the process above several workers. Owns: the port (node:cluster hands its connections out in turn), the
 * embedded database, the admin key of the data folder, and the order of start and stop. Does not own: calls, money, or any
 * session of Postgres; so it needs little memory and nothing that a call does can end it.
 */
import { loadOrMakeAdminKey } from '../auth/admin-key.ts';
import type { Config } from '../config.ts';
import { startEmbedded } from '../store/embedded/supervisor.ts';
import type { Log } from '../telemetry/log.ts';
import { CannotStart, embeddedOrCannotStart, inDataFolder, openJournals } from './open.ts';
import { greet, LINGER_MS, openLog, stopBeforeStart, stopSignals } from './process.ts';
import { Workers } from './workers.ts';

/** Beyond the drain: for the last flush, and for what lingers. */
const STOP_MARGIN_MS = 25_000;

/** Runs the workers until a signal ends them or none stays alive; sets the process's exit code. */
export async function supervise(config: Config, count: number): Promise<void> {
  const log = openLog(config);
  process.exitCode = await runWorkers(config, count, log);
  log.logger.info('stopped');
  await log.flush();
  setTimeout(() => process.exit(), LINGER_MS).unref();
}

/** Returns the exit code, once the workers and the database have ended. */
async function runWorkers(config: Config, count: number, log: Log): Promise<number> {
  const { logger } = log;
  const signals = stopSignals();
  await using back = new AsyncDisposableStack();
  const connectionsMax = connectionsOf(config, count);
  const { journals } = await openJournals(config);
  const admin = await inDataFolder(config.dataDir, () => loadOrMakeAdminKey(config.adminKey, config.dataDir));
  const connection = await openEmbedded(config, back, (error) =>
    logger.error({ err: error }, 'the embedded Postgres ended: it is started again'),
  );
  const assignment = { workers: count, supervisorPid: process.pid, connection, connectionsMax };
  const workers = new Workers({ count, assignment, journals, log });
  back.defer(() => workers.kill());
  // Each reads the files for itself; without any the signal ends the gateway, as it does by default.
  if (config.configFile !== null || config.tlsCert !== null) process.on('SIGHUP', () => workers.hangUp());

  const started = await Promise.race([workers.start(), stopBeforeStart(signals.hurry)]);
  if ('exitCode' in started) return started.exitCode;
  greet({ url: started.url, adminKey: admin.key, adminKeyMade: admin.made }, config, log);
  const signal = await Promise.race([signals.asked, workers.givenUp]);
  if (signal) logger.info({ signal }, 'stopping: calls in flight may finish, a second signal ends them');
  const exitCode = await workers.stop(
    signal ?? 'no worker stays alive',
    config.drainTimeoutMs + STOP_MARGIN_MS,
    signals.hurry,
    2 * LINGER_MS,
  );
  return signal ? exitCode : 1;
}

/** Connections of each worker. */
function connectionsOf({ pgConnections }: Config, workers: number): number {
  if (pgConnections === null) return Math.max(Math.floor(CONNECTIONS_USUAL / workers), CONNECTIONS_MIN);
  const share = Math.floor(pgConnections / workers);
  if (share >= CONNECTIONS_MIN) return share;
  throw new CannotStart(
    `TOLLGATE_PG_CONNECTIONS is too low for ${workers} workers: each needs ${CONNECTIONS_MIN}`,
  );
}

/** As docs/CONFIG.md says. */
const CONNECTIONS_USUAL = 14;
const CONNECTIONS_MIN = 6;

async function openEmbedded(config: Config, back: AsyncDisposableStack, onCrash: (error: unknown) => void) {
  if (config.databaseUrl !== null) return null;
  const { dataDir, pgBin } = config;
  const embedded = await embeddedOrCannotStart(() =>
    startEmbedded({ dataDir, pgBin: pgBin ?? undefined, onCrash }),
  );
  back.defer(() => embedded.stop());
  return embedded.connection;
}

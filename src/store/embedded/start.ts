/** Bringing the server of a data folder up, whatever its last run left behind: until it accepts sessions or cannot. */
import { mkdir, realpath } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Account, accountFor, EmbeddedPostgresError, isRoot } from './account.ts';
import { ensureCluster } from './cluster.ts';
import { findPrograms, type ProgramOptions, type Programs } from './programs.ts';
import { adoptServer, lockHolder, type ServerRun, spawnServer } from './server.ts';
import { ask } from './socket.ts';

/** Recovery after a crash replays at most about a gigabyte of log. */
const START_MS_MAX = 600_000;
const LOCK_RETRY_MS = 5_000;
/** The predecessor was killed and its last processes are still leaving. */
const LOCK_ERROR = /lock file|shared memory block/;
const POLL_MS = 20;

/** Makes the data folder if it is missing; returns the folder of the cluster in it. */
export async function clusterOf(dataDir: string): Promise<string> {
  try {
    // Root's server runs under another account, which on Linux needs no way in: see ownFolder().
    const mode = isRoot() && process.platform !== 'linux' ? 0o711 : 0o700;
    await mkdir(dataDir, { recursive: true, mode });
    return join(await realpath(dataDir), 'postgres');
  } catch (error) {
    const { message } = error as Error;
    throw new EmbeddedPostgresError(`cannot make the data folder ${resolve(dataDir)}: ${message}`);
  }
}

/**
 * Returns once the cluster's server accepts sessions, started by us or by another process.
 * @throws EmbeddedPostgresError saying what to do when it cannot run here
 */
export async function bringUp(
  cluster: string,
  socketPath: string,
  options: ProgramOptions,
): Promise<ServerRun> {
  const startedMs = performance.now();
  let prepared: { programs: Programs; account: Account | null } | null = null;
  let server: ServerRun | null = null;
  try {
    for (;;) {
      const answer = await ask(socketPath);
      if (answer === 'accepting') {
        const isOurs = server !== null && server.pid === (await lockHolder(cluster));
        return isOurs ? server! : await adoptServer(cluster);
      }
      const waitedMs = performance.now() - startedMs;
      if (waitedMs > START_MS_MAX) throw failure(cluster, server);
      if (answer === 'absent' && (server === null || server.hasExited)) {
        const canRetry = server === null || (LOCK_ERROR.test(server.log()) && waitedMs < LOCK_RETRY_MS);
        if (!canRetry) throw failure(cluster, server);
        prepared ??= await prepare(cluster, options);
        server = spawnServer(cluster, prepared.programs, prepared.account);
      }
      await delay(POLL_MS);
    }
  } catch (error) {
    await server?.stop();
    throw error;
  }
}

async function prepare(cluster: string, options: ProgramOptions) {
  const account = await accountFor(cluster);
  const programs = await findPrograms(options, account);
  await ensureCluster(cluster, programs, account);
  return { programs, account };
}

function failure(cluster: string, server: ServerRun | null): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    `PostgreSQL does not start on ${cluster}:\n${lastLines(server?.log() ?? '')}`,
  );
}

/** The end of a server's log, for people. */
export function lastLines(log: string): string {
  return log.split('\n').slice(-8).join('\n') || '(it said nothing)';
}

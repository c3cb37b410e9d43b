/**
 * The embedded database: a real PostgreSQL under `<dataDir>/postgres`, for evaluation and small installs.
 * Owns: finding its programs, making its files, starting, adopting, restarting and stopping it. Does not own: schema
 * and pools. Invariants: fsync stays on; it listens on no network; a cluster is complete or absent; whatever was
 * acknowledged survives the kill of any process.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { SocketConnection } from '../connection/address.ts';
import { EmbeddedPostgresError } from './account.ts';
import type { ProgramOptions } from './programs.ts';
import type { ServerRun } from './server.ts';
import { countSessions, ensureDatabase, socketFolder } from './socket.ts';
import { bringUp, clusterOf, lastLines } from './start.ts';

export interface EmbeddedOptions extends ProgramOptions {
  /** `TOLLGATE_DATA_DIR`; the cluster is its folder `postgres`. */
  dataDir: string;
  /** Called when the server ended unexpectedly, with the end of its log, and again if its restart fails. */
  onCrash?: ((reason: string) => void) | undefined;
}

export interface EmbeddedPostgres {
  connection: SocketConnection;
  /** The same connection for psql and other tools. */
  url: string;
  /** True: it was running already, started by a process that may be gone. */
  adopted: boolean;
  /**
   * Stops the server once everything committed is on disk. Close all pools first. An adopted server that others still
   * use keeps running: the last one to leave stops it.
   */
  stop(): Promise<void>;
}

const DATABASE = 'tollgate';
const LEAVE_ATTEMPTS = 25;
const LEAVE_POLL_MS = 20;

/**
 * Starts the database of a data folder, or adopts it when it runs already.
 * @throws EmbeddedPostgresError saying what to do when it cannot run here
 */
export async function startEmbedded(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  if (process.platform === 'win32') {
    throw new EmbeddedPostgresError('the embedded database needs unix sockets: on Windows set DATABASE_URL');
  }
  const cluster = await clusterOf(options.dataDir);
  const socket = await socketFolder(cluster);
  let stopping = false;
  let restarting: Promise<void> | null = null;

  const supervise = (run: ServerRun): ServerRun => {
    run.exited.then(() => {
      if (!stopping) restarting = restartAfter(run);
    });
    return run;
  };
  const restartAfter = async (run: ServerRun) => {
    options.onCrash?.(lastLines(run.log()));
    try {
      server = supervise(await bringUp(cluster, socket.path, options));
    } catch (error) {
      options.onCrash?.((error as Error).message);
    }
  };

  let server: ServerRun;
  try {
    server = supervise(await bringUp(cluster, socket.path, options));
    await ensureDatabase(socket.path, DATABASE);
  } catch (error) {
    stopping = true;
    await socket.remove();
    throw error;
  }
  return {
    connection: { path: socket.path, user: 'postgres', database: DATABASE },
    url: `postgres:///${DATABASE}?host=${encodeURIComponent(socket.directory)}&user=postgres`,
    adopted: server.adopted,
    async stop() {
      stopping = true;
      await restarting;
      if (!server.adopted || !(await isUsed(socket.path))) await server.stop();
      await socket.remove();
    },
  };
}

/** Whether others have sessions. Those just closed get a moment to disappear. */
async function isUsed(socketPath: string): Promise<boolean> {
  for (let attempt = 0; attempt < LEAVE_ATTEMPTS; attempt++) {
    if ((await countSessions(socketPath).catch(() => 0)) === 0) return false;
    await delay(LEAVE_POLL_MS);
  }
  return true;
}

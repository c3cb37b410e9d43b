/**
 * The demo's house: the simulated OpenAI and a whole gateway before it, in this process. Its configuration is made
 * here and takes nothing from the environment: a real key or a real database must not be touched by a demo.
 */
import { accessSync, constants, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { formatFaults, readConfig } from '../config.ts';
import { JournalDamaged } from '../ledger/recovery.ts';
import { type App, startApp } from '../main/start.ts';
import { type Simulator, startSimulator } from '../simulator/simulator.ts';
import { EmbeddedPostgresError } from '../store/embedded/account.ts';
import { createLog } from '../telemetry/log.ts';
import type { DemoOptions } from './options.ts';
import { freePort } from './port.ts';

/** Why the demo cannot run here; its message is meant for people. */
export class CannotStart extends Error {
  override name = 'CannotStart';
}

export interface House {
  app: App;
  simulator: Simulator;
  port: number;
  logPath: string;
  /** Calls in flight end, the ledger goes to disk, the database stops. Rejects when it could not be brought home. */
  close(): Promise<void>;
}

const HOST = '127.0.0.1';
/** A model that thinks for a moment and then writes: a table is livelier when calls take time. */
const PROFILE = { firstByteMs: 150, chunkMs: 20, plainText: true };
const DRAIN_TIMEOUT_MS = '10000';

/** @throws CannotStart when the folder cannot be written, no port is free or the database or the journal is not in order */
export async function openHouse(options: DemoOptions, version: string): Promise<House> {
  const { dataDir } = options;
  checkFolder(dataDir);
  const port = await findPort(options.port);
  const simulator = await startSimulator({ profile: PROFILE, maxInvoiceLines: 1_000 });
  const config = readConfig({
    PORT: String(port),
    HOST,
    OPENAI_API_KEY: 'sk-simulated',
    OPENAI_BASE_URL: simulator.url,
    TOLLGATE_DATA_DIR: dataDir,
    TOLLGATE_DRAIN_TIMEOUT_MS: DRAIN_TIMEOUT_MS,
  });
  if (Array.isArray(config)) throw new CannotStart(formatFaults(config));
  const logPath = join(dataDir, 'demo.log');
  const log = createLog({ level: 'info', logCalls: true, secrets: [], destination: logPath });
  try {
    const app = await startApp({ config, log, version });
    return {
      app,
      simulator,
      port,
      logPath,
      async close() {
        try {
          await app.stop();
        } finally {
          await simulator.close();
          await log.flush();
        }
      },
    };
  } catch (error) {
    await simulator.close();
    const isForPeople = error instanceof EmbeddedPostgresError || error instanceof JournalDamaged;
    throw isForPeople ? new CannotStart(error.message, { cause: error }) : error;
  }
}

function checkFolder(dataDir: string): void {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    accessSync(dataDir, constants.W_OK);
  } catch (error) {
    throw new CannotStart(
      `cannot write to the folder ${dataDir} (${(error as Error).message}); choose one with --data-dir`,
    );
  }
}

async function findPort(wanted: number): Promise<number> {
  let port: number | null;
  try {
    port = await freePort(wanted, HOST);
  } catch (error) {
    throw new CannotStart(
      `cannot listen on port ${wanted}: ${(error as Error).message}; choose one with --port`,
    );
  }
  if (port === null)
    throw new CannotStart(`port ${wanted} and the next ones are taken; choose one with --port`);
  return port;
}

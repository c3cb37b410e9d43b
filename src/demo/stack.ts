/**
 * The stack of the demo: a simulated OpenAI and a whole gateway before it, in this process. Its configuration is made
 * here and reads no environment: a demo must not touch a real key or a real database.
 */
import { accessSync, constants, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { formatProblems, readConfig } from '../config.ts';
import { CannotStart } from '../main/open.ts';
import { type App, startApp } from '../main/start.ts';
import { type Simulator, startSimulator } from '../simulator/simulator.ts';
import { createLog } from '../telemetry/log.ts';
import type { DemoOptions } from './options.ts';
import { freePort } from './port.ts';

export interface DemoStack {
  app: App;
  simulator: Simulator;
  port: number;
  logPath: string;
  /** Ends calls in flight, flushes the ledger, stops the database. Rejects when the flush failed. */
  close(): Promise<void>;
}

const HOST = '127.0.0.1';
/** A model that waits and then streams: with calls that take time the table changes visibly. */
const PROFILE = { firstByteMs: 150, chunkMs: 20, plainText: true };
const DRAIN_TIMEOUT_MS = '10000';

/** Starts the stack. @throws CannotStart when the folder, the port, the database or a journal cannot be used */
export async function startDemoStack(options: DemoOptions, version: string): Promise<DemoStack> {
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
  if (Array.isArray(config)) throw new CannotStart(formatProblems(config));
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
    throw error;
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

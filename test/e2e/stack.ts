/**
 * The whole product in one process: simulator, gateway and a database of its own, reached over HTTP like any user
 * would.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { type Config, readConfig } from '../../src/config.ts';
import { type App, startApp } from '../../src/main/start.ts';
import { type Simulator, type SimulatorOptions, startSimulator } from '../../src/simulator/simulator.ts';
import type { Connection, Database } from '../../src/store/database.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { createTestDatabase } from '../support/postgres.ts';

export const ADMIN_KEY = 'admin-key-of-the-tests';

export interface Stack {
  app: App;
  simulator: Simulator;
  database: Database;
  /** Of the database, for further replicas. */
  connection: Connection;
  /** Calls the admin API; throws unless the answer is 2xx. */
  admin<T = Record<string, unknown>>(method: string, path: string, body?: unknown): Promise<T>;
  /** A new team with one key. */
  team(options?: TeamOptions): Promise<{ teamId: string; key: string; keyId: string }>;
  /** POSTs to `/v1` with a key. */
  post(key: string, path: string, body: unknown, headers?: Record<string, string>): Promise<Response>;
  /** Everything that happened is in Postgres. */
  settled(): Promise<void>;
  /** No call is under way, also none whose client has left. */
  idle(): Promise<void>;
  stop(): Promise<void>;
}

export interface TeamOptions {
  /** Decimal USD; default: no grant. */
  grantUsd?: string;
  /** A lifetime limit of the team, in decimal USD; default: none. */
  limitUsd?: string;
  unlimited?: boolean;
}

export interface StackOptions {
  simulator?: SimulatorOptions;
  env?: Record<string, string>;
}

export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const simulator = await startSimulator(options.simulator);
  const { connection, database, drop } = await createTestDatabase();
  const dataDir = mkdtempSync(join(tmpdir(), 'tollgate-e2e-'));
  const config = readConfig({
    PORT: '0',
    OPENAI_API_KEY: 'sk-upstream',
    OPENAI_BASE_URL: simulator.url,
    TOLLGATE_DATA_DIR: dataDir,
    TOLLGATE_ADMIN_KEY: ADMIN_KEY,
    ...options.env,
  }) as Config;
  const log = createLog({ level: 'silent', logCalls: false, secrets: [] });
  const app = await startApp({ config, log, version: 'test', connection });

  async function admin<T>(method: string, path: string, body?: unknown): Promise<T> {
    const response = await fetch(`${app.url}/admin/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  }

  let teams = 0;
  return {
    app,
    simulator,
    database,
    connection,
    admin,
    async team({ grantUsd, limitUsd, unlimited } = {}) {
      const { id } = await admin<{ id: string }>('POST', '/teams', {
        name: `team-${++teams}`,
        plan: null,
        unlimited: unlimited ?? false,
      });
      if (grantUsd) await admin('POST', '/grants', { team_id: id, amount_usd: grantUsd });
      if (limitUsd) {
        await admin('POST', '/limits', {
          subject: { type: 'team', id },
          meter: 'cost_usd',
          amount: limitUsd,
          window: { type: 'lifetime' },
          enforcement: 'strict',
        });
      }
      const key = await admin<{ id: string; key: string }>('POST', '/keys', { team_id: id, name: 'test' });
      return { teamId: id, key: key.key, keyId: key.id };
    },
    post: (key, path, body, headers = {}) =>
      fetch(`${app.url}/v1${path}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...headers },
        body: typeof body === 'string' ? body : JSON.stringify(body),
      }),
    async settled() {
      await admin('GET', '/events?limit=1');
    },
    async idle() {
      // Twice: what a client sent before it left may still be on its way into the gateway.
      for (let quiet = 0; quiet < 2; ) {
        const page = await (await fetch(`${app.url}/metrics`)).text();
        quiet = /^tollgate_in_flight_calls 0$/m.test(page) ? quiet + 1 : 0;
        await setTimeout(20);
      }
    },
    async stop() {
      await app.stop();
      await simulator.close();
      await drop();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

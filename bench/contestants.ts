/**
 * The gateways under test: how each one is started in front of the bench's upstream, and how it wants to be called.
 * Each gets a folder of its own for its log and data.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Target } from './load.ts';
import { installedPeer } from './peers.ts';
import { freePort, start, startOwnServer, waitUntilReady } from './processes.ts';

export interface Contestant {
  name: ContestantName;
  version: string;
  target: Target;
  /** Of the process that does the work, whose CPU time counts. */
  pid: number;
}

export interface ContestantOptions {
  upstreamPort: number;
  /** Exists and is empty. */
  dir: string;
  /** Flags of Node, for a profile. */
  nodeFlags: string[];
}

/** Tollgate's default (`TOLLGATE_UPSTREAM_CONNECTIONS`), and the same for the bare pipe. */
const UPSTREAM_CONNECTIONS = 256;
const TOLLGATE_DIR = fileURLToPath(new URL('..', import.meta.url));

async function startBare({ upstreamPort, dir, nodeFlags }: ContestantOptions): Promise<Contestant> {
  const { child, port } = await startOwnServer({
    script: 'bare.ts',
    scriptArguments: [`http://127.0.0.1:${upstreamPort}`, String(UPSTREAM_CONNECTIONS)],
    nodeFlags,
    logFile: `${dir}/log`,
  });
  return { name: 'bare', version: process.version, target: { port, headers: {} }, pid: child.pid! };
}

async function startPortkey({ upstreamPort, dir, nodeFlags }: ContestantOptions): Promise<Contestant> {
  const peer = installedPeer('@portkey-ai/gateway');
  const port = await freePort();
  const logFile = `${dir}/log`;
  const nodeArguments = [...nodeFlags, `${peer.dir}/build/start-server.js`, `--port=${port}`, '--headless'];
  const child = start({ nodeArguments, logFile });
  await waitUntilReady(child, `http://127.0.0.1:${port}/`, logFile);
  const headers = {
    'x-portkey-provider': 'openai',
    'x-portkey-custom-host': `http://127.0.0.1:${upstreamPort}/v1`,
  };
  return { name: 'portkey', version: peer.version, target: { port, headers }, pid: child.pid! };
}

/** Everything on: embedded Postgres, journal, metrics; a team whose grant every call is held against. */
async function startTollgate({ upstreamPort, dir, nodeFlags }: ContestantOptions): Promise<Contestant> {
  const port = await freePort();
  const logFile = `${dir}/log`;
  const adminKey = randomBytes(24).toString('hex');
  const env = {
    PORT: String(port),
    HOST: '127.0.0.1',
    OPENAI_API_KEY: 'sk-bench',
    OPENAI_BASE_URL: `http://127.0.0.1:${upstreamPort}/v1`,
    TOLLGATE_DATA_DIR: `${dir}/data`,
    TOLLGATE_ADMIN_KEY: adminKey,
    TOLLGATE_UPSTREAM_CONNECTIONS: String(UPSTREAM_CONNECTIONS),
  };
  const child = start({
    nodeArguments: [...nodeFlags, `${TOLLGATE_DIR}bin/tollgate.mjs`, 'serve'],
    logFile,
    env,
  });
  const origin = `http://127.0.0.1:${port}`;
  await waitUntilReady(child, `${origin}/readyz`, logFile);

  const create = (noun: string, body: Record<string, unknown>) =>
    fetchJson(`${origin}/admin/v1/${noun}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${adminKey}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  const team = await create('teams', { name: 'bench', plan: null });
  await create('grants', { team_id: team.id, amount_usd: '100000.00' });
  const { key } = await create('keys', { team_id: team.id, name: 'bench' });
  // The command may have re-executed another Node: only the server itself knows its pid.
  const { pid } = await fetchJson(`${origin}/healthz`);
  if (typeof pid !== 'number') throw new Error('GET /healthz names no pid');
  const { version } = JSON.parse(readFileSync(`${TOLLGATE_DIR}package.json`, 'utf8'));
  return { name: 'tollgate', version, target: { port, headers: { authorization: `Bearer ${key}` } }, pid };
}

async function fetchJson(url: string, init: RequestInit = {}): Promise<Record<string, unknown>> {
  const answer = await fetch(url, init);
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${init.method ?? 'GET'} ${url}: ${answer.status} ${text}`);
  return JSON.parse(text);
}

const STARTERS = { bare: startBare, tollgate: startTollgate, portkey: startPortkey };

export type ContestantName = keyof typeof STARTERS;

export const CONTESTANTS = Object.keys(STARTERS) as ContestantName[];

/** Starts a gateway and returns when it can be called. Throws when it does not start. */
export function startContestant(name: ContestantName, options: ContestantOptions): Promise<Contestant> {
  mkdirSync(options.dir, { recursive: true });
  return STARTERS[name](options);
}

/**
 * The gateways under test: how each one is started in front of the bench's upstream, and how it wants to be called.
 * Each gets a folder of its own for its log and data.
 */
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Target } from './connection.ts';
import { installedLitellm, installedPeer } from './peers.ts';
import { type Build, previousBuild } from './previous.ts';
import { freePort, start, startOwnServer, waitUntilReady } from './processes.ts';
import { startTollgate } from './tollgate.ts';
import { gatewayPids, readCpu, readRssBytes, totalUs } from './tree.ts';

/** How a start went, when the gateway was first able to serve. */
export interface Startup {
  readyMs: number;
  cpuMs: number;
  rssMb: number;
}

export interface Contestant {
  name: ContestantName;
  version: string;
  target: Target;
  child: ChildProcess;
  /** Its process and all that descend from it are measured. */
  rootPid: number;
  startup: Startup;
  /** Of a gateway that writes usage events; null: it writes none. */
  dataDir: string | null;
}

export interface ContestantOptions {
  upstreamPort: number;
  /** Empty, or that of an earlier start, whose data it then has. */
  dir: string;
  /** Flags of Node, for a profile. */
  nodeFlags: string[];
  /** The commit of the earlier build. */
  previous: string;
}

interface Started {
  child: ChildProcess;
  version: string;
  port: number;
  headers?: Record<string, string>;
  dataDir?: string;
}

type Starter = (options: ContestantOptions, onReady: (child: ChildProcess) => void) => Promise<Started>;

/** More than the most streams that are open at once. */
const UPSTREAM_CONNECTIONS = 4_096;
const ROOT = fileURLToPath(new URL('..', import.meta.url));
const WORKERS = 2;
const MB = 1_000_000;

const startBare: Starter = async ({ upstreamPort, dir, nodeFlags }, onReady) => {
  const { child, port } = await startOwnServer({
    script: 'bare.ts',
    scriptArguments: [`http://127.0.0.1:${upstreamPort}`, String(UPSTREAM_CONNECTIONS)],
    nodeFlags,
    logFile: `${dir}/log`,
  });
  onReady(child);
  return { child, port, version: process.version };
};

function ownVersion(): string {
  return JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')).version;
}

/** Everything on: embedded Postgres, journal, metrics; a team whose grant every call is held against. */
function tollgate(build: (options: ContestantOptions) => Build, env: Record<string, string> = {}): Starter {
  return async (options, onReady) => {
    const { dir, version } = build(options);
    const { upstreamPort, nodeFlags } = options;
    const common = { upstreamPort, upstreamConnections: UPSTREAM_CONNECTIONS, nodeFlags };
    const started = await startTollgate({ ...common, build: dir, dir: options.dir, env }, onReady);
    return { ...started, version, headers: { authorization: `Bearer ${started.key}` } };
  };
}

const startPortkey: Starter = async ({ upstreamPort, dir, nodeFlags }, onReady) => {
  const peer = installedPeer('@portkey-ai/gateway');
  const port = await freePort();
  const logFile = `${dir}/log`;
  const nodeArguments = [...nodeFlags, `${peer.dir}/build/start-server.js`, `--port=${port}`, '--headless'];
  const child = start({ nodeArguments, logFile });
  await waitUntilReady(child, `http://127.0.0.1:${port}/`, logFile);
  onReady(child);
  const headers = {
    'x-portkey-provider': 'openai',
    'x-portkey-custom-host': `http://127.0.0.1:${upstreamPort}/v1`,
  };
  return { child, port, version: peer.version, headers };
};

/** With its key check, and without a database: budgets and logs would need one, and its client cannot be had from PyPI. */
const startLitellm: Starter = async ({ upstreamPort, dir }, onReady) => {
  const { program, version } = installedLitellm();
  const port = await freePort();
  const logFile = `${dir}/log`;
  const configFile = `${dir}/config.yaml`;
  const masterKey = 'sk-bench-0123456789abcdef0123456789abcdef';
  const model = 'gpt-4o-mini';
  const parameters = {
    model: `openai/${model}`,
    api_base: `http://127.0.0.1:${upstreamPort}/v1`,
    api_key: 'sk-bench',
  };
  // JSON is YAML.
  writeFileSync(
    configFile,
    JSON.stringify({ model_list: [{ model_name: model, litellm_params: parameters }] }),
  );
  const child = start({
    command: program,
    nodeArguments: ['--config', configFile, '--host', '127.0.0.1', '--port', String(port)],
    logFile,
    // Its list of prices would be fetched from the internet.
    env: { LITELLM_LOCAL_MODEL_COST_MAP: 'True', LITELLM_MASTER_KEY: masterKey },
  });
  await waitUntilReady(child, `http://127.0.0.1:${port}/health/readiness`, logFile);
  onReady(child);
  return { child, port, version, headers: { authorization: `Bearer ${masterKey}` } };
};

interface Entry {
  start: Starter;
  /** Of others: installed on first use, and measured only when asked for. */
  peer: boolean;
  /** Measured unless others are named. */
  usual: boolean;
  /** Whether it serves WebSockets. */
  sessions: boolean;
  /** Calls before anything counts, as a multiple of the usual number: each process has a compiler of its own. */
  warmup: number;
}

const OWN = { peer: false, usual: true, sessions: true, warmup: 1 };
/** More than the most sessions that are open at once. */
const SESSIONS = { TOLLGATE_SESSIONS_PER_KEY: '4096' };
/** No compiler gets faster, and each call takes ten milliseconds. */
const WARMUP_OF_PYTHON = 0.0075;
const thisBuild = () => ({ dir: ROOT, version: ownVersion() });

const ENTRIES = {
  bare: { ...OWN, start: startBare },
  tollgate: { ...OWN, start: tollgate(thisBuild, SESSIONS) },
  previous: { ...OWN, sessions: false, start: tollgate(({ previous }) => previousBuild(previous)) },
  workers: {
    ...OWN,
    usual: false,
    warmup: WORKERS,
    start: tollgate(thisBuild, { TOLLGATE_WORKERS: String(WORKERS), ...SESSIONS }),
  },
  portkey: { start: startPortkey, peer: true, usual: false, sessions: false, warmup: 1 },
  litellm: { start: startLitellm, peer: true, usual: false, sessions: false, warmup: WARMUP_OF_PYTHON },
} as const satisfies Record<string, Entry>;

export type ContestantName = keyof typeof ENTRIES;

export const CONTESTANTS = Object.keys(ENTRIES) as ContestantName[];
export const USUAL_CONTESTANTS = CONTESTANTS.filter((name) => ENTRIES[name].usual);
export const PEERS = CONTESTANTS.filter((name) => ENTRIES[name].peer);

/** Whether a gateway is one of others, which is compared by its CPU per call alone. */
export function isPeer(name: ContestantName): boolean {
  return ENTRIES[name].peer;
}

/** Whether a gateway serves WebSockets; the earlier build did not yet. */
export function hasSessions(name: ContestantName): boolean {
  return ENTRIES[name].sessions;
}

/** Returns how many calls warm this gateway up where others get `calls`. */
export function warmupCalls(name: ContestantName, calls: number): number {
  return Math.ceil(calls * ENTRIES[name].warmup);
}

/** Starts a gateway and returns when it can be called. Throws when it does not start. */
export async function startContestant(name: ContestantName, options: ContestantOptions): Promise<Contestant> {
  mkdirSync(options.dir, { recursive: true });
  const startedMs = performance.now();
  let startup: Startup = { readyMs: Number.NaN, cpuMs: Number.NaN, rssMb: Number.NaN };
  const onReady = ({ pid }: ChildProcess) => {
    const readyMs = performance.now() - startedMs;
    const cpuMs = totalUs(readCpu(pid!).gateway) / 1_000;
    startup = { readyMs, cpuMs, rssMb: rssMb(pid!) };
  };
  const { child, version, port, headers = {}, dataDir } = await ENTRIES[name].start(options, onReady);
  const common = { child, rootPid: child.pid!, dataDir: dataDir ?? null };
  return { name, version, target: { port, headers }, startup, ...common };
}

/** Returns the resident memory of all processes of a gateway, without those of its database, in millions of bytes. */
export function rssMb(rootPid: number): number {
  return readRssBytes(gatewayPids(rootPid)) / MB;
}

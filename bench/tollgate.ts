/** Starting one build of Tollgate with everything on, and giving it a team whose grant every call is held against. */
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { freePort, start, waitUntilReady } from './processes.ts';

export interface TollgateOptions {
  /** Folder of the build, with a slash at its end. */
  build: string;
  upstreamPort: number;
  /** Connections to the upstream at most. */
  upstreamConnections: number;
  /** Gets the log, the data, and the keys. With those of an earlier start it goes on where that one ended. */
  dir: string;
  nodeFlags: string[];
  env: Record<string, string>;
}

export interface StartedTollgate {
  child: ChildProcess;
  port: number;
  /** A virtual key. */
  key: string;
  dataDir: string;
}

interface Keys {
  adminKey: string;
  key: string | null;
}

/** Starts it; `onReady` is called when it can admit calls, before anything else is asked of it. */
export async function startTollgate(
  options: TollgateOptions,
  onReady: (child: ChildProcess) => void,
): Promise<StartedTollgate> {
  const { build, upstreamPort, upstreamConnections, dir, nodeFlags } = options;
  const port = await freePort();
  const logFile = `${dir}/log`;
  const dataDir = `${dir}/data`;
  const keysFile = `${dir}/keys.json`;
  const keys: Keys = existsSync(keysFile)
    ? JSON.parse(readFileSync(keysFile, 'utf8'))
    : { adminKey: randomBytes(24).toString('hex'), key: null };
  const env = {
    PORT: String(port),
    HOST: '127.0.0.1',
    OPENAI_API_KEY: 'sk-bench',
    OPENAI_BASE_URL: `http://127.0.0.1:${upstreamPort}/v1`,
    TOLLGATE_DATA_DIR: dataDir,
    TOLLGATE_ADMIN_KEY: keys.adminKey,
    TOLLGATE_UPSTREAM_CONNECTIONS: String(upstreamConnections),
    ...options.env,
  };
  const child = start({ nodeArguments: [...nodeFlags, `${build}bin/tollgate.mjs`, 'serve'], logFile, env });
  const origin = `http://127.0.0.1:${port}`;
  await waitUntilReady(child, `${origin}/readyz`, logFile);
  onReady(child);
  const key = keys.key ?? (await makeKey(origin, keys.adminKey));
  writeFileSync(keysFile, JSON.stringify({ ...keys, key } satisfies Keys), { mode: 0o600 });
  return { child, port, key, dataDir };
}

async function makeKey(origin: string, adminKey: string): Promise<string> {
  const create = async (noun: string, body: Record<string, unknown>): Promise<Record<string, string>> => {
    const url = `${origin}/admin/v1/${noun}`;
    const response = await fetch(url, {
      method: 'POST',
      headers: { authorization: `Bearer ${adminKey}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`POST ${url}: ${response.status} ${text}`);
    return JSON.parse(text);
  };
  const team = await create('teams', { name: 'bench', plan: null });
  await create('grants', { team_id: team.id, amount_usd: '100000.00' });
  const { key } = await create('keys', { team_id: team.id, name: 'bench' });
  if (key === undefined) throw new Error('POST /admin/v1/keys returned no key');
  return key;
}

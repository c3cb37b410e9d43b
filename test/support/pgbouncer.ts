/** A real PgBouncer in front of the tests' PostgreSQL. */
import { spawn } from 'node:child_process';
import { chownSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { closeClient, openClient } from '../../src/store/database.ts';
import { temporaryFolder } from './folder.ts';
import { type PostgresProxy, startProxy } from './proxy.ts';

/** The account of the tests' server when they run as root; PgBouncer refuses to be root. */
const NOBODY = 65_534;
const START_MS = 60_000;

export interface PgBouncer {
  /** Between it and the server. */
  proxy: PostgresProxy;
  url(database: string): string;
  /** For an `afterAll` of the tests themselves. */
  stop(): void;
}

/** @param poolSize servers that all clients of one database share */
export async function startPgBouncer(
  program: string,
  mode: 'session' | 'transaction',
  poolSize: number,
): Promise<PgBouncer> {
  const folder = await temporaryFolder();
  const config = join(folder, 'pgbouncer.ini');
  // Its account may not enter the folder of the server.
  const proxy = await startProxy();
  const users = join(folder, 'users.txt');
  writeFileSync(users, '"postgres" ""\n');
  writeFileSync(
    config,
    `[databases]
* = host=${proxy.folder} port=5432 user=postgres
[pgbouncer]
listen_addr =
unix_socket_dir = ${folder}
listen_port = 6432
auth_type = trust
auth_file = ${users}
pool_mode = ${mode}
default_pool_size = ${poolSize}
max_client_conn = 200
`,
  );
  const isRoot = process.getuid?.() === 0;
  if (isRoot) for (const each of [folder, proxy.folder, proxy.path]) chownSync(each, NOBODY, NOBODY);
  const child = spawn(program, [config], {
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(isRoot ? { uid: NOBODY, gid: NOBODY } : {}),
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += text));
  const stop = () => void child.kill('SIGKILL');
  const url = (database: string) =>
    `postgres:///${database}?host=${encodeURIComponent(folder)}&port=6432&user=postgres`;
  const endMs = performance.now() + START_MS;
  for (;;) {
    const sql = openClient(url('postgres'), 1);
    try {
      await sql`select 1`;
      return { url, proxy, stop };
    } catch (error) {
      if (child.exitCode !== null || performance.now() > endMs) throw new Error(`${error}\n${output}`);
      await delay(50);
    } finally {
      await closeClient(sql);
    }
  }
}

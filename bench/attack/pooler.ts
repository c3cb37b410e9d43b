/** PgBouncer before a server, in one of its two usual modes. */
import { spawn, spawnSync } from 'node:child_process';
import { chownSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { closeClient, openClient } from '../../src/store/database.ts';
import { freePort, keep } from '../processes.ts';

const NOBODY = 65_534;

function program(): string | null {
  for (const path of ['pgbouncer', '/usr/sbin/pgbouncer']) {
    if (spawnSync(path, ['--version'], { stdio: 'ignore' }).status === 0) return path;
  }
  return null;
}

export const Pooler = {
  isInstalled: () => program() !== null,

  /** Starts it; returns its port once it serves. It is gone when the bench is. */
  async start(folder: string, mode: 'session' | 'transaction', target: number): Promise<number> {
    const port = await freePort();
    const home = join(folder, 'pgbouncer');
    mkdirSync(home);
    writeFileSync(join(home, 'users.txt'), '"owner" ""\n');
    writeFileSync(
      join(home, 'pgbouncer.ini'),
      `[databases]\nbooks = host=127.0.0.1 port=${target} dbname=books user=owner\n` +
        `[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port=${port}\nunix_socket_dir=\nauth_type=trust\n` +
        `auth_file=${home}/users.txt\npool_mode=${mode}\nmax_client_conn=200\ndefault_pool_size=60\n` +
        `server_login_retry=1\n`,
    );
    const isRoot = process.getuid?.() === 0;
    if (isRoot)
      for (const file of ['.', 'users.txt', 'pgbouncer.ini']) chownSync(join(home, file), NOBODY, NOBODY);
    const how = { cwd: home, stdio: 'ignore' as const, ...(isRoot ? { uid: NOBODY, gid: NOBODY } : {}) };
    keep(spawn(program()!, ['pgbouncer.ini'], how));
    for (let waited = 0; waited < 10_000; waited += 100) {
      const sql = openClient(`postgres://owner@127.0.0.1:${port}/books`, 1);
      const isUp = await sql.unsafe('select 1', []).then(
        () => true,
        () => false,
      );
      await closeClient(sql);
      if (isUp) return port;
      await delay(100);
    }
    throw new Error('PgBouncer does not start');
  },
};

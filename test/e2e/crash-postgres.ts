/** A PostgreSQL as production has it: reached over TCP with a password, run by nobody of ours. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from '../../src/demo/port.ts';
import { closeClient, openClient } from '../../src/store/database.ts';
import { type Account, accountFor, ownFolder, spawnOptions } from '../../src/store/embedded/account.ts';
import { findPrograms } from '../../src/store/embedded/programs.ts';
import { until } from './crash-gateway.ts';

const HOST = '127.0.0.1';
const PASSWORD = 'open sesame / 100%';

export interface PostgresServer {
  /** With the password, as `DATABASE_URL`. */
  url: string;
  port: number;
  stop(): Promise<void>;
}

/** Makes a cluster in a folder and starts it; its database `books` is empty. */
export async function startPostgres(folder: string): Promise<PostgresServer> {
  const directory = join(folder, 'server');
  await mkdir(directory, { mode: 0o700 });
  const account = await accountFor(join(folder, 'absent'));
  const programs = await findPrograms({}, account);
  await give(directory, account);
  const passwordFile = join(directory, 'password');
  await writeFile(passwordFile, PASSWORD);
  await give(passwordFile, account);

  const cluster = join(directory, 'cluster');
  await mkdir(cluster, { mode: 0o700 });
  await give(cluster, account);
  const options = spawnOptions(account, cluster);
  const here = ownFolder(account, cluster);
  const login = ['--username=owner', '--auth=scram-sha-256', `--pwfile=${here}/../password`];
  await promisify(execFile)(join(programs.directory, 'initdb'), ['-D', here, '--no-sync', ...login], options);
  const port = (await freePort(20_000 + (process.pid % 20_000), HOST))!;
  const settings = { listen_addresses: HOST, port: String(port), unix_socket_directories: '' };
  const child = spawn(
    join(programs.directory, 'postgres'),
    ['-D', here, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
    { ...options, stdio: 'ignore' },
  );
  const url = (database: string) =>
    `postgres://owner:${encodeURIComponent(PASSWORD)}@${HOST}:${port}/${database}`;
  await until('a PostgreSQL that answers', () => answers(url('postgres')));
  return { url: url('books'), port, stop: () => stop(child) };
}

async function give(path: string, account: Account | null): Promise<void> {
  if (account) await chown(path, account.uid, account.gid);
}

/** Makes the database by asking for it; false while the server does not accept sessions. */
async function answers(url: string): Promise<boolean> {
  const sql = openClient(url, 1);
  try {
    await sql`create database books`;
    return true;
  } catch {
    return false;
  } finally {
    await closeClient(sql);
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  child.kill('SIGINT');
  await once(child, 'exit');
}

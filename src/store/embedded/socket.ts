/** The server's socket: its address for the driver, and whether a server responds there. */
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { defined } from '../../domain/defined.ts';
import type { SocketConnection } from '../connection/address.ts';
import { closeClient, openClient, type Sql } from '../connection/sql.ts';
import { EmbeddedPostgresError } from './account.ts';

/** Bytes of a socket's path, without the final zero: 108 − 1 on Linux, 104 − 1 on macOS. */
const SOCKET_PATH_BYTES_MAX = 103;
const SOCKET_NAME = '.s.PGSQL.5432';

export interface SocketFolder {
  directory: string;
  path: string;
  remove(): Promise<void>;
}

/** Where the cluster's socket can be reached: in its folder or, when that path is too long, through a private link. */
export async function socketFolder(folder: string): Promise<SocketFolder> {
  const cluster = resolve(folder);
  const path = join(cluster, SOCKET_NAME);
  if (Buffer.byteLength(path) <= SOCKET_PATH_BYTES_MAX)
    return { directory: cluster, path, remove: async () => {} };
  const temporary = await mkdtemp(join(tmpdir(), 'tollgate-'));
  const link = join(temporary, 'postgres');
  await symlink(cluster, link);
  const remove = () => rm(temporary, { recursive: true, force: true });
  return { directory: link, path: join(link, SOCKET_NAME), remove };
}

/** `accepting` sessions, `busy` with starting or stopping, or `absent`. */
export type Answer = 'accepting' | 'busy' | 'absent';

const ANSWER_BY_CODE: Record<string, Answer> = {
  ENOENT: 'absent',
  ECONNREFUSED: 'absent',
  // cannot_connect_now: starting up, shutting down, in recovery
  '57P03': 'busy',
  // Cut in the middle by a stop.
  '57P01': 'busy',
  ECONNRESET: 'busy',
  EPIPE: 'busy',
  CONNECTION_LOST: 'busy',
  // too_many_connections: alive, and used by others
  '53300': 'busy',
};

/**
 * Asks the server whether it accepts sessions.
 * @throws EmbeddedPostgresError when it refuses us for good
 */
export async function ask(path: string): Promise<Answer> {
  try {
    await withSession({ path, user: 'postgres', database: 'postgres' }, (sql) => sql`select 1`);
    return 'accepting';
  } catch (error) {
    const { code = '', message } = error as { code?: string; message: string };
    const answer = ANSWER_BY_CODE[code];
    if (answer !== undefined) return answer;
    throw new EmbeddedPostgresError(`cannot use the database at ${path}: ${message}`);
  }
}

/** Makes the database if it is missing; others may do the same at once. */
export async function ensureDatabase(path: string, database: string): Promise<void> {
  await withSession({ path, user: 'postgres', database: 'postgres' }, async (sql) => {
    const found = await sql`select 1 from pg_database where datname = ${database}`;
    if (found.length > 0) return;
    await sql`create database ${sql(database)}`.catch((error) => {
      const { code } = error as { code?: string };
      if (code !== '42P04' && code !== '23505') throw error;
    });
  });
}

/** Sessions of clients on the server, our own question not counted. */
export function countSessions(path: string): Promise<number> {
  return withSession({ path, user: 'postgres', database: 'postgres' }, async (sql) => {
    const [row] = await sql<{ count: number }[]>`
      select count(*)::int4 as count from pg_stat_activity
      where backend_type = 'client backend' and pid <> pg_backend_pid()`;
    return defined(row, 'the row of the statement').count;
  });
}

async function withSession<T>(connection: SocketConnection, use: (sql: Sql) => PromiseLike<T>) {
  const sql = openClient(connection, 1);
  try {
    return await use(sql);
  } finally {
    await closeClient(sql);
  }
}

/**
 * The connection to Postgres. Owns: the pools, and in which form values cross them. Does not own: any query.
 * Invariant: nothing here needs a session to last (transaction pooling works); a pooler that cannot keep prepared
 * statements needs `?prepare=false` in the URL.
 */
import type { SQL } from 'drizzle-orm';
import { PgDialect } from 'drizzle-orm/pg-core';
import { drizzle, type PostgresJsDatabase } from 'drizzle-orm/postgres-js';
import postgres, { type ParameterOrJSON, type Sql, type TransactionSql } from 'postgres';
import type { SocketConnection } from './embedded/socket.ts';
import * as schema from './schema.ts';

/** `DATABASE_URL`, or the options that the embedded database returns. */
export type Connection = string | SocketConnection;

export interface DatabaseOptions {
  /** Connections of the hot path's pool. */
  hotConnectionsMax?: number;
  /** Connections of drizzle's pool; jobs that run alone hold one while they use another. */
  adminConnectionsMax?: number;
  /** Connections of the pool for long reads. */
  readConnectionsMax?: number;
  /** Server settings of every session, for tests (`{'tollgate.now': …}`); poolers refuse most of them. */
  settings?: Record<string, string>;
}

type Drizzle = PostgresJsDatabase<typeof schema>;

export interface Database {
  /**
   * The raw client, for the hot path. Nothing is rounded: `numeric` and `int8` come as text (money goes through
   * `usd()`; cast counts to `float8` or `int4`), `timestamptz` as a `Date`. Arrays are typed by their first element:
   * pass booleans, dates and bigints as text and cast.
   */
  sql: Sql;
  /** Drizzle, for everything else. On a pool of its own, because it replaces its client's parsers. */
  db: Drizzle;
  /** A raw client like `sql`, for the long reads of pages: calls that wait for the hot path's pool never wait for these. */
  readSql: Sql;
  /** Every change needs an actor (changes.ts): true for the requests of the admin API. Missing: Tollgate itself makes them. */
  actorRequired?: boolean;
  /** To open further sessions of the same database. */
  connection: Connection;
  /** Lets running queries end, at most for `CLOSE_SECONDS_MAX`. */
  close(): Promise<void>;
}

/** A transaction of Drizzle. */
export type Transaction = Parameters<Parameters<Drizzle['transaction']>[0]>[0];
/** Where a query of Drizzle runs: in a transaction or by itself. */
export type Queries = Drizzle | Transaction;

/**
 * Runs a statement in a transaction of either client: what both need is written once. The clients read moments
 * and numbers differently, so such a statement selects `text`, `int4` and `float8` alone.
 */
export type Run = <Row extends Record<string, unknown>>(statement: SQL) => Promise<Row[]>;

/** Runs statements where Drizzle's queries run. */
export function runOn(queries: Queries): Run {
  return async <Row extends Record<string, unknown>>(statement: SQL) => {
    const rows: Record<string, unknown>[] = await queries.execute(statement);
    return rows as Row[];
  };
}

const dialect = new PgDialect();

/** Runs statements in a transaction of the raw client. */
export function runOnRaw(tx: TransactionSql): Run {
  return async <Row extends Record<string, unknown>>(statement: SQL) => {
    const { sql: text, params } = dialect.sqlToQuery(statement);
    const rows: Row[] = await tx.unsafe<Row[]>(text, params as ParameterOrJSON<never>[], { prepare: true });
    return rows;
  };
}

/** The SQLSTATE of a failed query, which Drizzle wraps; undefined for any other error. */
export function sqlState(error: unknown): string | undefined {
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  return cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? cause.code : undefined;
}

const ATTEMPTS_MAX = 5;
/** serialization_failure and deadlock_detected: Postgres undid everything and asks to try again. */
const RETRYABLE = new Set(['40001', '40P01']);

/** Runs a transaction again while Postgres picks it as the victim of a deadlock, five times at most. */
export async function retried<Result>(transaction: () => Promise<Result>): Promise<Result> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await transaction();
    } catch (error) {
      if (attempt === ATTEMPTS_MAX || !RETRYABLE.has(sqlState(error) ?? '')) throw error;
    }
  }
}

/** As many pages at once as may load the database. */
const READ_CONNECTIONS_MAX = 2;
const ADMIN_CONNECTIONS_MIN = 3;
/** Connections of an instance, by default. */
export const CONNECTIONS_USUAL = 14;

const CONNECT_SECONDS_MAX = 10;
const CLOSE_SECONDS_MAX = 5;
const RECONNECT_SECONDS_MAX = 0.5;

/** Divides connections, at least six, among the pools: most to the path of calls, which nothing else may keep waiting. */
export function poolSizes(connections: number): Required<Omit<DatabaseOptions, 'settings'>> {
  const readConnectionsMax = connections < CONNECTIONS_USUAL ? 1 : READ_CONNECTIONS_MAX;
  const adminConnectionsMax = Math.max(ADMIN_CONNECTIONS_MIN, Math.floor((connections * 2) / 7));
  const hotConnectionsMax = connections - adminConnectionsMax - readConnectionsMax;
  return { hotConnectionsMax, adminConnectionsMax, readConnectionsMax };
}

/** Opens the pools; connections are made when queries need them, so this neither waits nor fails. */
export function openDatabase(connection: Connection, options: DatabaseOptions = {}): Database {
  const usual = poolSizes(CONNECTIONS_USUAL);
  const { hotConnectionsMax = usual.hotConnectionsMax, adminConnectionsMax = usual.adminConnectionsMax } =
    options;
  const { readConnectionsMax = Math.min(READ_CONNECTIONS_MAX, adminConnectionsMax), settings = {} } = options;
  const sql = openClient(connection, hotConnectionsMax, settings);
  const drizzleClient = openClient(connection, adminConnectionsMax, settings);
  const readSql = openClient(connection, readConnectionsMax, settings);
  return {
    sql,
    db: drizzle(drizzleClient, { schema }),
    readSql,
    connection,
    async close() {
      await Promise.all([sql, drizzleClient, readSql].map(closeClient));
    },
  };
}

/** One pool. Close it with {@link closeClient}. */
export function openClient(connection: Connection, max: number, settings: Record<string, string> = {}): Sql {
  const options = {
    max,
    connect_timeout: CONNECT_SECONDS_MAX,
    connection: { application_name: 'tollgate', ...settings },
    // The driver's own waits grow to 20 s within the first second of an outage, and every query would wait with them.
    backoff: (failures: number) => Math.min(RECONNECT_SECONDS_MAX, 0.01 * 2 ** failures),
    // Notices ("relation exists, skipping") are no news, and the driver would print them.
    onnotice: () => {},
  };
  if (typeof connection !== 'string') return postgres({ ...connection, ...options });
  const url = new URL(connection);
  const host = url.searchParams.get('host');
  if (host === null) return postgres(connection, options);
  // libpq's form of a unix socket's folder, which the driver would pass on as a setting of the server.
  const username = url.searchParams.get('user') ?? decodeURIComponent(url.username);
  for (const name of ['host', 'user']) url.searchParams.delete(name);
  return postgres(url.href, { ...options, host, username });
}

export function closeClient(sql: Sql): Promise<void> {
  return sql.end({ timeout: CLOSE_SECONDS_MAX });
}

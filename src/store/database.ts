/**
 * The connection to Postgres. Owns: the pools, and in which form values cross them. Does not own: any query.
 * Invariant: nothing here needs a session to last: transaction pooling works.
 */
import type { SQL } from 'drizzle-orm';
import { drizzle, type NodePgDatabase } from 'drizzle-orm/node-postgres';
import { PgDialect } from 'drizzle-orm/pg-core';
import type { QueryConfig, QueryResult } from 'pg';
import type { SocketConnection } from './connection/address.ts';
import { addressOf } from './connection/address.ts';
import type { Query } from './connection/connect.ts';
import type { ConnectionPool } from './connection/pool.ts';
import {
  beginText,
  CLOSE_MS_MAX,
  createSql,
  openPool,
  SLOW_DEADLINE_MS,
  type Sql,
  type TransactionSql,
} from './connection/sql.ts';
import * as schema from './schema.ts';

export { closeClient, type Fragment, openClient, type Sql, type TransactionSql } from './connection/sql.ts';

/** `DATABASE_URL`, or where the embedded database is. */
export type Connection = string | SocketConnection;

export interface DatabaseOptions {
  /** A read replica, for the long reads of pages; default: the same server. */
  readConnection?: Connection;
  /** Connections of the hot path's pool. */
  hotConnectionsMax?: number;
  /** Connections of drizzle's pool; jobs that run alone hold one while they use another. */
  adminConnectionsMax?: number;
  /** Connections of the pool for long reads. */
  readConnectionsMax?: number;
  /** How long a statement of the hot path's pool may take, the wait for a connection included. */
  hotDeadlineMs?: number;
  /** Server settings of every session, for tests (`{'tollgate.now': …}`); poolers refuse most of them. */
  settings?: Record<string, string>;
}

type Drizzle = NodePgDatabase<typeof schema>;

export interface Database {
  /**
   * The raw client, for the hot path. Nothing is rounded: `numeric` and `int8` come as text (money goes through
   * `usd()`; cast counts to `float8` or `int4`), `timestamptz` as a `Date`.
   */
  sql: Sql;
  /** Drizzle, for everything else. On a pool of its own, so that no page or job keeps a call waiting. */
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
    const { rows } = await queries.execute(statement);
    return rows as Row[];
  };
}

const dialect = new PgDialect();

/** Runs statements in a transaction of the raw client. */
export function runOnRaw(tx: TransactionSql): Run {
  return async <Row extends Record<string, unknown>>(statement: SQL) => {
    const { sql: text, params } = dialect.sqlToQuery(statement);
    return await tx.unsafe<Row[]>(text, params, { prepare: true });
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

/** Runs a transaction again, five times at most, while Postgres picks it as the victim of a deadlock. */
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

/**
 * How long a statement of the path of calls may take, the wait for a connection included: calls shall be back within five
 * seconds when a connection falls silent, and the next try is only made when this one is given up.
 */
const HOT_DEADLINE_MS = 3000;

/** Divides connections, at least six, among the pools: most to the path of calls, which nothing else may keep waiting. */
export function poolSizes(connections: number) {
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
  const address = addressOf(connection);
  const readAddress = options.readConnection === undefined ? address : addressOf(options.readConnection);
  const open = (max: number, deadlineMs: number, where = address) =>
    openPool(where, max, deadlineMs, settings);
  const hot = open(hotConnectionsMax, options.hotDeadlineMs ?? HOT_DEADLINE_MS);
  const admin = open(adminConnectionsMax, SLOW_DEADLINE_MS);
  const read = open(readConnectionsMax, SLOW_DEADLINE_MS, readAddress);
  const pools = [hot, admin, read];
  for (const pool of pools) pool.siblings = pools;
  return {
    sql: createSql(hot),
    db: drizzle(new DrizzlePool(admin) as never, { schema }),
    readSql: createSql(read),
    connection,
    async close() {
      await Promise.all(pools.map((pool) => pool.close(CLOSE_MS_MAX)));
    },
  };
}

/** A statement of Postgres takes 65,535 parameters at most. */
const ROWS_IN_STATEMENT = 1_000;

/** Returns rows in parts, each of which one statement can insert. */
export function inStatements<Row>(rows: readonly Row[]): Row[][] {
  return Array.from({ length: Math.ceil(rows.length / ROWS_IN_STATEMENT) }, (_, part) =>
    rows.slice(part * ROWS_IN_STATEMENT, (part + 1) * ROWS_IN_STATEMENT),
  );
}

/** What Drizzle needs of a pool of `pg`, whose name it looks for. */
class DrizzlePool {
  readonly #pool: ConnectionPool;

  constructor(pool: ConnectionPool) {
    this.#pool = pool;
  }

  query(config: QueryConfig, values: unknown[]): Promise<QueryResult> {
    return this.#pool.query(queryOf(config, values));
  }

  async connect() {
    const pool = this.#pool;
    const connection = await pool.acquire();
    return {
      query: (config: QueryConfig, values: unknown[]) =>
        pool.queryOn(connection, begun(queryOf(config, values))),
      release: () => pool.release(connection),
    };
  }
}

/** Drizzle's `begin`, with what every transaction sets. */
function begun(query: Query): Query {
  const [, mode] = /^begin(.*)$/.exec(query.text) ?? [];
  return mode === undefined ? query : { ...query, text: beginText(SLOW_DEADLINE_MS, mode) };
}

/** Never prepared: a page's statement is seldom the same twice. */
function queryOf({ text, rowMode, types }: QueryConfig & { rowMode?: 'array' }, values: unknown[]): Query {
  return {
    text,
    values: values.length === 0 ? null : values,
    ...(rowMode === undefined ? {} : { rowMode }),
    ...(types === undefined ? {} : { types }),
  };
}

/**
 * SQL as tagged templates: values become parameters, fragments and names become text. A statement is sent when it is first
 * awaited, so those of a transaction that are awaited together cross the wire together.
 */
import { createHash } from 'node:crypto';
import type { QueryResultRow } from 'pg';
import { addressOf, type ServerAddress, type SocketConnection } from './address.ts';
import type { Query } from './connect.ts';
import { ConnectionPool, isStatementLost } from './pool.ts';

export type Row = QueryResultRow;

/** What a transaction is run with. */
export interface BeginOptions {
  /** As in SQL: `isolation level repeatable read`. */
  mode?: string;
  /** How long each of its statements may take. */
  deadlineMs?: number;
}

interface Statements {
  <Rows extends readonly unknown[] = Row[]>(
    text: TemplateStringsArray,
    ...values: unknown[]
  ): Statement<Rows>;
  /** The name of a column or table. */
  (name: string): Name;
  /** The part of an `insert` behind the name of the table: the columns of the first row, and the values of all. */
  (rows: readonly object[]): Fragment;
  /** Text as it is; without parameters it may hold several statements, and the rows are those of the last. */
  unsafe<Rows extends readonly unknown[] = Row[]>(
    text: string,
    values?: unknown[],
    options?: { prepare?: boolean },
  ): Statement<Rows>;
  /** A value of a `json` column; an array would become an array of Postgres. */
  json(value: unknown): Json;
}

/** A transaction. */
export interface TransactionSql extends Statements {
  /** Runs `work`; when it fails, only what it did is undone. */
  savepoint<Result>(work: (tx: TransactionSql) => Promise<Result>): Promise<Result>;
}

/** Statements, each on a connection of its own, and transactions. */
export interface Sql extends Statements {
  /** Runs `work` in a transaction; again when a prepared statement of it was lost. */
  begin<Result>(work: (tx: TransactionSql) => PromiseLike<Result>): Promise<Result>;
  begin<Result>(options: BeginOptions, work: (tx: TransactionSql) => PromiseLike<Result>): Promise<Result>;
  /** The same with another deadline for each statement. */
  within(deadlineMs: number): Sql;
  readonly pool: ConnectionPool;
}

/** A part of a statement. */
export type Fragment = Statement<readonly unknown[]>;

class Name {
  readonly text: string;
  constructor(name: string) {
    this.text = `"${name.replaceAll('"', '""')}"`;
  }
}

class Json {
  readonly text: string;
  constructor(value: unknown) {
    this.text = JSON.stringify(value);
  }
}

type Send = (query: Query) => Promise<unknown[]>;

/** One statement, or a part of one. */
export class Statement<Rows extends readonly unknown[]> implements PromiseLike<Rows> {
  readonly #texts: readonly string[];
  readonly #values: readonly unknown[];
  readonly #send: Send;
  readonly #isSimple: boolean;
  readonly #isPrepared: boolean;
  #rows: Promise<Rows> | null = null;

  constructor(
    texts: readonly string[],
    values: readonly unknown[],
    send: Send,
    options: { isSimple?: boolean; isPrepared?: boolean } = {},
  ) {
    this.#texts = texts;
    this.#values = values;
    this.#send = send;
    this.#isSimple = options.isSimple ?? false;
    this.#isPrepared = options.isPrepared ?? true;
  }

  /** Its text, with its parameters appended to `values`. */
  render(values: unknown[]): string {
    let text = this.#texts[0] ?? '';
    for (const [index, value] of this.#values.entries()) {
      if (value instanceof Statement) text += value.render(values);
      else if (isList(value)) text += value.map((part) => part.render(values)).join(' ');
      else if (value instanceof Name) text += value.text;
      else text += `$${values.push(parameter(value))}`;
      text += this.#texts[index + 1] ?? '';
    }
    return text;
  }

  /** Sends it, once. */
  execute(): Promise<Rows> {
    this.#rows ??= this.#run();
    return this.#rows;
  }

  // biome-ignore lint/suspicious/noThenProperty: it is awaited like a promise, and sent when it is.
  then<A = Rows, B = never>(
    onRows?: ((rows: Rows) => A | PromiseLike<A>) | null,
    onError?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.execute().then(onRows, onError);
  }

  catch<B = never>(onError: (error: unknown) => B | PromiseLike<B>): Promise<Rows | B> {
    return this.execute().catch(onError);
  }

  async #run(): Promise<Rows> {
    if (this.#isSimple)
      return (await this.#send({ text: this.#texts[0] ?? '', values: null })) as unknown as Rows;
    const values: unknown[] = [];
    const text = this.render(values);
    const name = this.#isPrepared ? { name: nameOf(text) } : {};
    return (await this.#send({ text, values, ...name })) as unknown as Rows;
  }
}

/** Fragments that follow each other. */
function isList(value: unknown): value is Fragment[] {
  return Array.isArray(value) && value.length > 0 && value.every((part) => part instanceof Statement);
}

/** @throws TypeError for undefined, which is a value that was forgotten */
function parameter(value: unknown): unknown {
  if (value === undefined) throw new TypeError('a parameter of a statement is undefined');
  return value instanceof Json ? value.text : value;
}

const names = new Map<string, string>();
/** Texts of this process; beyond that the oldest make room. */
const NAMES_MAX = 1_000;

/**
 * The name of a prepared statement says what its text is: behind a pooler another client's statement of the same name is
 * the same statement.
 */
function nameOf(text: string): string {
  const known = names.get(text);
  if (known !== undefined) return known;
  const name = `tollgate_${createHash('sha256').update(text).digest('hex').slice(0, 32)}`;
  const [oldest] = names.size >= NAMES_MAX ? names.keys() : [];
  if (oldest !== undefined) names.delete(oldest);
  names.set(text, name);
  return name;
}

function valuesOf(rows: readonly object[], send: Send): Fragment {
  const columns = Object.keys(rows[0] ?? {});
  const texts = rows.flatMap((_, row) =>
    columns.map((_, column) => (column > 0 ? ', ' : `${row > 0 ? '), ' : ''}(`)),
  );
  texts[0] = `(${columns.map((name) => new Name(name).text).join(', ')}) values (`;
  const values = rows.flatMap((row) => {
    const byName = new Map<string, unknown>(Object.entries(row));
    return columns.map((name) => byName.get(name));
  });
  return new Statement([...texts, ')'], values, send);
}

function statements(send: Send): Statements {
  const make = (first: TemplateStringsArray | string | readonly object[], ...values: unknown[]) => {
    if (typeof first === 'string') return new Name(first);
    return 'raw' in first ? new Statement(first, values, send) : valuesOf(first, send);
  };
  return Object.assign(make, {
    unsafe: (text: string, values: unknown[] = [], { prepare = false }: { prepare?: boolean } = {}) =>
      values.length === 0
        ? new Statement([text], [], send, { isSimple: true })
        : // Its parameters are numbered already.
          new Statement([text], [], (query) => send({ ...query, values: values.map(parameter) }), {
            isPrepared: prepare,
          }),
    json: (value: unknown) => new Json(value),
  }) as Statements;
}

/** @param deadlineMs how long each statement may take; in a transaction the server ends it a little earlier */
export function createSql(pool: ConnectionPool, deadlineMs = pool.options.deadlineMs): Sql {
  const send: Send = async (query) => (await pool.query(query, deadlineMs)).rows;
  return Object.assign(statements(send), {
    pool,
    within: (otherMs: number) => createSql(pool, otherMs),
    begin: <Result>(
      first: BeginOptions | ((tx: TransactionSql) => PromiseLike<Result>),
      second?: (tx: TransactionSql) => PromiseLike<Result>,
    ) => {
      const [options, work] = typeof first === 'function' ? [{}, first] : [first, second];
      if (work === undefined) throw new TypeError('a transaction of nothing');
      return beginAgain(pool, { deadlineMs, ...options }, work);
    },
  });
}

/** A transaction that was left open on a silent connection holds its locks for so long. */
const IDLE_MS_MAX = 5000;

/**
 * What a transaction sets for itself, in the round trip that begins it: a session's settings do not survive a pooler.
 * The server gives up before this side does, so that what is given up holds no locks; it waits for its disk, whatever the
 * role's setting, before it says that something is committed.
 */
export function beginText(deadlineMs: number, mode = ''): string {
  const serverMs = Math.max(1, Math.floor(deadlineMs * 0.9));
  const idleMs = Math.min(serverMs, IDLE_MS_MAX);
  return (
    `begin ${mode}; set local statement_timeout = ${serverMs}; ` +
    `set local idle_in_transaction_session_timeout = ${idleMs}; ` +
    "select set_config('synchronous_commit', 'on', true) where current_setting('synchronous_commit') = 'off'"
  );
}

/** Runs a transaction again when the server lost a prepared statement of it: it was undone as a whole. */
async function beginAgain<Result>(
  pool: ConnectionPool,
  options: BeginOptions,
  work: (tx: TransactionSql) => PromiseLike<Result>,
): Promise<Result> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await begin(pool, options, work);
    } catch (error) {
      if (attempt === ATTEMPTS_MAX || !isStatementLost((error as { code?: string }).code)) throw error;
    }
  }
}

const ATTEMPTS_MAX = 3;

async function begin<Result>(
  pool: ConnectionPool,
  { mode, deadlineMs = pool.options.deadlineMs }: BeginOptions,
  work: (tx: TransactionSql) => PromiseLike<Result>,
): Promise<Result> {
  const connection = await pool.acquire(deadlineMs);
  const run = (query: Query) => pool.queryOn(connection, query, deadlineMs);
  const simple = (text: string) => run({ text, values: null });
  const send: Send = async (query) => (await run(query)).rows;
  let savepoints = 0;
  const tx: TransactionSql = Object.assign(statements(send), {
    savepoint: async <Inner>(inner: (tx: TransactionSql) => Promise<Inner>) => {
      const name = `s${++savepoints}`;
      await simple(`savepoint ${name}`);
      try {
        const result = await inner(tx);
        await simple(`release savepoint ${name}`);
        return result;
      } catch (error) {
        await simple(`rollback to savepoint ${name}`);
        throw error;
      }
    },
  });
  try {
    await simple(beginText(deadlineMs, mode));
    const result = await work(tx);
    await simple('commit');
    return result;
  } catch (error) {
    // Where that fails too, the connection is dropped, and with it the transaction.
    if (connection.isUsable && !connection.isIdle) await simple('rollback').catch(() => {});
    if (isStatementLost((error as { code?: string }).code)) connection.destroy();
    throw error;
  } finally {
    pool.release(connection);
  }
}

/** For pages, jobs and changes, which may sum up a large ledger. */
export const SLOW_DEADLINE_MS = 60_000;
const CONNECT_TIMEOUT_MS = 3000;
export const CLOSE_MS_MAX = 5000;

/** One pool. Close it with {@link closeClient}. @param settings of the server, for each session */
export function openClient(
  connection: string | SocketConnection,
  max: number,
  settings: Record<string, string> = {},
): Sql {
  return createSql(openPool(addressOf(connection), max, SLOW_DEADLINE_MS, settings));
}

export function closeClient({ pool }: Sql): Promise<void> {
  return pool.close(CLOSE_MS_MAX);
}

export function openPool(
  address: ServerAddress,
  max: number,
  deadlineMs: number,
  settings: Record<string, string> = {},
): ConnectionPool {
  address.startup = { ...address.startup, ...settings };
  const connectTimeoutMs = address.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
  return new ConnectionPool({ address, max, deadlineMs, connectTimeoutMs });
}

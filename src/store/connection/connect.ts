/**
 * One connection to a PostgreSQL server: which host of several, with which TLS, and what its session has set. Owns the
 * `pg` client. Invariants: what a session needs is sent with the first packet, which poolers remember for every server
 * that they put behind the connection; every statement has a deadline on this side, and a connection that lets one pass is
 * destroyed, because the responses of all that follows would be late too.
 */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { ConnectionOptions as TlsOptions } from 'node:tls';
import pg from 'pg';
import type { ServerAddress, ServerHost } from './address.ts';
import { parsers } from './values.ts';

/** A result as `pg` returns it. */
export type Result = pg.QueryResult;

/** One statement on its way. */
export interface Query {
  text: string;
  /** Null: the simple protocol, which takes several statements at once and no parameters. */
  values: unknown[] | null;
  /** Parsed once on each connection, under a name that follows from its text. */
  name?: string;
  rowMode?: 'array';
  types?: pg.CustomTypesConfig;
}

/** The connection is gone, or was given up; what was under way may or may not have been done. */
export class ConnectionLost extends Error {
  override name = 'ConnectionLost';
  readonly code = 'CONNECTION_LOST';
  /** The server was silent, so other connections to it may be too. */
  readonly isSilence: boolean;

  constructor(message: string, isSilence = false) {
    super(message);
    this.isSilence = isSilence;
  }
}

/** A `commit` that did not commit: the server or a pooler undid the transaction. */
class NotCommitted extends Error {
  override name = 'NotCommitted';
  readonly code = 'NOT_COMMITTED';

  constructor(command: string) {
    super(`the transaction was not committed: its commit was answered with ${command || 'nothing'}`);
  }
}

/**
 * The rest of what `pg` has: the packet of the start, which takes any setting of the server, and the messages of the
 * protocol. Stable for years, and held by tests.
 */
interface ClientParts {
  getStartupConf(): Record<string, string>;
  connection: NodeJS.EventEmitter & { stream: { destroy(error?: Error): void } };
}

/**
 * Beside what the address says: values are read in these forms, whatever the role or the database prefers. No others: of
 * all settings these are what every PgBouncer passes on.
 */
const SESSION = { DateStyle: 'ISO, MDY', TimeZone: 'UTC' };

const KEEP_ALIVE_MS = 10_000;

/** A session on a server. */
export class Connection {
  readonly #client: pg.Client & ClientParts;
  /** When it was made, on the monotonic clock. */
  readonly sinceMs = performance.now();
  isUsable = true;
  /** Called once when it is of no use any more. */
  onLost: (() => void) | null = null;
  #lost: Error | null = null;
  /** The server warned of something since the last statement began. */
  #isWarned = false;

  constructor(client: pg.Client & ClientParts) {
    this.#client = client;
    client.on('error', (error) => this.#lose(error));
    client.on('end', () => this.#lose(null));
    client.on('notice', ({ severity, code }) => {
      if (severity === 'WARNING' || code === '01000') this.#isWarned = true;
    });
  }

  /** No transaction is open, as far as the server said. */
  get isIdle(): boolean {
    return this.isUsable && this.#client.getTransactionStatus() === 'I';
  }

  /**
   * Sends a statement at once; several may be under way, and are done in order.
   * @param deadlineMs how long its result may take; past that the connection is destroyed
   * @throws ConnectionLost, NotCommitted, or the server's error
   */
  async query({ text, values, name, rowMode, types }: Query, deadlineMs: number): Promise<Result> {
    if (!this.isUsable) throw this.#lost ?? new ConnectionLost('the connection to Postgres is closed');
    let timer: NodeJS.Timeout | undefined;
    try {
      timer = setTimeout(() => this.#giveUp(deadlineMs), deadlineMs);
      this.#isWarned = false;
      const result: Result | Result[] = await this.#client.query({
        text,
        ...(values === null ? {} : { values, queryMode: 'extended' }),
        ...(name === undefined ? {} : { name }),
        ...(rowMode === undefined ? {} : { rowMode }),
        types: types ?? parsers,
      });
      const last = Array.isArray(result) ? (result.at(-1) as Result) : result;
      if (text === 'commit' && last.command !== 'COMMIT') throw new NotCommitted(last.command);
      // It is on this server, but the wait for a synchronous standby was cut short: a fail-over would forget it.
      if (text === 'commit' && this.#isWarned) throw new NotCommitted('COMMIT with a warning');
      return last;
    } catch (error) {
      if (this.#lost !== null && !(error instanceof pg.DatabaseError)) throw this.#lost;
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends it politely where it is idle. */
  end(): void {
    this.isUsable = false;
    this.onLost = null;
    this.#client.end().catch(() => {});
  }

  /** Ends it now; what is under way is rejected. */
  destroy(error: Error = new ConnectionLost('the connection to Postgres was closed here')): void {
    this.#lost ??= error;
    this.#client.connection.stream.destroy();
    this.#lose(error);
  }

  #giveUp(deadlineMs: number): void {
    this.destroy(
      new ConnectionLost(`Postgres did not answer within ${deadlineMs} ms: the connection is given up`, true),
    );
  }

  #lose(error: Error | null): void {
    this.#lost ??= new ConnectionLost(
      `the connection to Postgres was lost${error === null ? '' : `: ${error.message}`}`,
    );
    if (!this.isUsable) return;
    this.isUsable = false;
    this.onLost?.();
  }
}

/**
 * Connects to the first host that can be used.
 * @throws the error of the one host, or one that names all of them
 */
export async function connect(address: ServerAddress, timeoutMs: number): Promise<Connection> {
  const errors: Error[] = [];
  for (const host of address.hosts) {
    try {
      const client = await connectTo(host, address, timeoutMs);
      return new Connection(client);
    } catch (error) {
      errors.push(error instanceof Error ? error : new Error(String(error)));
    }
  }
  const [first] = errors;
  if (errors.length === 1 && first) throw first;
  const words = errors.map((error, index) => `${address.hosts[index]?.host}: ${wordsOf(error)}`);
  throw Object.assign(new Error(`no host can be used: ${words.join('; ')}`), { code: 'ECONNREFUSED' });
}

function wordsOf(error: Error): string {
  return error instanceof AggregateError ? error.errors.map(wordsOf).join(', ') : error.message;
}

/** `sslmode` as libpq means it: two of the modes have a second try. */
async function connectTo(host: ServerHost, address: ServerAddress, timeoutMs: number) {
  const { mode } = address.tls;
  const isLocal = host.host.startsWith('/');
  const tries = isLocal || mode === 'disable' ? [false] : TRIES[mode];
  for (const [index, tls] of tries.entries()) {
    try {
      return await open(host, address, tls, timeoutMs);
    } catch (error) {
      if (index === tries.length - 1 || !isAboutTls(error)) throw error;
    }
  }
  throw new Error('unreachable');
}

/** With TLS, or without. */
const TRIES = {
  allow: [false, true],
  prefer: [true, false],
  require: [true],
  'verify-ca': [true],
  'verify-full': [true],
} as const;

/** The server has no TLS, or its rules (pg_hba.conf) want the other kind of connection. */
function isAboutTls(error: unknown): boolean {
  if (error instanceof pg.DatabaseError) return error.code === '28000';
  return error instanceof Error && /SSL|TLS/.test(error.message);
}

async function open(host: ServerHost, address: ServerAddress, tls: boolean, timeoutMs: number) {
  const { user, database, password, channelBinding, startup } = address;
  const client = new pg.Client({
    ...host,
    user,
    database,
    // A function, so that an absent one is empty: else the driver looks for a file of passwords.
    password: () => password,
    ssl: tls ? tlsOptions(address) : false,
    pipeline: true,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
    connectionTimeoutMillis: timeoutMs,
    enableChannelBinding: tls && channelBinding !== 'disable',
  }) as pg.Client & ClientParts;
  const conf = client.getStartupConf.bind(client);
  client.getStartupConf = () => ({ ...conf(), ...SESSION, ...startup });
  // Its callers learn of an error by themselves; without a listener it would end the process.
  client.on('error', () => {});
  const told = new Map<string, string>();
  client.connection.on('parameterStatus', (message: { parameterName: string; parameterValue: string }) =>
    told.set(message.parameterName, message.parameterValue),
  );
  if (channelBinding === 'require') requireChannelBinding(client, tls);
  try {
    await client.connect();
    if (address.wants === 'read-write') await expectPrimary(client, told, timeoutMs);
    return client;
  } catch (error) {
    client.connection.stream.destroy();
    if (error instanceof Error && /^(timeout expired|Connection terminated)/.test(error.message)) {
      throw new ConnectionLost(
        error.message === 'timeout expired'
          ? `no connection within ${timeoutMs} ms`
          : 'the server closed the connection while it was made',
      );
    }
    throw error;
  }
}

/** Of several hosts only the one that takes writes is of use. A pooler may not say which it is: then it is asked. */
async function expectPrimary(
  client: pg.Client & ClientParts,
  told: Map<string, string>,
  timeoutMs: number,
): Promise<void> {
  let isReadOnly = told.get('in_hot_standby') === 'on' || told.get('default_transaction_read_only') === 'on';
  if (!told.has('in_hot_standby')) {
    const timer = setTimeout(() => client.connection.stream.destroy(), timeoutMs);
    const asked = client.query<{ state: string }>("select current_setting('transaction_read_only') as state");
    const { rows } = await asked.finally(() => clearTimeout(timer));
    isReadOnly = rows[0]?.state === 'on';
  }
  if (isReadOnly) throw new Error('it is a standby or read-only');
}

/** Ends the connection before the password could be sent in another way. */
function requireChannelBinding({ connection }: ClientParts, tls: boolean): void {
  const refuse = () =>
    connection.stream.destroy(
      new Error('channel_binding=require, and the server offers none on this connection'),
    );
  connection.on('authenticationCleartextPassword', refuse);
  connection.on('authenticationMD5Password', refuse);
  connection.on('authenticationOk', () => {
    if (!isBound) refuse();
  });
  let isBound = false;
  connection.on('authenticationSASL', ({ mechanisms }: { mechanisms: string[] }) => {
    isBound = tls && mechanisms.includes('SCRAM-SHA-256-PLUS');
    if (!isBound) refuse();
  });
}

function tlsOptions({ tls }: ServerAddress): TlsOptions {
  const { mode, rootCert, cert, key } = tls;
  const ca = rootCert === 'system' ? undefined : readRoot(rootCert);
  const isChecked =
    mode === 'verify-full' || mode === 'verify-ca' || (mode === 'require' && rootCert !== null);
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === null ? {} : { cert: readFileSync(cert) }),
    ...(key === null ? {} : { key: readFileSync(key) }),
    rejectUnauthorized: isChecked,
    // `pg` checks the name or the address that was connected to; only verify-full means that.
    ...(isChecked && mode !== 'verify-full' ? { checkServerIdentity: () => undefined } : {}),
  };
}

/** As libpq: the file given, or that of the user; without either, the authorities that Node trusts. */
function readRoot(path: string | null): Buffer | undefined {
  if (path !== null) return readFileSync(path);
  try {
    return readFileSync(join(homedir(), '.postgresql', 'root.crt'));
  } catch {
    return undefined;
  }
}

/**
 * A pool of connections. Owns: how many there are, who waits for one, and when one is of no use any more. Invariants: a
 * connection serves one caller at a time; no caller waits longer than the deadline; when one connection was silent, all that
 * idle are dropped, because whatever froze it (a pooler, a proxy, a firewall) may have frozen them.
 */

import type { ServerAddress } from './address.ts';
import { type Connection, ConnectionLost, connect, type Query, type Result } from './connect.ts';

export interface PoolOptions {
  address: ServerAddress;
  max: number;
  /** How long a connection, and then each statement, may take. */
  deadlineMs: number;
  connectTimeoutMs: number;
}

interface Waiter {
  resolve(connection: Connection): void;
  reject(error: Error): void;
  timer: NodeJS.Timeout;
}

/** A new try to connect waits this long after the first failure, twice as long after the second …, at most the latter. */
const RETRY_MS = 10;
const RETRY_MAX_MS = 500;
/** A connection ends after this time, or up to twice it: hosts move, and sessions grow. */
const LIFETIME_MS = 30 * 60_000;

/** Of a server that lost a prepared statement, or got one from another client of its pooler, or changed its result. */
const STATEMENT_LOST = new Set(['26000', '42P05', '0A000']);

/** @returns whether an error says that a statement parsed before is of no use: parsed again it may work */
export function isStatementLost(code: string | undefined): boolean {
  return code !== undefined && STATEMENT_LOST.has(code);
}

export class ConnectionPool {
  readonly options: PoolOptions;
  readonly #idle: Connection[] = [];
  readonly #busy = new Set<Connection>();
  readonly #waiting: Waiter[] = [];
  #connecting = 0;
  #failures = 0;
  #retryAtMs = 0;
  #isClosed = false;
  #onDrained: (() => void) | null = null;
  /** Pools whose connections are dropped with this one's. */
  siblings: readonly ConnectionPool[] = [this];

  constructor(options: PoolOptions) {
    this.options = options;
  }

  /** Runs one statement on a connection of its own. @param deadlineMs for the wait and the statement together */
  async query(query: Query, deadlineMs = this.options.deadlineMs): Promise<Result> {
    const endMs = performance.now() + deadlineMs;
    const connection = await this.acquire(deadlineMs);
    try {
      return await this.queryOn(connection, query, Math.max(1, Math.ceil(endMs - performance.now())));
    } catch (error) {
      if (!isStatementLost((error as { code?: string }).code) || query.name === undefined) throw error;
      const { name, ...unnamed } = query;
      const result = await this.queryOn(
        connection,
        unnamed,
        Math.max(1, Math.ceil(endMs - performance.now())),
      );
      // Its other statements may be lost too.
      connection.destroy();
      return result;
    } finally {
      this.release(connection);
    }
  }

  /** Runs a statement on a connection of this pool; when it lets the deadline pass, others are suspected. */
  async queryOn(connection: Connection, query: Query, deadlineMs = this.options.deadlineMs): Promise<Result> {
    const { address } = this.options;
    try {
      const { name, ...unnamed } = query;
      return await connection.query(address.prepare ? query : unnamed, deadlineMs);
    } catch (error) {
      if (error instanceof ConnectionLost && error.isSilence) {
        for (const pool of this.siblings) pool.dropIdle();
      }
      const { code } = error as { code?: string };
      // A pooler that cannot keep prepared statements: from now on each is parsed each time.
      if (code === '26000' || code === '42P05') address.prepare = false;
      throw error;
    }
  }

  /** @throws ConnectionLost when none is free in time; the error of a connection that cannot be made */
  acquire(deadlineMs = this.options.deadlineMs): Promise<Connection> {
    if (this.#isClosed) return Promise.reject(new ConnectionLost('the connections to Postgres are closed'));
    const idle = this.#idle.pop();
    if (idle) {
      this.#busy.add(idle);
      return Promise.resolve(idle);
    }
    return new Promise((resolve, reject) => {
      const late = () => {
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
        reject(new ConnectionLost(`no connection to Postgres was free within ${deadlineMs} ms`));
      };
      const waiter = { resolve, reject, timer: setTimeout(late, deadlineMs) };
      this.#waiting.push(waiter);
      this.#open();
    });
  }

  release(connection: Connection): void {
    if (!this.#busy.delete(connection)) return;
    if (!connection.isIdle) connection.destroy();
    if (connection.isUsable && !this.#isClosed && !isOld(connection)) this.#give(connection);
    else {
      if (connection.isUsable) connection.end();
      this.#open();
    }
    this.#drained();
  }

  /** Drops what idles: each may be as silent as one that was just given up. */
  dropIdle(): void {
    for (const connection of this.#idle.splice(0)) connection.destroy();
  }

  /** Ends all; what is under way may take this long. */
  async close(timeoutMs: number): Promise<void> {
    this.#isClosed = true;
    for (const waiter of this.#waiting.splice(0)) {
      clearTimeout(waiter.timer);
      waiter.reject(new ConnectionLost('the connections to Postgres are closed'));
    }
    for (const connection of this.#idle.splice(0)) connection.end();
    if (this.#busy.size === 0) return;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, timeoutMs);
    });
    const drained = new Promise<void>((resolve) => {
      this.#onDrained = resolve;
    });
    await Promise.race([late, drained]);
    clearTimeout(timer);
    for (const connection of this.#busy) connection.destroy();
  }

  #drained(): void {
    if (this.#busy.size === 0) this.#onDrained?.();
  }

  #give(connection: Connection): void {
    const waiter = this.#waiting.shift();
    if (waiter) {
      clearTimeout(waiter.timer);
      this.#busy.add(connection);
      waiter.resolve(connection);
    } else this.#idle.push(connection);
  }

  /** Makes connections for those that wait, as many as there may be. */
  #open(): void {
    while (
      !this.#isClosed &&
      this.#connecting < this.#waiting.length &&
      this.#connecting + this.#busy.size + this.#idle.length < this.options.max
    ) {
      this.#connecting++;
      const waitMs = this.#retryAtMs - performance.now();
      if (waitMs > 0) setTimeout(() => void this.#connect(), waitMs);
      else void this.#connect();
    }
  }

  async #connect(): Promise<void> {
    try {
      if (this.#isClosed) return;
      const connection = await connect(this.options.address, this.options.connectTimeoutMs);
      this.#failures = 0;
      this.#retryAtMs = 0;
      this.#adopt(connection);
    } catch (error) {
      this.#failures++;
      this.#retryAtMs = performance.now() + Math.min(RETRY_MAX_MS, RETRY_MS * 2 ** this.#failures);
      const waiter = this.#waiting.shift();
      if (waiter) clearTimeout(waiter.timer);
      waiter?.reject(error instanceof Error ? error : new Error(String(error)));
    } finally {
      this.#connecting--;
      this.#open();
    }
  }

  #adopt(connection: Connection): void {
    if (this.#isClosed) {
      connection.end();
      return;
    }
    connection.onLost = () => {
      const at = this.#idle.indexOf(connection);
      if (at >= 0) this.#idle.splice(at, 1);
    };
    this.#give(connection);
  }
}

function isOld({ sinceMs }: Connection): boolean {
  // By an amount of its own, so that not all of a pool end at once.
  return performance.now() - sinceMs > LIFETIME_MS * (1 + (sinceMs % 1));
}

/**
 * The hot team: one team's calls at thousands a second over several replicas, from raw keep-alive clients in processes of
 * their own. What counts is how many calls got their money without waiting for Postgres, and how much Postgres had to do.
 * The upstream is the bench's: the simulated OpenAI would take more of the machine than the gateways.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { usd } from '../../src/domain/money.ts';
import type { Sql } from '../../src/store/database.ts';
import { closeClient, openClient } from '../../src/store/database.ts';
import { SMALL_JSON } from '../cases.ts';
import type { PaceCommand } from '../load.ts';
import { nextMessage, startOwn } from '../processes.ts';
import { type Citus, inHouse } from './house.ts';
import type { Replica } from './replica.ts';

export interface HotRun {
  /** The database; missing: one PostgreSQL. */
  citus?: Citus | null;
  replicas: number;
  workers: number;
  budgetUsd: string;
  /** Calls at random moments, so many a second over all replicas. */
  callsPerSecond: number;
  seconds: number;
  progress(text: string): void;
}

export interface HotRow {
  replicas: number;
  callsPerSecond: number;
  seconds: number;
  calls: number;
  /** Percent of the calls whose money was in a lease. */
  atOncePercent: number;
  transactionsPerSecond: number;
  /** What the budget would have lasted at the end, at this rate. */
  secondsOfSpendingLeft: number;
}

/** Nothing is counted before: leases grow with what is asked for. */
const SETTLE_MS = 5_000;
const CONNECTIONS = 64;
const AT_ONCE_PERCENT_LEAST = 99;
const TRANSACTIONS_MOST = 50;
const SPENDING_LEFT_LEAST = 60;

interface Reading {
  atMs: number;
  atOnce: number;
  waited: number;
  transactions: number;
  spentUsd: number;
}

export async function runHot(run: HotRun): Promise<HotRow> {
  const { replicas, workers, budgetUsd, callsPerSecond, seconds, citus, progress } = run;
  return inHouse(
    { gateway: 'tollgate', replicas, workers, budgetUsd, citus, simulator: null },
    async (house) => {
      const sql = openClient(house.postgres.url, 1);
      try {
        const loads = await Promise.all(house.replicas.map((_, index) => startLoad(house.folder, index)));
        const rate = callsPerSecond / replicas;
        const loaded = Promise.all(
          loads.map((load, index) =>
            load(house.replicas[index]!, house.key, rate, seconds + SETTLE_MS / 1000),
          ),
        );
        loaded.catch(() => {});
        await delay(SETTLE_MS);
        progress(`measuring for ${seconds} s`);
        const before = await read(house.replicas, sql);
        // A little earlier than the load ends: its last moment is no load any more.
        await Promise.race([loaded, delay(seconds * 1000 - 500)]);
        const after = await read(house.replicas, sql);
        await loaded;
        return compare(run, before, after);
      } finally {
        await closeClient(sql);
      }
    },
  );
}

type Load = (replica: Replica, key: string, callsPerSecond: number, seconds: number) => Promise<unknown>;

async function startLoad(folder: string, index: number): Promise<Load> {
  const logFile = `${folder}/load-${index}.log`;
  const { child } = await startOwn({ script: 'load.ts', logFile });
  return (replica, key, callsPerSecond, seconds) => {
    const target = { port: replica.port, headers: { authorization: `Bearer ${key}` } };
    const { body } = SMALL_JSON;
    const pace: PaceCommand = {
      kind: 'pace',
      target,
      body,
      stream: false,
      connections: CONNECTIONS,
      callsPerSecond,
      seconds,
    };
    const result = nextMessage(child, logFile);
    child.send(pace);
    return result;
  };
}

async function read(replicas: Replica[], sql: Sql): Promise<Reading> {
  const pages = await Promise.all(replicas.map(async ({ url }) => (await fetch(`${url}/metrics`)).text()));
  const sum = (sample: string) =>
    pages.reduce((total, page) => total + Number(page.split(`\n${sample} `)[1]?.split('\n', 1)[0] ?? 0), 0);
  const [row] = await sql<{ transactions: number }[]>`
    select (xact_commit + xact_rollback)::int4 as transactions from pg_stat_database
    where datname = current_database()`;
  return {
    atMs: performance.now(),
    atOnce: sum('tollgate_reservations_total{waited="no"}'),
    waited: sum('tollgate_reservations_total{waited="yes"}'),
    transactions: row!.transactions,
    spentUsd: sum('tollgate_cost_usd_total{team="attackers"}'),
  };
}

function compare(run: HotRun, before: Reading, after: Reading): HotRow {
  const seconds = (after.atMs - before.atMs) / 1000;
  const atOnce = after.atOnce - before.atOnce;
  const calls = atOnce + after.waited - before.waited;
  const usdPerSecond = (after.spentUsd - before.spentUsd) / seconds;
  return {
    replicas: run.replicas,
    callsPerSecond: calls / seconds,
    seconds,
    calls,
    atOncePercent: (100 * atOnce) / calls,
    transactionsPerSecond: (after.transactions - before.transactions) / seconds,
    secondsOfSpendingLeft: (Number(usd(run.budgetUsd)) / 1e12 - after.spentUsd) / usdPerSecond,
  };
}

/** A row in words. */
export function describeHot(row: HotRow): string {
  return (
    `${row.replicas} replicas, ${row.callsPerSecond.toFixed(0)} calls/s for ${row.seconds.toFixed(0)} s: ` +
    `${row.atOncePercent.toFixed(2)} % reserved without waiting, ` +
    `${row.transactionsPerSecond.toFixed(1)} transactions/s in Postgres, ` +
    `${row.secondsOfSpendingLeft.toFixed(0)} s of spending left`
  );
}

/** Every promise that a row breaks. */
export function brokenHotPromises(row: HotRow, callsPerSecond: number): string[] {
  const broken: string[] = [];
  if (row.callsPerSecond < callsPerSecond * 0.9) broken.push(`only ${row.callsPerSecond.toFixed(0)} calls/s`);
  if (row.secondsOfSpendingLeft < SPENDING_LEFT_LEAST) broken.push('less than a minute of spending left');
  if (row.atOncePercent < AT_ONCE_PERCENT_LEAST) broken.push('too many calls waited for their money');
  if (row.transactionsPerSecond > TRANSACTIONS_MOST) broken.push('Postgres was asked too often');
  return broken;
}

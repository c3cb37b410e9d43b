/**
 * The store under fire: what a database does that hangs, restarts, fails over or is restored, while clients ask for more
 * than a grant covers. Owns: the cases, and what may be over and lost in each. The judge is the upstream's invoice.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { usd } from '../../src/domain/money.ts';
import { closeClient, openClient } from '../../src/store/database.ts';
import { freePort, stopAll } from '../processes.ts';
import { PgServer, programsFolder, Switch } from './cluster.ts';
import { Crowd } from './crowd.ts';
import { type BookedCall, GATEWAY_KINDS } from './gateways.ts';
import { judge } from './judge.ts';
import { Pooler } from './pooler.ts';
import { align } from './promises.ts';
import { Replica } from './replica.ts';
import { STORE_CASES, type StoreCase } from './store-cases.ts';
import { Upstream } from './upstream.ts';

export interface StoreRow {
  name: string;
  what: string;
  calls: number;
  billedUsd: string;
  overUsd: string;
  /** The most that OPERATIONS allows to be over. */
  boundUsd: string;
  lost: number;
  lostUsd: string;
  double: number;
  wrong: number;
  unavailable: number;
  seconds: number;
}

export interface StoreRun {
  clients: number;
  budgetUsd: string;
  seed: number;
  /** Which cases, by a part of their names; empty: all. */
  only: readonly string[];
  progress(text: string): void;
}

const PATIENCE_MS = 90_000;
const AFTER_MS_MAX = 60_000;
const CALM_MS = 15_000;

/** @throws when there are no programs to make standbys with */
export async function runStore(run: StoreRun): Promise<StoreRow[]> {
  const programs = programsFolder();
  if (programs === null) throw new Error('install a PostgreSQL with pg_basebackup (Debian: postgresql)');
  const rows: StoreRow[] = [];
  for (const each of STORE_CASES) {
    if (run.only.length > 0 && !run.only.some((part) => each.name.includes(part))) continue;
    if (each.pooler !== undefined && !Pooler.isInstalled()) {
      run.progress(`${each.name}: skipped, PgBouncer is not installed`);
      continue;
    }
    const row = await runCase(each, run, programs);
    rows.push(row);
    run.progress(align(storeCells([row])));
  }
  return rows;
}

async function runCase(each: StoreCase, run: StoreRun, programs: string): Promise<StoreRow> {
  const folder = mkdtempSync(join(tmpdir(), 'tollgate-store-'));
  chmodSync(folder, 0o755);
  const remove = () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  process.once('exit', remove);
  let address: Switch | null = null;
  let replicas: Replica[] = [];
  try {
    const primary = await PgServer.make(programs, join(folder, 'primary'));
    const standby = each.hasStandby ? await primary.standby(join(folder, 'standby')) : null;
    if (each.isSynchronous) {
      await primary.ask("alter system set synchronous_standby_names = '*'", 'postgres');
      await primary.ask('select pg_reload_conf()', 'postgres');
    }
    address = await Switch.open(primary.port);
    const port = each.pooler ? await Pooler.start(folder, each.pooler, address.port) : address.port;
    const upstream = await Upstream.start(join(folder, 'upstream.log'), [
      '--seed',
      String(run.seed),
      '--median-output',
      '250',
    ]);
    replicas = await startReplicas(folder, port, upstream.url, each.isSynchronous === true);
    const kind = GATEWAY_KINDS.tollgate;
    const key = await kind.fund(replicas[0]!.url, run.budgetUsd);
    const say = (text: string) => run.progress(`${each.name}: ${text}`);
    const amount = usd(run.budgetUsd);
    const startedMs = performance.now();
    const crowd = new Crowd({ replicas, key, clients: run.clients, seed: run.seed, patienceMs: PATIENCE_MS });
    const billed = async (share: number) => {
      const due = (amount * BigInt(Math.round(share * 1000))) / 1000n;
      while (crowd.busy > 0 && (await upstream.billed()) < due) await delay(50);
    };
    const ground = { folder, programs, primary, standby, address, replicas, upstream, billed, say };
    const bound = (await each.strike(ground)) ?? '0';
    await Promise.race([crowd.ended, delay(AFTER_MS_MAX)]);
    crowd.end();
    await crowd.ended;
    const seconds = (performance.now() - startedMs) / 1000;
    const lines = await upstream.lines();
    const booked = await booksOf(`postgres://owner@127.0.0.1:${port}/books`, lines.length, replicas);
    const verdict = judge({ amount, lines, booked, denials: [] });
    const ids = new Set(booked.map((call) => call.id));
    const lost = lines.filter((line) => !ids.has(line.client_request_id ?? ''));
    const lostUsd = lost.reduce((sum, line) => sum + BigInt(line.cost_pico_usd), 0n);
    return {
      name: each.name,
      what: each.what,
      calls: lines.length,
      billedUsd: dollars(verdict.billed),
      overUsd: dollars(verdict.overspend),
      boundUsd: dollars(usd(bound)),
      lost: lost.length,
      lostUsd: dollars(lostUsd),
      double: verdict.double,
      wrong: verdict.wrong,
      unavailable: crowd.counts.unavailable,
      seconds,
    };
  } finally {
    await Promise.all(replicas.map((replica) => replica.stop()));
    address?.close();
    await stopAll();
    remove();
    process.off('exit', remove);
  }
}

async function startReplicas(
  folder: string,
  port: number,
  upstreamUrl: string,
  grantsWait: boolean,
): Promise<Replica[]> {
  const kind = GATEWAY_KINDS.tollgate;
  const replicas: Replica[] = [];
  for (let index = 0; index < 2; index++) {
    const dataDir = join(folder, `replica-${index}`);
    mkdirSync(dataDir);
    const replica = new Replica({
      nodeArguments: kind.nodeArguments,
      env: {
        ...kind.env,
        TOLLGATE_DATA_DIR: dataDir,
        DATABASE_URL: `postgres://owner@127.0.0.1:${port}/books`,
        OPENAI_BASE_URL: upstreamUrl,
        TOLLGATE_GRANTS_WAIT: String(grantsWait),
      },
      port: await freePort(),
      upstreamKey: `sk-replica-${index}`,
      logFile: join(folder, `replica-${index}.log`),
    });
    await replica.start();
    replicas.push(replica);
  }
  return replicas;
}

/** Waits until every line is in the books, or time is up; then the gateways stop in good order. */
async function booksOf(url: string, lines: number, replicas: readonly Replica[]): Promise<BookedCall[]> {
  const { readBooks } = GATEWAY_KINDS.tollgate;
  const sql = openClient(url, 1);
  try {
    const deadlineMs = performance.now() + CALM_MS;
    while (performance.now() < deadlineMs) {
      if ((await readBooks(sql)).length >= lines) break;
      await delay(250);
    }
    await Promise.all(replicas.map((replica) => replica.stop()));
    return await readBooks(sql);
  } finally {
    await closeClient(sql);
  }
}

function dollars(amount: bigint): string {
  return (Number(amount) / 1e12).toFixed(4);
}

/** Every promise that a row breaks. */
export function brokenStorePromises(row: StoreRow): string[] {
  const broken: string[] = [];
  const mayLose = row.name.includes('one gone');
  if (Number(row.overUsd) > Number(row.boundUsd)) broken.push(`${row.name}: $${row.overUsd} over`);
  if (row.lost > 0 && !mayLose) broken.push(`${row.name}: ${row.lost} calls lost ($${row.lostUsd})`);
  if (row.double > 0) broken.push(`${row.name}: ${row.double} calls twice`);
  if (row.wrong > 0) broken.push(`${row.name}: ${row.wrong} calls at another cost`);
  if (row.calls < 20) broken.push(`${row.name}: only ${row.calls} calls`);
  return broken;
}

const COLUMNS = [
  'case',
  'calls',
  'billed',
  'over',
  'bound',
  'lost',
  'lost in $',
  'double',
  '503s',
  'seconds',
];

/** The rows as cells, the head first. */
export function storeCells(rows: readonly StoreRow[]): string[][] {
  return [
    COLUMNS,
    ...rows.map((row) => [
      row.name,
      String(row.calls),
      `$${row.billedUsd}`,
      `$${row.overUsd}`,
      `$${row.boundUsd}`,
      String(row.lost),
      `$${row.lostUsd}`,
      String(row.double),
      String(row.unavailable),
      row.seconds.toFixed(0),
    ]),
  ];
}

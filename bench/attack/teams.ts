/**
 * Many teams: each with a budget of its own and calls on all replicas, first without and then with a limit of the whole
 * installation above them. Afterwards every page of the console and every query of the dashboards is asked for. What
 * counts is that the ledger equals the upstream's invoice, how fast the calls went, and how long the pages took.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { Pool } from 'undici';
import { usd } from '../../src/domain/money.ts';
import { formatUsd } from '../../src/domain/quantities.ts';
import type { Sql } from '../../src/store/connection/sql.ts';
import { closeClient, openClient } from '../../src/store/database.ts';
import { adminPages } from '../pages/admin-pages.ts';
import { dashboardPages } from '../pages/list.ts';
import { CitusCluster } from './citus.ts';
import { change, create, GATEWAY_KINDS, makeTeam, read } from './gateways.ts';
import { type Citus, type House, inHouse } from './house.ts';
import { judge, type Verdict } from './judge.ts';
import { align } from './promises.ts';

export interface TeamsRun {
  citus: Citus | null;
  replicas: number;
  workers: number;
  /** Calls at once over all replicas. */
  clients: number;
  teams: number;
  calls: number;
  /** Of each team. */
  budgetUsd: string;
  seed: number;
  progress(text: string): void;
}

/** Half of the calls. */
export interface TeamsPhase {
  calls: number;
  /** By status; 200 is an answer. */
  statuses: Record<string, number>;
  seconds: number;
  /** From the last answer until the ledger had every call. */
  behindSeconds: number;
  /** Holds that took their money out of a lease, and those that waited for one. */
  holds: { atOnce: number; waited: number };
  /** Percent of them that did not wait. */
  atOncePercent: number;
}

export interface TeamsRow {
  database: string;
  replicas: number;
  teams: number;
  withoutLimitAbove: TeamsPhase;
  withLimitAbove: TeamsPhase;
  verdict: Pick<Verdict, 'calls' | 'billed' | 'lost' | 'double' | 'wrong'>;
  /** In USD, as the upstream billed, and as events, rollups and the teams' counters have it; every call has a department and a tag. */
  sums: Record<(typeof SUMS)[number] | 'invoice' | 'above', string>;
  /** Why the instances' present epoch of the store's history began. */
  epochReason: string;
  /** Milliseconds, median of three. */
  pages: { name: string; ms: number }[];
  /** Pages that failed, and errors in the logs of the database servers. */
  sqlErrors: string[];
}

const PAGE_READS = 3;
const CALM_MS = 120_000;
const POLL_MS = 250;
const TEAMS_AT_ONCE = 16;
/** The most that all may spend: it binds nobody, and every call holds of it. */
const ABOVE_USD = '100000.00';

/** What has to be the invoice, to the last digit. */
const SUMS = [
  'events',
  'quarters',
  'days',
  'departments',
  'departmentDays',
  'tags',
  'tagDays',
  'valueDays',
  'counters',
] as const;
const DEPARTMENTS = 4;
const TAG = 'project';
/** The reason of the first epoch. */
const NEW_LEDGER = 'the ledger is new here';

interface Team {
  teamId: string;
  key: string;
  /** What its calls send as `x-tollgate-tags`. */
  tags?: string;
}

export async function runTeams(run: TeamsRun): Promise<TeamsRow> {
  const { citus, replicas, workers, budgetUsd, progress, seed } = run;
  const simulator = ['--seed', String(seed)];
  return inHouse({ gateway: 'tollgate', replicas, workers, budgetUsd, citus, simulator }, async (house) => {
    const sql = openClient(house.postgres.url, 1);
    try {
      const teams = await makeTeams(house, run);
      progress(`${teams.length} teams made`);
      const half = Math.floor(run.calls / 2);
      const withoutLimitAbove = await callAll(house, sql, teams, { ...run, calls: half });
      const window = { type: 'lifetime' };
      const rule = {
        subject: { type: 'org' },
        meter: 'cost_usd',
        amount: ABOVE_USD,
        window,
        enforcement: 'strict',
      };
      await create(house.replicas[0]!.url, 'limits', rule);
      await delay(1_000);
      const withLimitAbove = await callAll(house, sql, teams, { ...run, calls: run.calls - half });
      const { pages, failures } = await timePages(house, sql, teams[0]!.teamId);
      progress('pages read');
      const lines = await house.upstream.lines();
      const booked = await GATEWAY_KINDS.tollgate.readBooks(sql);
      const verdict = judge({ amount: usd(budgetUsd) * BigInt(run.teams), lines, booked, denials: [] });
      return {
        database: await describeDatabase(sql, citus),
        replicas,
        teams: run.teams,
        withoutLimitAbove,
        withLimitAbove,
        verdict,
        sums: await readSums(sql, verdict.billed),
        epochReason: await readEpochReason(sql),
        pages,
        sqlErrors: [...failures, ...errorsOf(house)],
      };
    } finally {
      await closeClient(sql);
    }
  });
}

async function makeTeams({ replicas }: House, { teams, budgetUsd }: TeamsRun): Promise<Team[]> {
  const first = replicas[0]!.url;
  await create(first, 'tags', { name: TAG });
  const departments: string[] = [];
  for (let index = 0; index < DEPARTMENTS; index++) {
    const { id } = await create(first, 'departments', { name: `department-${index}` });
    departments.push(String(id));
  }
  const made: Team[] = [];
  let next = 0;
  const make = async () => {
    for (let index = next++; index < teams; index = next++) {
      const { url } = replicas[index % replicas.length]!;
      const team = await makeTeam(url, `team-${index}`, budgetUsd);
      await change(url, `teams/${team.teamId}`, { department_id: departments[index % DEPARTMENTS] });
      made.push({ ...team, tags: `${TAG}=p${index}` });
    }
  };
  await Promise.all(Array.from({ length: TEAMS_AT_ONCE }, make));
  return made;
}

/** How calls come, if not in turn on all replicas, each as soon as one has ended. */
export interface Pace {
  /** On which replica, as a load balancer would say. */
  replicaOf?(index: number): number;
  callsPerSecond?: number;
}

/** Calls of all teams in turn. */
export async function callAll(
  house: House,
  sql: Sql,
  teams: readonly Team[],
  run: Pick<TeamsRun, 'clients' | 'calls' | 'progress'> & Pace,
): Promise<TeamsPhase> {
  const pools = house.replicas.map(({ url }) => new Pool(url, { connections: run.clients, pipelining: 1 }));
  const statuses: Record<string, number> = {};
  const before = await readReservations(house);
  const startedMs = performance.now();
  let next = 0;
  const client = async () => {
    for (let index = next++; index < run.calls; index = next++) {
      if (index % 10_000 === 0) run.progress(`${index} calls, ${JSON.stringify(statuses)}`);
      if (run.callsPerSecond)
        await delay(Math.max(0, startedMs + (index * 1000) / run.callsPerSecond - performance.now()));
      const replica = run.replicaOf?.(index) ?? index % pools.length;
      const status = await call(pools[replica]!, teams[index % teams.length]!);
      statuses[status] = (statuses[status] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: run.clients }, client));
  const seconds = (performance.now() - startedMs) / 1000;
  await untilBooked(house, sql);
  const behindSeconds = (performance.now() - startedMs) / 1000 - seconds;
  const after = await readReservations(house);
  await Promise.all(pools.map((pool) => pool.close()));
  const holds = { atOnce: after.atOnce - before.atOnce, waited: after.waited - before.waited };
  return {
    calls: run.calls,
    statuses,
    seconds,
    behindSeconds,
    holds,
    atOncePercent: atOncePercentOf([holds]),
  };
}

/** Percent of holds that did not wait for a lease. */
export function atOncePercentOf(phases: readonly TeamsPhase['holds'][]): number {
  const sum = (pick: (holds: TeamsPhase['holds']) => number) =>
    phases.reduce((total, each) => total + pick(each), 0);
  const atOnce = sum((holds) => holds.atOnce);
  return (100 * atOnce) / Math.max(1, atOnce + sum((holds) => holds.waited));
}

const BODY = JSON.stringify({
  model: 'gpt-4o-mini',
  messages: [{ role: 'user', content: 'Name three bridges.' }],
  max_completion_tokens: 100,
});

/** Returns the status; of an error with its code. */
async function call(pool: Pool, { key, tags }: Team): Promise<string> {
  const headers = {
    authorization: `Bearer ${key}`,
    'content-type': 'application/json',
    ...(tags && { 'x-tollgate-tags': tags }),
  };
  const answer = await pool.request({ path: '/v1/chat/completions', method: 'POST', headers, body: BODY });
  if (answer.statusCode < 400) {
    await answer.body.dump();
    return String(answer.statusCode);
  }
  const { error } = (await answer.body.json()) as { error?: { code?: string } };
  return `${answer.statusCode} ${error?.code ?? ''}`;
}

async function readReservations({ replicas }: House) {
  const pages = await Promise.all(replicas.map(async ({ url }) => (await fetch(`${url}/metrics`)).text()));
  const sum = (sample: string) =>
    pages.reduce((total, page) => total + Number(page.split(`\n${sample} `)[1]?.split('\n', 1)[0] ?? 0), 0);
  return {
    atOnce: sum('tollgate_reservations_total{waited="no"}'),
    waited: sum('tollgate_reservations_total{waited="yes"}'),
  };
}

/** Waits until the ledger has as many calls as the invoice, or time is up: what is missing then is a finding. */
async function untilBooked({ upstream }: House, sql: Sql): Promise<void> {
  const deadlineMs = performance.now() + CALM_MS;
  const billed = await upstream.billed();
  while (performance.now() < deadlineMs) {
    const [row] = await sql<
      { cost: string }[]
    >`select coalesce(sum(cost_usd), 0)::text as cost from usage_days`;
    if (usd(row!.cost) >= billed) return;
    await delay(POLL_MS);
  }
}

async function timePages({ replicas }: House, sql: Sql, teamId: string) {
  const now = new Date();
  const url = replicas[0]!.url;
  const asked: [string, () => Promise<unknown>][] = [
    ...adminPages(now, teamId).map(({ name, path }): [string, () => Promise<unknown>] => [
      `console, ${name}`,
      () => read(url, path),
    ]),
    ...dashboardPages(now).map(({ name, text }): [string, () => Promise<unknown>] => [
      `dashboard, ${name}`,
      () => sql.unsafe(text).execute(),
    ]),
  ];
  const pages: { name: string; ms: number }[] = [];
  const failures: string[] = [];
  for (const [name, ask] of asked) {
    const times: number[] = [];
    for (let again = 0; again < PAGE_READS; again++) {
      const startedMs = performance.now();
      const failed = await ask().then(() => null, String);
      if (failed !== null) failures.push(`${name}: ${failed}`);
      times.push(performance.now() - startedMs);
    }
    times.sort((a, b) => a - b);
    pages.push({ name, ms: times[1]! });
  }
  return { pages, failures };
}

async function readSums(sql: Sql, billed: bigint): Promise<TeamsRow['sums']> {
  const sum = async (query: string) => {
    const [row] = await sql.unsafe<{ cost: string }[]>(`select coalesce(${query}, 0)::text as cost`);
    return formatUsd(usd(row!.cost));
  };
  return {
    invoice: formatUsd(billed),
    events: await sum('(select sum(cost_usd) from usage_events)'),
    quarters: await sum('(select sum(cost_usd) from usage_rollups)'),
    days: await sum('(select sum(cost_usd) from usage_days)'),
    departments: await sum('(select sum(cost_usd) from usage_departments)'),
    departmentDays: await sum('(select sum(cost_usd) from usage_department_days)'),
    tags: await sum('(select sum(cost_usd) from usage_tags)'),
    tagDays: await sum('(select sum(cost_usd) from usage_tag_days)'),
    valueDays: await sum('(select sum(cost_usd) from usage_value_days)'),
    counters: await sum(`(select sum(settled) from counters where source = 'grant')`),
    above: await sum(`(select sum(settled) from counters where subject_type = 'org')`),
  };
}

async function readEpochReason(sql: Sql): Promise<string> {
  const [row] = await sql<{ reason: string }[]>`select reason from store_history`;
  return row!.reason;
}

async function describeDatabase(sql: Sql, citus: Citus | null): Promise<string> {
  const [row] = await sql<{ version: string }[]>`select split_part(version(), ' ', 2) as version`;
  if (!citus?.shards) return `PostgreSQL ${row!.version}`;
  const [extension] = await sql<{ version: string }[]>`select split_part(citus_version(), ' ', 2) as version`;
  return `PostgreSQL ${row!.version}, Citus ${extension!.version}, ${citus.shards} shards on 2 workers`;
}

/** Lines of the servers' logs, without those about who came while a server was starting. */
function errorsOf({ postgres }: House): string[] {
  if (!(postgres instanceof CitusCluster)) return [];
  const lines = postgres.logFiles.flatMap((file) => readFileSync(file, 'utf8').split('\n'));
  return lines.filter(
    (line) => / (ERROR|FATAL|PANIC): /.test(line) && !/not yet accepting|is starting up/.test(line),
  );
}

/** A row in words. */
export function describeTeams(row: TeamsRow): string {
  const phase = (name: string, { calls, seconds, behindSeconds, atOncePercent, statuses }: TeamsPhase) =>
    `${name}: ${calls} calls in ${seconds.toFixed(1)} s, ${(calls / seconds).toFixed(0)} calls/s, the ledger ` +
    `${behindSeconds.toFixed(1)} s behind, ${atOncePercent.toFixed(1)} % reserved without waiting, ${JSON.stringify(statuses)}`;
  const { calls, lost, double, wrong } = row.verdict;
  return [
    `${row.database}; ${row.replicas} replicas, ${row.teams} teams`,
    phase('without a limit above the teams', row.withoutLimitAbove),
    phase('with a limit above the teams', row.withLimitAbove),
    `invoice: ${calls} calls, ${lost} lost, ${double} double, ${wrong} wrong; USD ${JSON.stringify(row.sums)}`,
    `pages that failed, and errors in the servers' logs: ${row.sqlErrors.length}`,
    align([['page', 'ms'], ...row.pages.map(({ name, ms }) => [name, ms.toFixed(0)])]),
  ].join('\n');
}

/** Every promise that a row breaks. */
export function brokenTeamsPromises(row: TeamsRow): string[] {
  const { verdict, sums, epochReason, sqlErrors, withLimitAbove } = row;
  const broken: string[] = [];
  const { lost, double, wrong } = verdict;
  if (lost + double + wrong > 0) broken.push(`${lost} calls lost, ${double} double, ${wrong} wrong`);
  if (epochReason !== NEW_LEDGER) broken.push(`the store was taken for one that went back: ${epochReason}`);
  for (const name of SUMS) {
    if (sums[name] !== sums.invoice)
      broken.push(`the ${name} sum up to $${sums[name]}, the invoice to $${sums.invoice}`);
  }
  if (withLimitAbove.calls > 0 && sums.above !== sums.invoice)
    broken.push(`the counter above the teams has $${sums.above}, the invoice $${sums.invoice}`);
  for (const line of sqlErrors.slice(0, 20)) broken.push(line);
  return broken;
}

/**
 * Several upstreams that fail in turn: one that dies and comes back, one that becomes slow, one that answers 502. Owns: their
 * faults, the clients, and how long it takes until new calls are as quick as before. The books are the judge's.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { usd } from '../../src/domain/money.ts';
import { formatUsd } from '../../src/domain/quantities.ts';
import { closeClient, openClient } from '../../src/store/database.ts';
import type { Call } from './calls.ts';
import { Doors } from './clients.ts';
import { Switch } from './cluster.ts';
import { GATEWAY_KINDS } from './gateways.ts';
import { type House, inHouse } from './house.ts';
import { judge, type Verdict } from './judge.ts';
import { Upstream } from './upstream.ts';

export interface UpstreamsRun {
  clients: number;
  budgetUsd: string;
  /** How long each fault lasts, and how long all is well before each. */
  seconds: number;
  seed: number;
  progress(text: string): void;
}

const FAULTS = ['dying', 'slow', 'bad gateway'] as const;
type FaultName = (typeof FAULTS)[number];

export interface FaultRow {
  fault: FaultName;
  calls: number;
  /** Of the calls before it, and of those that began later than {@link RECOVERED_MS} after it. */
  p99BeforeMs: number;
  p99AfterMs: number;
  /** Calls that did not get a response, of all while it lasted. */
  failed: number;
}

export interface UpstreamsRow {
  faults: FaultRow[];
  verdict: Verdict;
  moved: number;
}

/** By then new calls are as quick as before. */
const RECOVERED_MS = 10_000;
const USUAL_MS = 40;
const SLOW_MS = 3_000;
/** Between two calls of a client. */
const THINK_MS = 60;
/** On a machine that does much else. */
const TIMES_SLOWER_MOST = 4;
const MS_MORE = 150;

interface Made {
  startedMs: number;
  tookMs: number;
  isOk: boolean;
}

export async function runUpstreams(run: UpstreamsRun): Promise<UpstreamsRow> {
  const folder = mkdtempSync(join(tmpdir(), 'tollgate-upstreams-'));
  const options = ['--seed', String(run.seed), '--first-byte-ms', String(USUAL_MS), '--median-output', '20'];
  const upstreams = await Promise.all(
    FAULTS.map((_, at) => Upstream.start(join(folder, `upstream-${at}.log`), options)),
  );
  const [dying] = upstreams as [Upstream];
  const gate = await Switch.open(Number(new URL(dying.url).port));
  const file = join(folder, 'tollgate.yaml');
  writeFileSync(
    file,
    configOf([`http://127.0.0.1:${gate.port}/v1`, ...upstreams.slice(1).map(({ url }) => url)]),
  );
  const house = { gateway: 'tollgate', replicas: 1, workers: 1, simulator: null } as const;
  const env = { TOLLGATE_CONFIG_FILE: file };
  try {
    return await inHouse({ ...house, budgetUsd: run.budgetUsd, env }, (built) =>
      attack(run, built, upstreams, gate),
    );
  } finally {
    gate.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

function configOf(urls: readonly string[]): string {
  const upstreams = urls.map(
    (url, at) =>
      `  - { name: upstream-${at}, base_url: "${url}", key: sk-${at}, timeouts: { connect_ms: 2000 } }`,
  );
  return `upstreams:\n${upstreams.join('\n')}\n`;
}

async function attack(
  run: UpstreamsRun,
  house: House,
  upstreams: readonly Upstream[],
  gate: Switch,
): Promise<UpstreamsRow> {
  const [replica] = house.replicas;
  if (replica === undefined) throw new Error('there is one replica');
  const doors = new Doors(replica.url, house.key);
  const made: Made[] = [];
  let isOver = false;
  const clients = Array.from({ length: run.clients }, async (_, client) => {
    for (let turn = 0; !isOver; turn++) {
      const startedMs = performance.now();
      const { ending } = await doors.make(callOf(client, turn));
      made.push({ startedMs, tookMs: performance.now() - startedMs, isOk: ending === 'answered' });
      await delay(THINK_MS);
    }
  });
  const faults: FaultRow[] = [];
  for (const fault of FAULTS) {
    const beginMs = performance.now();
    await delay(run.seconds * 1000);
    run.progress(`${fault}: begins`);
    const faultMs = performance.now();
    await begin(fault, upstreams, gate);
    await delay(run.seconds * 1000 + RECOVERED_MS);
    const endMs = performance.now();
    await end(fault, upstreams, gate);
    const row = rowOf(fault, made, { beginMs, faultMs, endMs });
    run.progress(describeFault(row));
    faults.push(row);
  }
  isOver = true;
  await Promise.all(clients);
  const page = await (await fetch(`${replica.url}/metrics`)).text();
  const moved = [...page.matchAll(/^tollgate_upstream_moved_calls_total\{.*\} (\d+)$/gm)];
  // The orderly end: everything is in the ledger then.
  await replica.stop();
  const sql = openClient(house.postgres.url, 1);
  try {
    const booked = await GATEWAY_KINDS.tollgate.readBooks(sql);
    const lines = (await Promise.all(upstreams.map((each) => each.lines()))).flat();
    const verdict = judge({ amount: usd(run.budgetUsd), lines, booked, denials: [] });
    return { faults, verdict, moved: moved.reduce((sum, [, count]) => sum + Number(count), 0) };
  } finally {
    await closeClient(sql);
  }
}

function callOf(client: number, turn: number): Call {
  const content = `client ${client}, turn ${turn}`;
  return {
    client: 'raw',
    path: '/chat/completions',
    body: {
      model: 'gpt-4o-mini',
      max_completion_tokens: 40,
      stream: turn % 2 === 0,
      messages: [{ role: 'user', content }],
    },
    directives: 'output=20',
  };
}

async function begin(fault: FaultName, [, slow, bad]: readonly Upstream[], gate: Switch): Promise<void> {
  if (fault === 'dying') gate.die();
  else if (fault === 'slow') await slow?.setProfile({ firstByteMs: SLOW_MS });
  else await bad?.setProfile({ faults: { html_502: 1 } });
}

async function end(fault: FaultName, [, slow, bad]: readonly Upstream[], gate: Switch): Promise<void> {
  if (fault === 'dying') await gate.revive();
  else if (fault === 'slow') await slow?.setProfile({ firstByteMs: USUAL_MS });
  else await bad?.setProfile({ faults: {} });
}

interface Span {
  beginMs: number;
  faultMs: number;
  endMs: number;
}

function rowOf(fault: FaultName, made: readonly Made[], { beginMs, faultMs, endMs }: Span): FaultRow {
  const within = (fromMs: number, toMs: number) =>
    made.filter(({ startedMs }) => startedMs >= fromMs && startedMs < toMs);
  const before = within(beginMs, faultMs - USUAL_MS);
  const during = within(faultMs, endMs);
  const after = within(faultMs + RECOVERED_MS, endMs);
  return {
    fault,
    calls: during.length,
    p99BeforeMs: p99(before),
    p99AfterMs: p99(after),
    failed: during.filter(({ isOk }) => !isOk).length,
  };
}

function p99(made: readonly Made[]): number {
  const times = made.map(({ tookMs }) => tookMs).sort((a, b) => a - b);
  return times[Math.min(times.length - 1, Math.floor(times.length * 0.99))] ?? 0;
}

function describeFault({ fault, calls, failed, p99BeforeMs, p99AfterMs }: FaultRow): string {
  return `${fault}: ${calls} calls, ${failed} without a response; p99 ${p99BeforeMs.toFixed(0)} ms before, ${p99AfterMs.toFixed(0)} ms after 10 s`;
}

/** A row in words. */
export function describeUpstreams({ faults, verdict, moved }: UpstreamsRow): string {
  const books =
    `${verdict.calls} lines billed $${formatUsd(verdict.billed)}: ${verdict.lost} lost, ${verdict.double} double, ` +
    `${verdict.wrong} wrong, overspent $${formatUsd(verdict.overspend)}, $${formatUsd(verdict.unknown)} unknown; ${moved} calls moved on`;
  return [...faults.map(describeFault), books].join('\n');
}

/** Every promise that a row breaks. */
export function brokenUpstreamsPromises({ faults, verdict, moved }: UpstreamsRow): string[] {
  const broken: string[] = [];
  if (verdict.lost > 0) broken.push(`${verdict.lost} calls are in no ledger`);
  if (verdict.double > 0) broken.push(`${verdict.double} calls are in the ledger twice`);
  if (verdict.wrong > 0) broken.push(`${verdict.wrong} calls are charged another cost`);
  if (verdict.overspend > 0n) broken.push(`overspent $${formatUsd(verdict.overspend)}`);
  if (moved === 0) broken.push('no call went to another upstream');
  for (const { fault, calls, failed, p99BeforeMs, p99AfterMs } of faults) {
    if (p99AfterMs > p99BeforeMs * TIMES_SLOWER_MOST + MS_MORE)
      broken.push(`${fault}: p99 is ${p99AfterMs.toFixed(0)} ms, ${p99BeforeMs.toFixed(0)} ms before`);
    if (failed > calls / 10) broken.push(`${fault}: ${failed} of ${calls} calls got no response`);
  }
  return broken;
}

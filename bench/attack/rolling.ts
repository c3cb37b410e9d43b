/**
 * The rolling window: a limit of requests in any 60 seconds, shared by the replicas, asked for more than it allows in
 * every pattern that has beaten such limits. What counts is the most that was admitted in any 60 seconds, by the moments
 * in the calls' ids, and how much of the limit could be used.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { momentOfUuidV7 } from '../../src/ledger/ids.ts';
import { closeClient, openClient } from '../../src/store/database.ts';
import { smallestCall } from './calls.ts';
import { Doors } from './clients.ts';
import { create, makeTeam } from './gateways.ts';
import { type House, inHouse } from './house.ts';

export interface RollingRun {
  replicas: number;
  seconds: number;
  progress(text: string): void;
}

export interface RollingRow {
  pattern: string;
  replicas: number;
  seconds: number;
  asked: number;
  admitted: number;
  /** The most in any 60 s: as admitted, and as they came to the upstream. */
  most: number;
  mostAtUpstream: number;
  firstMinute: number;
  perMinute: number;
  kills: number;
}

interface Pattern {
  name: string;
  /** Milliseconds after the start at which calls are made, and to which replica. */
  calls(seconds: number, replicas: number): { atMs: number; replica: number }[];
  /** It asks evenly, so the limit can be used up. */
  even: boolean;
  kills: boolean;
}

const LIMIT = 600;
const WINDOW_MS = 60_000;
/** 1,000 a minute. */
const EVERY_MS = 60;
const USED_LEAST = 570;
const KILL_AFTER_MS = 30_000;
const AWAY_MS = 1_000;
const RAW_CALL = { ...smallestCall(0), client: 'raw' as const, directives: 'first_byte_ms=20' };

const evenly =
  (replicaOf: (index: number, replicas: number) => number): Pattern['calls'] =>
  (seconds, replicas) =>
    Array.from({ length: Math.floor((seconds * 1000) / EVERY_MS) }, (_, index) => ({
      atMs: index * EVERY_MS,
      replica: replicaOf(index, replicas),
    }));

/** 700 at once, then 300 at each of the moments around which a window of 60 s ends. */
const atTheEdges: Pattern['calls'] = (seconds, replicas) => {
  const bursts = [{ atMs: 0, size: 700 }];
  for (let edge = WINDOW_MS; edge < seconds * 1000; edge += WINDOW_MS) {
    for (const off of [-500, -10, 10, 500, 1000]) bursts.push({ atMs: edge + off, size: 300 });
  }
  return bursts.flatMap(({ atMs, size }) =>
    Array.from({ length: size }, (_, index) => ({ atMs, replica: index % replicas })),
  );
};

const PATTERNS: readonly Pattern[] = [
  { name: 'spread over all', calls: evenly((index, replicas) => index % replicas), even: true, kills: false },
  { name: 'all on one', calls: evenly(() => 0), even: true, kills: false },
  { name: 'bursts at the edges', calls: atTheEdges, even: false, kills: false },
  {
    name: 'one killed each minute',
    calls: evenly((index, replicas) => index % replicas),
    even: true,
    kills: true,
  },
];

/** Runs the patterns without kills side by side, each with a team of its own, and then those with kills. */
export async function runRolling(run: RollingRun): Promise<RollingRow[]> {
  const rows: RollingRow[] = [];
  for (const kills of [false, true]) {
    const patterns = PATTERNS.filter((pattern) => pattern.kills === kills);
    run.progress(`${run.seconds} s of: ${patterns.map(({ name }) => name).join('; ')}`);
    const options = {
      gateway: 'tollgate' as const,
      replicas: run.replicas,
      budgetUsd: '1.00',
      simulator: [],
    };
    rows.push(
      ...(await inHouse(options, async (house) => {
        const over = new AbortController();
        const killing = kills ? killEachMinute(house, over.signal) : Promise.resolve(0);
        const asked = await Promise.all(patterns.map((pattern) => ask(house, pattern, run)));
        over.abort();
        const killed = await killing;
        const moments = await momentsOf(house);
        return asked.map((each) =>
          judgeWindow({ ...each, ...run, kills: killed }, moments.get(each.teamId) ?? []),
        );
      })),
    );
  }
  return rows;
}

interface Moment {
  admittedMs: number;
  /** Null: it was admitted, and killed on its way. */
  arrivedMs: number | null;
}

/** When the calls of each team were admitted and came to the upstream, once the replicas have ended in good order. */
async function momentsOf({ postgres, upstream, replicas }: House): Promise<Map<string, Moment[]>> {
  await Promise.all(replicas.map((replica) => replica.stop()));
  const lines = await upstream.lines();
  const arrivedAt = new Map(lines.map((line) => [line.client_request_id, Date.parse(line.at)]));
  const sql = openClient(postgres.url, 1);
  try {
    const events = await sql<{ id: string; team_id: string }[]>`select id, team_id from usage_events`;
    const byTeam = Map.groupBy(events, (event) => event.team_id);
    const moment = ({ id }: { id: string }) => ({
      admittedMs: momentOfUuidV7(id),
      arrivedMs: arrivedAt.get(id) ?? null,
    });
    return new Map([...byTeam].map(([teamId, own]) => [teamId, own.map(moment)]));
  } finally {
    await closeClient(sql);
  }
}

interface Asked extends RollingRun {
  pattern: Pattern;
  asked: number;
  kills: number;
}

function judgeWindow({ pattern, asked, kills, replicas, seconds }: Asked, moments: Moment[]): RollingRow {
  const admitted = moments.map(({ admittedMs }) => admittedMs);
  const firstMs = Math.min(...admitted);
  return {
    pattern: pattern.name,
    replicas,
    seconds,
    asked,
    admitted: admitted.length,
    most: mostInAWindow(admitted),
    mostAtUpstream: mostInAWindow(moments.map(({ arrivedMs }) => arrivedMs).filter((ms) => ms !== null)),
    firstMinute: admitted.filter((ms) => ms < firstMs + WINDOW_MS).length,
    perMinute: (admitted.length * WINDOW_MS) / (seconds * 1000),
    kills,
  };
}

/** The most moments in any window, its start inclusive, its end exclusive. */
export function mostInAWindow(moments: readonly number[]): number {
  const sorted = moments.toSorted((a, b) => a - b);
  let most = 0;
  let first = 0;
  for (let last = 0; last < sorted.length; last++) {
    while (sorted[last]! - sorted[first]! >= WINDOW_MS) first++;
    most = Math.max(most, last - first + 1);
  }
  return most;
}

async function ask(house: House, pattern: Pattern, { seconds, replicas }: RollingRun) {
  const { url } = house.replicas[0]!;
  const { teamId, key } = await makeTeam(url, pattern.name, '1000.00');
  await create(url, 'limits', {
    subject: { type: 'team', id: teamId },
    meter: 'requests',
    amount: String(LIMIT),
    window: { type: 'rolling', seconds: WINDOW_MS / 1000 },
    enforcement: 'strict',
  });
  const doors = house.replicas.map((replica) => new Doors(replica.url, key));
  const startMs = performance.now();
  const planned = pattern.calls(seconds, replicas).toSorted((a, b) => a.atMs - b.atMs);
  const underWay: Promise<unknown>[] = [];
  for (const { atMs, replica } of planned) {
    const waitMs = startMs + atMs - performance.now();
    if (waitMs > 0) await delay(waitMs);
    underWay.push(doors[replica]!.make(RAW_CALL));
  }
  await Promise.all(underWay);
  return { pattern, teamId, asked: planned.length };
}

/** Kills a replica each minute, in the middle of it, and starts it again. Answers how many. */
async function killEachMinute({ replicas }: House, signal: AbortSignal): Promise<number> {
  let kills = 0;
  const pause = (ms: number) => delay(ms, undefined, { signal }).catch(() => {});
  await pause(KILL_AFTER_MS);
  while (!signal.aborted) {
    const replica = replicas[kills++ % replicas.length]!;
    await replica.kill();
    await delay(AWAY_MS);
    await replica.start();
    await pause(WINDOW_MS);
  }
  return kills;
}

/** Every promise that a row breaks. */
export function brokenRollingPromises(row: RollingRow): string[] {
  const broken: string[] = [];
  const promise = (kept: boolean, text: string) => {
    if (!kept) broken.push(`${row.pattern}: ${text}`);
  };
  promise(row.most <= LIMIT, `${row.most} calls admitted in 60 s`);
  if (!PATTERNS.find(({ name }) => name === row.pattern)!.even) return broken;
  promise(row.firstMinute >= USED_LEAST, `only ${row.firstMinute} in the first minute`);
  promise(row.perMinute >= USED_LEAST, `only ${row.perMinute.toFixed(0)} a minute on average`);
  return broken;
}

/** The rows as cells, with a heading. */
export function rollingCells(rows: readonly RollingRow[]): string[][] {
  const heading = [
    'pattern',
    'replicas',
    'kills',
    'asked',
    'admitted',
    'most in 60 s',
    'at the upstream',
    'first minute',
    'a minute',
  ];
  const cells = rows.map((row) => [
    row.pattern,
    ...[row.replicas, row.kills, row.asked, row.admitted, row.most, row.mostAtUpstream, row.firstMinute].map(
      String,
    ),
    row.perMinute.toFixed(0),
  ]);
  return [heading, ...cells];
}

/**
 * The rolling window: a limit of requests in any 60 seconds, shared by the replicas, asked for more than it allows in
 * every pattern that has beaten such limits. What counts is the most that was admitted in any 60 seconds, by the moments
 * in the calls' ids, and how much of the limit could be used.
 */

import { setTimeout as delay } from 'node:timers/promises';
import { momentOfUuidV7 } from '../../src/domain/ids.ts';
import { closeClient, openClient } from '../../src/store/database.ts';
import { smallestCall } from './calls.ts';
import { Doors } from './clients.ts';
import { create, makeTeam } from './gateways.ts';
import { type Citus, type House, inHouse } from './house.ts';
import { judgeWindow, LIMIT, type Moment, type RollingRow, WINDOW_MS } from './window.ts';

export interface RollingRun {
  /** The database; missing: one PostgreSQL. */
  citus?: Citus | null;
  replicas: number;
  workers: number;
  seconds: number;
  progress(text: string): void;
}

interface Pattern {
  name: string;
  /** Milliseconds after the start at which calls are made, and to which replica. */
  calls(seconds: number, replicas: number): { atMs: number; replica: number }[];
  /** It asks evenly, so the limit can be used up. */
  even: boolean;
  kills: boolean;
}

/** 1,000 a minute. */
const EVERY_MS = 60;
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
      workers: run.workers,
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
        return asked.map(({ pattern: { name, even }, teamId, asked: count }) => {
          const { replicas, seconds } = run;
          const facts = { pattern: name, even, replicas, seconds, kills: killed, asked: count };
          return judgeWindow(facts, moments.get(teamId) ?? []);
        });
      })),
    );
  }
  return rows;
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

/**
 * `npm run bench -- --pages`: how long every query of the dashboards and pages takes on a ledger of millions of events, and
 * the page of metrics. Owns: the embedded Postgres that it fills, with the settings that every installation has.
 */
import type { Sql } from 'postgres';
import { closeClient, openClient } from '../../src/store/database.ts';
import { startEmbedded } from '../../src/store/embedded/supervisor.ts';
import { migrateDatabase } from '../../src/store/migrate.ts';
import { type Summary, summarize } from '../statistics.ts';
import { dashboardPages, type PageQuery } from './list.ts';
import { timeMetricsPage } from './metrics-page.ts';
import { rowsRead } from './rows.ts';
import { type SeedSize, seedLedger } from './seed.ts';

export interface PagesOptions extends SeedSize {
  /** How often each query runs; the table shows the median and the longest. */
  rounds: number;
}

const METRICS_GOAL_MS = 20;
const SCRAPES = 50;

/** Answers whether every goal was met. */
export async function benchPages(
  dir: string,
  options: PagesOptions,
  progress: (text: string) => void,
): Promise<boolean> {
  const server = await startEmbedded({ dataDir: dir });
  const sql = openClient(server.connection, 1);
  try {
    await migrateDatabase(server.connection);
    progress(
      `seeding ${options.events.toLocaleString('en')} events of ${options.teams} teams over ${options.days} days`,
    );
    await seedLedger(sql, options, progress);
    const rows: Timed[] = [];
    for (const query of dashboardPages(new Date())) rows.push(await timed(sql, query, options.rounds));
    const page = await timeMetricsPage(sql, SCRAPES);
    rows.push({
      name: `/metrics, ${page.series} series`,
      timeMs: summarize(page.timesMs),
      goalMs: METRICS_GOAL_MS,
      rows: 0,
    });
    console.log(table(rows));
    return rows.every(({ timeMs, goalMs }) => timeMs.median < goalMs);
  } finally {
    await closeClient(sql);
    await server.stop();
  }
}

interface Timed {
  name: string;
  timeMs: Summary;
  goalMs: number;
  rows: number;
}

async function timed(sql: Sql, query: PageQuery, rounds: number): Promise<Timed> {
  const read = await rowsRead(sql, query);
  const timesMs: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const startMs = performance.now();
    await sql.unsafe(query.text, query.parameters as (string | number | boolean | null)[] | undefined);
    timesMs.push(performance.now() - startMs);
  }
  return {
    name: query.name,
    timeMs: summarize(timesMs),
    goalMs: query.goalMs,
    rows: [...read.values()].reduce((sum, count) => sum + count, 0),
  };
}

function table(rows: Timed[]): string {
  const lines = rows.map(({ name, timeMs, goalMs, rows: read }) =>
    [
      name.padEnd(44),
      `${timeMs.median.toFixed(1)} ms`.padStart(11),
      `${timeMs.max.toFixed(1)} ms`.padStart(11),
      read === 0 ? ''.padStart(12) : read.toLocaleString('en').padStart(12),
      timeMs.median < goalMs ? '' : `  MISSES ${goalMs} ms`,
    ].join(''),
  );
  return [
    `${'query'.padEnd(44)}${'median'.padStart(11)}${'longest'.padStart(11)}${'rows read'.padStart(12)}`,
    ...lines,
  ].join('\n');
}

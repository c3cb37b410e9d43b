/**
 * `npm run bench -- --pages`: how long every query of the dashboards and pages takes on a ledger of millions of events, and
 * the page of metrics. Owns: the embedded Postgres that it fills, with the settings that every installation has.
 */
import { closeClient, openClient, openDatabase } from '../../src/store/database.ts';
import { startEmbedded } from '../../src/store/embedded/supervisor.ts';
import { migrateDatabase } from '../../src/store/migrate.ts';
import { type Summary, summarize } from '../statistics.ts';
import { adminPages, openAdmin } from './admin-pages.ts';
import { dashboardPages } from './list.ts';
import { timeMetricsPage } from './metrics-page.ts';
import { rowsRead, rowsReadBy } from './rows.ts';
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
    const now = new Date();
    for (const query of dashboardPages(now)) {
      rows.push(await timed(query, options.rounds, await rowsRead(sql, query), () => sql.unsafe(query.text)));
    }
    const counting = openDatabase(server.connection, { hotConnectionsMax: 1, adminConnectionsMax: 1 });
    const database = openDatabase(server.connection);
    const ask = openAdmin(database);
    for (const page of adminPages(now)) {
      const read = await rowsReadBy(counting, () => openAdmin(counting)(page.path));
      rows.push(await timed(page, options.rounds, read, () => ask(page.path)));
    }
    const page = await timeMetricsPage(database, SCRAPES);
    await Promise.all([counting.close(), database.close()]);
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

async function timed(
  { name, goalMs }: { name: string; goalMs: number },
  rounds: number,
  read: Map<string, number>,
  ask: () => PromiseLike<unknown>,
): Promise<Timed> {
  const timesMs: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const startMs = performance.now();
    await ask();
    timesMs.push(performance.now() - startMs);
  }
  const rows = [...read.values()].reduce((sum, count) => sum + count, 0);
  return { name, goalMs, rows, timeMs: summarize(timesMs) };
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

/** How long the page of metrics takes over HTTP when it has as many series as it can have. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ERROR_CODES } from '../../src/domain/errors.ts';
import type { Database } from '../../src/store/database.ts';
import { readWatch } from '../../src/store/watch.ts';
import { TEAM_CAP } from '../../src/telemetry/labels.ts';
import { STAGES, UPSTREAM_ERRORS } from '../../src/telemetry/measurement.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';

const TEAMS = 200;
const MODELS = 40;

export interface MetricsPage {
  series: number;
  /** Milliseconds of each of so many scrapes. */
  timesMs: number[];
}

export async function timeMetricsPage({ db }: Database, scrapes: number): Promise<MetricsPage> {
  const metrics = createMetrics({ version: 'bench' });
  fill(metrics);
  const watched = { ...(await readWatch(db, TEAM_CAP)), roundTripSeconds: 0.001 };
  metrics.readGaugesFrom(() => ({
    teams: watched.budgets.map(({ team }) => ({ team, heldPicoUsd: 1n, leasedPicoUsd: 2n })),
    inFlightCalls: 0,
    openSessions: 0,
    waitingCalls: 0,
    openBreakers: { team: 0, upstream: 0 },
    upstreamConnectionsUsed: 0,
    upstreamConnectionsMax: 512,
    upstreamWaitingCalls: 0,
    journalPendingBytes: 0,
    flushBacklogEvents: 0,
    flushLagSeconds: 0,
    journalSyncLagSeconds: 0,
    postgresUp: true,
    upstreamLimits: null,
    upstreams: [],
    installation: watched,
  }));
  const server = createServer((_, response) => void metrics.render().then((page) => response.end(page)));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  try {
    let page = '';
    const timesMs: number[] = [];
    for (let scrape = 0; scrape < scrapes; scrape++) {
      const startMs = performance.now();
      page = await (await fetch(url)).text();
      timesMs.push(performance.now() - startMs);
    }
    return {
      series: page.split('\n').filter((line) => line !== '' && !line.startsWith('#')).length,
      timesMs,
    };
  } finally {
    server.close();
    server.closeAllConnections();
  }
}

/** Calls of more teams and models than have labels, by every operation that is recorded, and every error code. */
function fill(metrics: ReturnType<typeof createMetrics>): void {
  const operations = ['chat.completions', 'responses', 'embeddings', 'completions', 'moderations'] as const;
  for (let n = 0; n < TEAMS; n++) {
    metrics.recordCall({
      operation: operations[n % operations.length]!,
      outcome: 'settled',
      team: `team-${n}`,
      model: `model-${n % MODELS}`,
      usage: {
        input_tokens: 9,
        cached_input_tokens: 1,
        cache_write_tokens: 1,
        output_tokens: 9,
        reasoning_tokens: 1,
      },
      costPicoUsd: 1_234_567_890n,
      overrunPicoUsd: 0n,
      stageUs: Object.fromEntries(STAGES.map((stage) => [stage, n])),
      firstByteUs: 100_000,
      upstreamUs: 900_000,
      stream: true,
      upstreamError: UPSTREAM_ERRORS[n % UPSTREAM_ERRORS.length]!,
      isRetry: n % 2 === 0,
      isOutputCut: false,
      waited: false,
    });
  }
  for (const code of ERROR_CODES) metrics.recordError(code, null, false);
}

/** Calls and gauges to feed to metrics, and the page as Prometheus reads it. */
import type { CallMeasurement, Gauges, InstallationGauges } from '../../src/telemetry/measurement.ts';

export function call(changes: Partial<CallMeasurement> = {}): CallMeasurement {
  return {
    operation: 'chat.completions',
    outcome: 'settled',
    team: 'research',
    model: 'gpt-5-mini',
    usage: {
      input_tokens: 100,
      cached_input_tokens: 30,
      cache_write_tokens: 20,
      output_tokens: 7,
      reasoning_tokens: 5,
    },
    costPicoUsd: 1_250_000_000_000n,
    overrunPicoUsd: 0n,
    waited: false,
    stageUs: { route: 12, forward: 600_000 },
    firstByteUs: 300_000,
    upstreamUs: 600_000,
    stream: false,
    upstreamError: null,
    isRetry: false,
    isOutputCut: false,
    ...changes,
  };
}

export function gauges(changes: Partial<Gauges> = {}): Gauges {
  return {
    teams: [],
    inFlightCalls: 3,
    openSessions: 2,
    waitingCalls: 2,
    openBreakers: { team: 1, upstream: 0 },
    upstreamConnectionsUsed: 3,
    upstreamConnectionsMax: 512,
    upstreamWaitingCalls: 1,
    journalPendingBytes: 512,
    flushBacklogEvents: 9,
    flushLagSeconds: 0,
    journalSyncLagSeconds: 0,
    postgresUp: true,
    upstreamLimits: null,
    upstreams: [
      {
        upstream: 'openai',
        isUp: true,
        firstByteMs: 250,
        calls: { settled: 3, voided: 2, unknown: 1 },
        movedCalls: 1,
        costPicoUsd: 5_000_000_000n,
      },
    ],
    installation: null,
    ...changes,
  };
}

export function installation(changes: Partial<InstallationGauges> = {}): InstallationGauges {
  return {
    budgets: [],
    overLimits: [],
    unresolved: 0n,
    unpartitionedEvents: 0,
    archiveWaitingMonths: 0,
    quarantinedEvents: 0,
    tagValuesUsedRatio: 0.25,
    jobs: { asked: 0, running: 0, held: 0n, oldestSeconds: 0 },
    unexplained: { final: 0n, moving: 0n },
    roundTripSeconds: 0.001,
    connections: new Map([['active', 1]]),
    ...changes,
  };
}

export const seriesOf = (page: string) =>
  page.split('\n').filter((line) => line !== '' && !line.startsWith('#'));

/** The page as Prometheus reads it: value by series. Throws on a line that is not in the format, or there twice. */
export function parse(page: string): Map<string, number> {
  const values = new Map<string, number>();
  for (const line of seriesOf(page)) {
    const match = /^([a-z_0-9]+(?:\{(?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)+\})?) (\S+)$/.exec(line);
    if (!match) throw new Error(`not a series: ${line}`);
    if (values.has(match[1]!)) throw new Error(`twice: ${line}`);
    values.set(match[1]!, Number(match[2]));
  }
  return values;
}

/** Without the process's own. */
export const ours = (page: string) => page.slice(0, page.indexOf('# HELP process_'));

/** What the metrics show of this process: its state at the moment of a scrape, and how long Postgres takes over the ledger's work. */
import type { LeaseTable } from '../admission/leases.ts';
import type { KeyCache } from '../auth/keys.ts';
import type { ConnectionShares } from '../domain/shares.ts';
import type { Breaker } from '../gateway/breaker.ts';
import type { Gateway } from '../gateway/gateway.ts';
import type { Watch } from '../jobs/watch.ts';
import type { LedgerStore } from '../ledger/heartbeat.ts';
import type { Journal } from '../ledger/journal.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Gauges, LedgerWork } from '../telemetry/measurement.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { UpstreamReading } from '../upstreams/health.ts';
import { LIMIT_STATES, type LimitTrust } from '../upstreams/trust.ts';
import type { FileUpstreams } from './upstreams.ts';

export interface StateOptions {
  ledger: Ledger;
  journal: Journal;
  gateway: Gateway;
  breaker: Breaker;
  connections: ConnectionShares;
  keys: KeyCache;
  watch: Watch;
  trust: LimitTrust | null;
  /** Null: there is one upstream. */
  file: FileUpstreams | null;
  /** Postgres's clock. */
  nowMs: number;
}

export function gauges({
  ledger,
  journal,
  gateway,
  breaker,
  connections,
  keys,
  watch,
  trust,
  file,
  nowMs,
}: StateOptions): Gauges {
  const { oldestMs } = ledger.flusher.backlog;
  const several = file?.readings() ?? null;
  const sum = (read: (reading: UpstreamReading) => number) =>
    several?.reduce((total, reading) => total + read(reading), 0) ?? null;
  return {
    teams: teamGauges(ledger.leases, keys, nowMs),
    inFlightCalls: gateway.inFlight,
    openSessions: gateway.lines.open,
    waitingCalls: ledger.waiting,
    openBreakers: {
      team: sum(({ openTeams }) => openTeams) ?? breaker.openTeams,
      upstream: sum(({ isBreakerOpen }) => Number(isBreakerOpen)) ?? Number(breaker.isUpstreamOpen),
    },
    upstreamConnectionsUsed: sum(({ connectionsUsed }) => connectionsUsed) ?? connections.used,
    upstreamConnectionsMax: sum(({ connectionsMax }) => connectionsMax) ?? connections.max,
    upstreams: (several ?? []).map(({ name, health }) => {
      const { calls, movedOn, cost } = health.sumOf(undefined);
      return {
        upstream: name,
        isUp: health.state === 'up',
        firstByteMs: health.firstByteMs,
        calls,
        movedCalls: movedOn,
        costPicoUsd: cost,
      };
    }),
    upstreamWaitingCalls: connections.waiting,
    journalPendingBytes: journal.pendingBytes,
    flushBacklogEvents: ledger.flusher.backlog.length,
    flushLagSeconds: oldestMs === null ? 0 : Math.max(0, nowMs - oldestMs) / 1000,
    journalSyncLagSeconds: journal.unsyncedMs / 1000,
    postgresUp: !ledger.degraded,
    upstreamLimits: several === null ? (trust?.counts() ?? null) : limitCounts(several),
    installation: watch.latest(),
  };
}

/** Of all upstreams together. */
function limitCounts(upstreams: readonly UpstreamReading[]): Gauges['upstreamLimits'] {
  const counts = { kept: 0, ignored: 0, unknown: 0 };
  for (const { trust } of upstreams)
    for (const state of LIMIT_STATES) counts[state] += trust?.counts()[state] ?? 0;
  return counts;
}

interface TeamGauge {
  team: string;
  heldPicoUsd: bigint;
  leasedPicoUsd: bigint;
}

/** The state of every team that calls here, from memory. Grants add up; limits do not, so of a team's pools the one that says most is shown. */
function teamGauges(leases: LeaseTable, keys: KeyCache, nowMs: number): Iterable<TeamGauge> {
  const pools = new Map<string, { teamId: string; held: bigint; free: bigint }>();
  for (const { spec, held, free } of leases.all()) {
    if (spec.meter !== 'cost_usd' || (spec.endsAtMs !== null && spec.endsAtMs <= nowMs)) continue;
    const id = spec.source === 'grant' ? spec.teamId : spec.id;
    const pool = pools.get(id) ?? { teamId: spec.teamId, held: 0n, free: 0n };
    pool.held += held;
    pool.free += free;
    pools.set(id, pool);
  }
  const teams = new Map<string, TeamGauge>();
  for (const { teamId, held, free } of pools.values()) {
    const name = keys.teamName(teamId);
    if (name === null) continue;
    const team = teams.get(teamId);
    if (!team) teams.set(teamId, { team: name, heldPicoUsd: held, leasedPicoUsd: held + free });
    else {
      if (held > team.heldPicoUsd) team.heldPicoUsd = held;
      if (held + free > team.leasedPicoUsd) team.leasedPicoUsd = held + free;
    }
  }
  return teams.values();
}

/** What the rest of the instance learns from the ledger's traffic with Postgres. */
export interface StoreListener {
  /** Postgres has learned of usage events. */
  moved(): void;
  /** A heartbeat brought the catalog's version. */
  catalogVersion(version: number): void;
}

/** The ledger's store with a stopwatch: how long Postgres takes over the ledger's work, and how often it fails. */
export function measuredStore(store: LedgerStore, metrics: Metrics, heard: StoreListener): LedgerStore {
  async function measured<T>(work: LedgerWork, ask: () => Promise<T>): Promise<T> {
    const startMs = performance.now();
    let failed = true;
    try {
      const answer = await ask();
      failed = false;
      return answer;
    } finally {
      metrics.recordLedgerWork(work, Math.round((performance.now() - startMs) * 1000), failed);
    }
  }
  return {
    requestLease: (request) => measured('lease', () => store.requestLease(request)),
    flush: async (batch) => {
      const result = await measured('flush', () => store.flush(batch));
      if (batch.events.length > 0) heard.moved();
      return result;
    },
    heartbeat: async (instanceId, seen) => {
      const reply = await measured('heartbeat', () => store.heartbeat(instanceId, seen));
      heard.catalogVersion(reply.catalogVersion);
      return reply;
    },
    // Now and then: nothing to watch.
    adopt: (...args) => store.adopt(...args),
    rejoin: (...args) => store.rejoin(...args),
    putBack: (...args) => store.putBack(...args),
    noteGap: (...args) => store.noteGap(...args),
    resumeLending: () => store.resumeLending(),
  };
}

/** What the metrics show of this moment, gathered from the rooms that know it. */
import type { KeyCache } from '../auth/key-cache.ts';
import type { Gateway } from '../gateway/gateway.ts';
import type { Watch } from '../jobs/watch.ts';
import type { Journal } from '../ledger/journal.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Gauges } from '../telemetry/measurement.ts';
import { teamGauges } from './gauges.ts';

export interface StateOptions {
  ledger: Ledger;
  journal: Journal;
  gateway: Gateway;
  keys: KeyCache;
  watch: Watch;
  /** Postgres's clock. */
  nowMs: number;
}

export function gauges({ ledger, journal, gateway, keys, watch, nowMs }: StateOptions): Gauges {
  const oldest = ledger.flusher.backlog[0];
  return {
    teams: teamGauges(ledger.leases, keys, nowMs),
    inFlightCalls: gateway.inFlight,
    waitingCalls: ledger.waiting,
    journalPendingBytes: ledger.journalPendingBytes,
    flushBacklogEvents: ledger.flusher.backlog.length,
    flushLagSeconds: oldest ? Math.max(0, nowMs - oldest.createdAtMs) / 1000 : 0,
    journalSyncLagSeconds: journal.unsyncedMs / 1000,
    postgresUp: !ledger.degraded,
    installation: watch.latest(),
  };
}

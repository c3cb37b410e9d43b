/** The ledger's store with a stopwatch: how long Postgres takes over the ledger's work, and how often it fails. */
import type { LedgerStore } from '../ledger/heartbeat.ts';
import type { LedgerWork } from '../telemetry/measurement.ts';
import type { Metrics } from '../telemetry/metrics.ts';

export function measuredStore(store: LedgerStore, metrics: Metrics): LedgerStore {
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
    flush: (batch) => measured('flush', () => store.flush(batch)),
    heartbeat: (instanceId) => measured('heartbeat', () => store.heartbeat(instanceId)),
    // Once, at the end of an instance: nothing to watch.
    adopt: (instanceId, events, status) => store.adopt(instanceId, events, status),
  };
}

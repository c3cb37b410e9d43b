/**
 * The ledger's timers: its heartbeat and its tick. Owns: how often they come. Does not own: what they do (ledger.ts).
 */
import type { Timers } from '../admission/waiting.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { startJob } from './every.ts';

/** It brings the catalog's version along, so a change binds on a quiet instance by then. */
const HEARTBEAT_MS = 800;
const TICK_MS = 100;
/** The tick of an instance that has had no call for a while: a wake-up costs an idle process more than its work does. */
const QUIET_TICK_MS = 500;

/** Keeps a ledger going until it is stopped. */
export function keepLedger(ledger: Ledger, timers: Timers): void {
  // A heartbeat that hangs on its connection holds up neither the next one nor a tick.
  const heartbeats = startJob({ timers, intervalMs: HEARTBEAT_MS, run: () => void ledger.sendHeartbeat() });
  const ticks = startJob({
    timers,
    intervalMs: () => (ledger.growsQuiet() ? QUIET_TICK_MS : TICK_MS),
    run: () => ledger.tick(),
  });
  ledger.keptBy({
    wake: ticks.restart,
    stop() {
      void heartbeats.stop();
      void ticks.stop();
    },
  });
}

/**
 * The ledger's timers: its heartbeat and its tick. Owns: how often they come. Does not own: what they do (ledger.ts).
 */
import type { Timers } from '../admission/waiting.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { every } from './every.ts';

/** It brings the catalog's version along, so a change binds on a quiet instance by then. */
const HEARTBEAT_MS = 800;
const TICK_MS = 100;
/** The tick of an instance that has had no call for a while: a wake-up costs an idle process more than its work does. */
const QUIET_TICK_MS = 500;

/** Keeps a ledger going until it is stopped. */
export function keepLedger(ledger: Ledger, timers: Timers): void {
  const stopHeartbeats = every(timers, HEARTBEAT_MS, () => void ledger.sendHeartbeat());
  let cancelTick = () => {};
  const schedule = () => {
    cancelTick();
    cancelTick = timers.after(ledger.growsQuiet() ? QUIET_TICK_MS : TICK_MS, () => {
      schedule();
      ledger.tick();
    });
  };
  schedule();
  ledger.keptBy({
    wake: schedule,
    stop() {
      stopHeartbeats();
      cancelTick();
    },
  });
}

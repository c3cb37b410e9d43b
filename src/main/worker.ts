/** One worker: an instance of the gateway like any other, that listens on the supervisor's port and stops when that says so. */
import cluster from 'node:cluster';
import type { Config } from '../config.ts';
import { type Assignment, Channel, type ToSupervisor, type ToWorker } from './channel.ts';
import type { Group } from './http/health.ts';
import { LINGER_MS, openLog, runUntilStopped, stopBeforeStart, stopSignals } from './process.ts';
import { type App, startApp } from './start.ts';

/** The supervisor itself waits a second for the slowest worker. */
const PAGE_WITHIN_MS = 2500;
const READY_WITHIN_MS = 1000;

/** Runs until the supervisor, a signal or the fence ends it; ends the process. */
export async function work(config: Config, version: string): Promise<void> {
  const signals = stopSignals();
  const { promise: assigned, resolve: assign } = Promise.withResolvers<Assignment>();
  let pids: readonly number[] = [process.pid];
  let app: App | null = null;
  const channel = new Channel<ToWorker, ToSupervisor>((message) => process.send?.(message, () => {}), {
    notices: {
      start: assign,
      pids: (all) => {
        pids = all;
      },
      counts: (counts) => app?.takeCounts(counts),
      stop: signals.ask,
      hurry: signals.hurryUp,
    },
    questions: {
      metrics: async () => app?.metrics.families() ?? [],
      ready: () => app?.blocked() === null,
      adopt: async () => {
        await app?.adopt();
        return null;
      },
    },
  });
  stopWithSupervisor(signals.ask);
  process.on('message', (message: object) => channel.receive(message));
  process.channel?.ref();

  const { number, workers, supervisorPid, connection, connectionsMax } = await assigned;
  const log = openLog(config, { worker: number });
  const group: Group = {
    supervisorPid,
    pids: () => pids,
    tellCounts: (counts) => channel.tell('counts', counts),
    metricsPage: () => channel.ask('page', PAGE_WITHIN_MS),
    isAnyReady: async () => (await channel.ask('ready', READY_WITHIN_MS)) ?? false,
  };
  const started = startApp({
    config: shareOf(config, workers),
    log,
    version,
    connection,
    connectionsMax,
    group,
  });
  app = await Promise.race([started, stopBeforeStart(signals.hurry)]);
  channel.tell('ready', { url: app.url, instanceId: app.instanceId });
  const exitCode = await runUntilStopped(app, signals, log);
  channel.tell('ended', await app.metrics.families());
  // The reply to this message proves that the one before was received.
  if (process.connected) await channel.ask('ready', READY_WITHIN_MS);
  process.exitCode = exitCode;
  setTimeout(() => process.exit(), LINGER_MS).unref();
  // By itself it would not end: the channel is open.
  if (process.connected) process.disconnect();
}

/** Of what the whole gateway may have, the part of one worker. */
function shareOf(config: Config, workers: number): Config {
  const share = (amount: number) => Math.max(1, Math.floor(amount / workers));
  return {
    ...config,
    upstreamConnections: share(config.upstreamConnections),
    bodyMemoryBytes: share(config.bodyMemoryBytes),
    freeCallsPerMinute: share(config.freeCallsPerMinute),
    sessionsPerKey: share(config.sessionsPerKey),
  };
}

/** A supervisor that was killed must not leave workers behind, but their calls may finish. */
function stopWithSupervisor(ask: (reason: string) => void): void {
  const { worker } = cluster;
  worker?.on('disconnect', () => {
    // Otherwise node:cluster ends the process on the spot.
    worker.exitedAfterDisconnect = true;
    ask('the supervisor is gone');
  });
}

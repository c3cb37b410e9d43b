/**
 * The wiring: config → store → ledger → gateway + admin → listen, and the way back. Owns: the order of start and stop.
 * Invariant: it listens only once journals of dead instances are in the ledger and this one's is open.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createAdmin } from '../admin/admin.ts';
import { loadOrMakeAdminKey } from '../auth/admin-key.ts';
import { Catalog } from '../auth/catalog.ts';
import { KeyCache } from '../auth/key-cache.ts';
import type { Config } from '../config.ts';
import { createGateway } from '../gateway/gateway.ts';
import { createClock } from '../ledger/clock.ts';
import { uuidV7 } from '../ledger/ids.ts';
import { Journal } from '../ledger/journal.ts';
import { Ledger } from '../ledger/ledger.ts';
import { adoptDeadJournals, ownHeader } from '../ledger/recovery.ts';
import { realTimers } from '../ledger/timers.ts';
import { createUpstream } from '../openai/upstream.ts';
import { catalogChanges, findKey } from '../store/catalog.ts';
import type { Connection } from '../store/database.ts';
import { openStore } from '../store/store.ts';
import type { Log } from '../telemetry/log.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { teamGauges } from './gauges.ts';
import { createHttpServer, listen } from './http.ts';
import { createService } from './service.ts';

export interface App {
  url: string;
  adminKey: string;
  /** Set when the admin key was made at this start: then it is shown, once. */
  adminKeyMade: boolean;
  /** Resolves when the instance was fenced: another adopted its journal, so this process must end. */
  fenced: Promise<void>;
  /** Finishes calls in flight, flushes, returns leases, closes. Rejects when the ledger could not be brought home. */
  stop(): Promise<void>;
}

export interface AppOptions {
  config: Config;
  log: Log;
  version: string;
  /** A database that no URL names (a socket); default: the one of the configuration. */
  connection?: Connection;
}

export async function startApp(options: AppOptions): Promise<App> {
  const { config, log, version } = options;
  const { logger } = log;
  const journals = join(config.dataDir, 'journal');
  mkdirSync(journals, { recursive: true, mode: 0o700 });
  const admin = await loadOrMakeAdminKey(config.adminKey, config.dataDir);
  const storeErrors = rateLimited((error) => logger.error({ err: error }, 'Postgres did not answer'));
  const store = await openStore({
    connection: options.connection ?? config.databaseUrl,
    dataDir: config.dataDir,
    pgBin: config.pgBin,
    onError: storeErrors,
  });
  const { sql } = store.database;

  const clock = createClock();
  const metrics = createMetrics({ version });
  const instanceId = uuidV7(clock.nowMs());
  for (const { path, inserted, unknown } of await adoptDeadJournals(store.ledgerStore, journals)) {
    logger.warn({ journal: path, inserted, unknown }, 'adopted the journal of an instance that died');
  }
  await store.registerInstance(instanceId);
  let fence = () => {};
  const fenced = new Promise<void>((resolve) => {
    fence = resolve;
  });
  const ledger = new Ledger({
    instanceId,
    store: store.ledgerStore,
    journal: new Journal({
      path: join(journals, `${instanceId}.log`),
      header: ownHeader(instanceId),
      onBroken: (error) => logger.fatal({ err: error }, 'the journal cannot be written: calls are refused'),
    }),
    clock,
    timers: realTimers,
    queueTimeoutMs: config.queueTimeoutMs,
    onFenced: () => fence(),
    onStoreError: storeErrors,
  });
  await ledger.beat();
  const keys = new KeyCache({ findKey: (hash) => findKey(sql, hash) });
  const catalog = new Catalog({
    source: { changes: (version) => catalogChanges(sql, version), rateBook: store.rateBook },
    keys,
    onChange: (teamIds) => ledger.recall(teamIds),
    onError: storeErrors,
  });
  await catalog.start();

  const upstream =
    config.openaiApiKey === null
      ? null
      : createUpstream({
          baseUrl: config.openaiBaseUrl,
          connections: config.upstreamConnections,
          connectTimeoutMs: 10_000,
          headersTimeoutMs: config.upstreamTimeoutMs,
          bodyTimeoutMs: config.upstreamTimeoutMs,
        });
  const gateway = createGateway({
    keys,
    rates: () => catalog.rates,
    ledger,
    clock,
    upstream,
    upstreamApiKey: config.openaiApiKey ?? '',
    metrics,
    log,
    maxBodyBytes: config.maxBodyBytes,
    abandonedTimeoutMs: config.drainTimeoutMs,
  });
  metrics.readGaugesFrom(() => ({
    teams: teamGauges(ledger.book, keys, clock.nowMs()),
    inFlightCalls: gateway.inFlight,
    waitingCalls: ledger.waiting,
    journalPendingBytes: ledger.journalPendingBytes,
    flushBacklogEvents: ledger.flusher.backlog.length,
  }));

  let stopping = false;
  const rest = createService({
    version,
    ledger,
    metrics,
    metricsKey: config.metricsKey,
    stopping: () => stopping,
  });
  rest.route(
    '/',
    createAdmin({
      database: store.database,
      adminKey: admin.key,
      defaultPlan: config.defaultPlan,
      settleNow: () => ledger.flusher.drain().catch(storeErrors),
      onError: (error) => logger.error({ err: error }, 'an admin request failed on a fault of ours'),
    }),
  );
  const server = createHttpServer(gateway, rest);
  const port = await listen(server, config.port, config.host);

  return {
    url: `http://${config.host.includes(':') ? `[${config.host}]` : config.host}:${port}`,
    adminKey: admin.key,
    adminKeyMade: admin.made,
    fenced,
    async stop() {
      stopping = true;
      server.close();
      const left = await gateway.drain(config.drainTimeoutMs);
      if (left > 0) logger.warn({ calls: left }, 'calls did not end in time: they are charged at their hold');
      server.closeAllConnections();
      catalog.stop();
      await ledger.stop().finally(async () => {
        await upstream?.close();
        await store.close();
      });
    },
  };
}

/** One line in five seconds is enough to know that Postgres is away. */
function rateLimited(report: (error: unknown) => void): (error: unknown) => void {
  let quietUntilMs = 0;
  return (error) => {
    const now = performance.now();
    if (now < quietUntilMs) return;
    quietUntilMs = now + 5000;
    report(error);
  };
}

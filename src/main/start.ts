/**
 * The wiring: config → store → ledger → gateway + admin → listen, and the way back. Owns: the order of start and stop.
 * Invariant: it listens only once journals of dead instances are in the ledger and this one's is open.
 */

import { Server as TlsServer } from 'node:https';
import { join } from 'node:path';
import { AccessLog } from '../auth/access-log.ts';
import type { ClientAddresses } from '../auth/addresses.ts';
import { loadOrMakeAdminKey } from '../auth/admin-key.ts';
import type { Catalog } from '../auth/catalog.ts';
import type { KeyCache } from '../auth/keys.ts';
import type { Sealer } from '../auth/seal.ts';
import type { Vault } from '../auth/vault.ts';
import type { Config } from '../config.ts';
import type { ContentQueue } from '../domain/contents.ts';
import type { InputCount } from '../domain/input-count.ts';
import { ConnectionShares } from '../domain/shares.ts';
import type { GatewayDeps } from '../gateway/deps.ts';
import { createGateway } from '../gateway/gateway.ts';
import { ObjectMemory } from '../gateway/objects.ts';
import type { Shutdowns } from '../gateway/shutdowns.ts';
import { TagValues } from '../gateway/tag-values.ts';
import { ApiErrorCounts } from '../jobs/api-error-counts.ts';
import { realTimers } from '../jobs/every.ts';
import { keepLedger } from '../jobs/keep-ledger.ts';
import { SpentBudgets } from '../jobs/warn.ts';
import { startWatch } from '../jobs/watch.ts';
import { type Clock, createClock, uuidV7 } from '../ledger/events.ts';
import { Journal } from '../ledger/journal.ts';
import { Ledger } from '../ledger/ledger.ts';
import { ownHeader } from '../ledger/recovery.ts';
import { addApiErrors } from '../store/api-errors.ts';
import { writeAccess } from '../store/audit.ts';
import type { Connection, Database } from '../store/database.ts';
import { PostgresCountStore } from '../store/hot/input-counts.ts';
import { PostgresJobStore } from '../store/hot/jobs.ts';
import { PostgresObjectStore } from '../store/hot/objects.ts';
import { findPlan } from '../store/plans.ts';
import { openTagValue } from '../store/tag-values.ts';
import { TEAM_CAP } from '../telemetry/labels.ts';
import { type Log, rateLimited } from '../telemetry/log.ts';
import type { CallTraces } from '../telemetry/measurement.ts';
import { createMetrics, type Metrics } from '../telemetry/metrics.ts';
import { bodyLimits } from './bodies.ts';
import { type CatalogBase, openCatalog } from './catalog.ts';
import { openContents } from './contents.ts';
import { openAnchors, openCounting } from './counts.ts';
import { startFollowing } from './follow.ts';
import { createPages, type Group } from './http/health.ts';
import { close, createHttpServer, listen } from './http/server.ts';
import { startJobs } from './jobs.ts';
import { type Adoption, adoptJournals } from './journals.ts';
import { gauges, measuredStore } from './metrics.ts';
import { inDataFolder, type JournalFolders, openDatabaseOf, openJournals } from './open.ts';
import { openSecrets } from './secrets.ts';
import { startStorage } from './storage.ts';
import { openTls } from './tls.ts';
import { type ConfiguredUpstream, openBreaker, openUpstream, startProbes } from './upstream.ts';
import { type FileUpstreams, openFileUpstreams } from './upstreams.ts';

export interface App {
  url: string;
  adminKey: string;
  /** Set when the admin key was made at this start: then it is shown, once. */
  adminKeyMade: boolean;
  instanceId: string;
  metrics: Metrics;
  /** Why no call can be admitted now; null: calls can. */
  blocked(): string | null;
  /** Takes over what another worker was counted at. */
  takeCounts(counts: readonly InputCount[]): void;
  /** Adopts journals of dead instances that lie in the data folder by now. */
  adopt(): Promise<void>;
  /** Resolves when the instance was fenced: another adopted its journal, so this process must end. */
  fenced: Promise<void>;
  /**
   * Finishes calls in flight, flushes, returns leases, closes; the signal cuts all waiting short. Rejects when the ledger
   * could not be brought home: then the journal stays, for the next start to adopt.
   */
  stop(hurry?: AbortSignal): Promise<void>;
}

/** How long Postgres may take over the last flush; then its events stay in the journal. */
const LAST_FLUSH_MS = 15_000;

export interface AppOptions {
  config: Config;
  log: Log;
  version: string;
  /** A database that no URL names (a socket); default: the one of the configuration. */
  connection?: Connection | null;
  /** Connections to Postgres at most; default: those of the configuration. */
  connectionsMax?: number | undefined;
  /** The workers that this process is one of; null: it is the whole gateway. */
  group?: Group | null;
}

/** What all parts of an instance stand on. */
interface Base extends CatalogBase {
  log: Log;
  version: string;
  group: Group | null;
  /** Aborted: nothing is waited for any more. */
  hurry: AbortController;
  clock: Clock;
  metrics: Metrics;
}

/** @throws CannotStart for what people can mend; whatever was begun by then is undone. */
export async function startApp(options: AppOptions): Promise<App> {
  const { config, log, version } = options;
  await using back = new AsyncDisposableStack();
  const hurry = new AbortController();
  const journals = await openJournals(config);
  const tls = openTls(config, log);
  const admin = await inDataFolder(config.dataDir, () => loadOrMakeAdminKey(config.adminKey, config.dataDir));
  const onStoreError = rateLimited((error) => log.logger.error({ err: error }, 'Postgres did not answer'));
  const { connection = null, connectionsMax, group = null } = options;
  const store = await openDatabaseOf(config, { onError: onStoreError, connection, connectionsMax });
  back.defer(() => store.close());
  await expectDefaultPlan(store.database, config.defaultPlan, log);
  const clock = createClock();
  const metrics = createMetrics({ version });
  const moves = { count: 0 };
  const heartbeats = { onCatalogVersion: () => {}, onPutBack: () => {} };
  const breaker = openBreaker(log);
  const base: Base = {
    config,
    log,
    version,
    group,
    back,
    hurry,
    store,
    clock,
    metrics,
    onStoreError,
    moves,
    breaker,
    heartbeats,
  };

  const adoption = await adoptJournals(store.ledgerStore, journals, log);
  back.defer(() => adoption.stop());
  const { vault, secrets } = openSecrets(config, store.database);
  const file = await openFileUpstreams({ config, log, breaker, secrets, nowMs: clock.nowMs });
  back.defer(async () => file?.close());
  const upstream = file?.first ?? (await openUpstream(config, clock.nowMs));
  back.defer(async () => upstream.upstream?.close());
  const { instanceId, ledger, journal, fenced } = await openLedger(base, journals, adoption);
  const traces = await openTracesOf(base, instanceId);
  const stored = { ...(await openCatalog(base, ledger)), ...openContents(config, metrics) };
  const parts = { instanceId, ledger, journal, upstream, file, vault, traces, ...stored };
  const { gateway, pages, stopping, anchors } = openFront(base, parts, admin.key);
  await store.warm(instanceId).catch(onStoreError);
  const stallMs = Math.min(config.clientStallMs, config.upstreamTimeoutMs);
  const server = createHttpServer(gateway, pages, stallMs, tls?.pair ?? null);
  if (tls !== null && server.node instanceof TlsServer) tls.attach(server.node);
  back.defer(async () => tls?.close());
  const port = await listen(server, config.port, config.host);
  back.defer(() => close(server));

  const undo = back.move();
  return {
    url: `${tls === null ? 'http' : 'https'}://${config.host.includes(':') ? `[${config.host}]` : config.host}:${port}`,
    adminKey: admin.key,
    adminKeyMade: admin.made,
    instanceId,
    metrics,
    blocked: () => (stopping.now ? 'stopping' : ledger.unready),
    takeCounts: (counts) => anchors?.take(counts, clock.nowMs()),
    adopt: () => adoption.again(),
    fenced,
    async stop(signal = hurry.signal) {
      signal.addEventListener('abort', () => hurry.abort(signal.reason));
      if (signal.aborted) hurry.abort(signal.reason);
      // Still listening: new calls get a retryable error, and /readyz says why.
      stopping.now = true;
      const cut = await gateway.drain(config.drainTimeoutMs, hurry.signal);
      if (cut > 0)
        log.logger.warn({ calls: cut }, 'calls did not end in time: they are charged at their hold');
      await undo.disposeAsync();
    },
  };
}

/** OpenTelemetry's SDK is large, so it is loaded where it is asked for. */
async function openTracesOf(
  { config, version, log, back }: Base,
  instanceId: string,
): Promise<CallTraces | null> {
  const { otlpEndpoint: endpoint, otlpResource: attributes, traceRatio: ratio } = config;
  if (endpoint === null) return null;
  const { openTraces } = await import('../telemetry/traces.ts');
  const report = rateLimited((problem) =>
    log.logger.warn({ problem }, 'OpenTelemetry: spans or metrics were lost'),
  );
  const traces = openTraces({
    ...{ endpoint, ratio, version, instanceId, onError: report },
    attributes: attributes ?? {},
  });
  back.defer(() => traces.close());
  return traces;
}

/** Registers this instance, opens its journal, and makes the first contact with Postgres. */
async function openLedger(base: Base, { journals, kept }: JournalFolders, adoption: Adoption) {
  const { config, log, back, hurry, store, clock, metrics, moves, heartbeats, onStoreError } = base;
  const instanceId = uuidV7(clock.nowMs());
  const seen = await store.registerInstance(instanceId);
  await adoption.confirm();
  const { promise: fenced, resolve: onFenced } = Promise.withResolvers<void>();
  const onBroken = (error: Error) =>
    log.logger.fatal({ err: error }, 'the journal cannot be written: calls are refused');
  const onUnexpectedError = (error: unknown) =>
    log.logger.error({ err: error }, 'a call failed in the ledger on an error of ours');
  const journal = await inDataFolder(
    config.dataDir,
    () =>
      new Journal({
        path: join(journals, `${instanceId}.log`),
        header: ownHeader(instanceId, adoption.ledger),
        keepFolder: kept,
        onBroken,
        onUnexpectedError,
      }),
  );
  const ledger = new Ledger({
    instanceId,
    seen,
    store: measuredStore(store.ledgerStore, metrics, {
      moved: () => moves.count++,
      catalogVersion: (version) => heartbeats.onCatalogVersion(version),
    }),
    journal,
    clock,
    timers: realTimers,
    queueTimeoutMs: config.queueTimeoutMs,
    leaseTtlMs: config.leaseTtlMs,
    putBackEnded: () => adoption.putBack(),
    onPutBack: (reason) => {
      log.logger.error(
        { reason },
        'the database went back: what it had forgotten of this instance is put back',
      );
      metrics.recordPutBack();
      heartbeats.onPutBack();
    },
    onFenced,
    onJournalRecovered: () => log.logger.warn('the journal can be written again: calls are admitted'),
    onStoreError,
    onUnexpectedError,
  });
  keepLedger(ledger, realTimers);
  back.defer(() => ledger.stop(AbortSignal.any([hurry.signal, AbortSignal.timeout(LAST_FLUSH_MS)])));
  await ledger.sendHeartbeat();
  return { instanceId, ledger, journal, fenced };
}

interface Parts {
  instanceId: string;
  ledger: Ledger;
  journal: Journal;
  addresses: ClientAddresses;
  keys: KeyCache;
  catalog: Catalog;
  shutdowns: Shutdowns;
  upstream: ConfiguredUpstream;
  file: FileUpstreams | null;
  vault: Vault | null;
  traces: CallTraces | null;
  sealer: Sealer | null;
  contents: ContentQueue | null;
}

/** Makes the request path, with its upstreams. */
function openGateway(
  base: Base,
  parts: Parts,
  { counts, spent }: { counts: ApiErrorCounts; spent: SpentBudgets },
) {
  const { ledger, keys, catalog, shutdowns, upstream, file, traces, contents } = parts;
  const { config, log, group, back, store, clock, metrics, breaker, onStoreError } = base;
  const { sql } = store.database;
  const connections = new ConnectionShares(config.upstreamConnections, config.queueTimeoutMs);
  const shared = { store: new PostgresCountStore(sql), ledger, group, onError: onStoreError };
  const inputCounts = openAnchors({ profile: upstream.profile, isOneOfSeveral: file !== null, ...shared });
  back.defer(async () => inputCounts.sharing?.tell());
  const deps: GatewayDeps = {
    target: null,
    upstreams: file?.router ?? null,
    connections,
    keys,
    catalog,
    ledger,
    breaker,
    objects: { memory: new ObjectMemory(), store: new PostgresObjectStore(sql) },
    jobs: new PostgresJobStore(sql),
    clock,
    ...upstream,
    counting: openCounting(config, upstream, back),
    ...inputCounts,
    shutdowns,
    tagValues: new TagValues({
      open: (teamId, name, value, most) => openTagValue(sql, teamId, name, value, most),
      onError: onStoreError,
    }),
    metrics,
    log,
    traces,
    contents,
    counts,
    ...bodyLimits(config, back, onStoreError),
    sessions: { idleMs: config.sessionIdleMs, maxMs: config.sessionMs, perKey: config.sessionsPerKey },
    corsOrigins: config.corsOrigins,
    abandonedTimeoutMs: config.drainTimeoutMs,
    onSpent: (counter) => spent.add(counter),
  };
  file?.attach(deps);
  return { gateway: createGateway(deps), connections, anchors: inputCounts.anchors };
}

/** Makes what clients and people talk to, and starts the background jobs. */
function openFront(base: Base, parts: Parts, adminKey: string) {
  const { instanceId, ledger, journal, addresses, keys, catalog, upstream, file, vault, sealer, contents } =
    parts;
  const { config, log, version, group, back, store, clock, metrics, moves, breaker, onStoreError } = base;
  const { database } = store;
  const counts = new ApiErrorCounts({
    write: (added) => addApiErrors(database.sql, added),
    nowMs: clock.nowMs,
    onError: onStoreError,
  });
  back.defer(() => counts.stop());
  const spent = new SpentBudgets();
  const rates = () => catalog.rates;
  const nowMs = () => clock.nowMs();
  const { gateway, connections, anchors } = openGateway(base, parts, { counts, spent });
  const watch = startWatch({ db: database.db, budgetsMax: TEAM_CAP, onError: onStoreError });
  back.defer(() => watch.stop());
  const measured = {
    ledger,
    journal,
    gateway,
    breaker,
    connections,
    keys,
    watch,
    trust: upstream.trust,
    file,
  };
  metrics.readGaugesFrom(() => gauges({ ...measured, nowMs: clock.nowMs() }));
  const accessLog = new AccessLog({
    write: (entry) => writeAccess(database, entry),
    nowMs: clock.nowMs,
    onError: onStoreError,
  });
  back.defer(() => accessLog.flush());
  const stopping = { now: false };
  const pages = createPages({
    config,
    upstream,
    file,
    vault,
    version,
    adminKey,
    database,
    addresses,
    accessLog,
    sealer,
    keys,
    ledger,
    counts,
    clock,
    metrics,
    log,
    stopping: () => stopping.now,
    group,
    onStoreError,
  });
  if (file === null) back.defer(startProbes(upstream, { log, rates, nowMs }));
  const fileUpstreams = file === null ? null : () => file.settings;
  const jobsOf = { sealer, contents, spent, moves, fileUpstreams, rates, nowMs };
  const work = { config, log, metrics, database, accessLog, ...jobsOf, onStoreError };
  back.defer(startJobs(work));
  back.defer(startFollowing(work, { instanceId, ledger, upstream, file }));
  back.defer(startStorage(work, { upstream, file }));
  return { gateway, pages, stopping, anchors };
}

/** It may be made once this runs, so it stops no start; until then a team that names no plan is refused. */
async function expectDefaultPlan({ db }: Database, name: string, { logger }: Log): Promise<void> {
  if ((await findPlan(db, name)) !== null) return;
  logger.warn(
    { plan: name },
    'there is no plan of the name in TOLLGATE_DEFAULT_PLAN: new teams must name one',
  );
}

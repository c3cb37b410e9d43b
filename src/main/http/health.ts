/**
 * Everything over HTTP that is no call. Owns: what operators and Prometheus ask (`/healthz`: alive, `/readyz`: calls can be
 * admitted, `/metrics`) and the error for paths that do not exist; adds the admin API, the key holder's view, the
 * webhooks of upstreams and the console.
 */

import type { HttpBindings } from '@hono/node-server';
import { type Context, Hono } from 'hono';
import { cors } from 'hono/cors';
import { createAdmin } from '../../admin/admin.ts';
import { createSelfService, SELF_SERVICE_ROOT } from '../../admin/self-service.ts';
import type { AccessLog } from '../../auth/access-log.ts';
import type { ClientAddresses } from '../../auth/addresses.ts';
import { isSame } from '../../auth/admin-key.ts';
import type { KeyCache } from '../../auth/keys.ts';
import type { Sealer } from '../../auth/seal.ts';
import { Sessions } from '../../auth/sessions.ts';
import type { Vault } from '../../auth/vault.ts';
import type { Config } from '../../config.ts';
import { apiError } from '../../domain/errors.ts';
import type { KeyId } from '../../domain/ids.ts';
import type { InputCount } from '../../domain/input-count.ts';
import { FreeCalls } from '../../gateway/bodies.ts';
import type { ApiErrorCounts } from '../../jobs/api-error-counts.ts';
import { batched } from '../../jobs/every.ts';
import type { Clock } from '../../ledger/events.ts';
import type { Ledger } from '../../ledger/ledger.ts';
import { errorBody, errorHeaders } from '../../openai/wire/errors.ts';
import type { Database } from '../../store/database.ts';
import { PostgresJobStore } from '../../store/hot/jobs.ts';
import { sessionStore } from '../../store/sessions.ts';
import { OPEN_METRICS_TYPE, openMetricsText } from '../../telemetry/exposition.ts';
import { type Log, rateLimited } from '../../telemetry/log.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import { reconciliationState } from '../reconcile.ts';
import type { ConfiguredUpstream } from '../upstream.ts';
import type { FileUpstreams } from '../upstreams.ts';
import { identityProvider } from './identity-provider.ts';
import { createConsole } from './static.ts';
import { createUpstreamWebhooks } from './upstream-webhooks.ts';

/** The workers of one gateway, as one of them sees the others. */
export interface Group {
  supervisorPid: number;
  /** Process ids of the workers that run, this one included. */
  pids(): readonly number[];
  /** Lets the other workers know what this one was counted at. */
  tellCounts(counts: readonly InputCount[]): void;
  /** The metrics of all as one page; null: the supervisor did not say in time. */
  metricsPage(): Promise<string | null>;
  /** Whether any of them can admit calls. */
  isAnyReady(): Promise<boolean>;
}

export interface PagesOptions {
  config: Config;
  upstream: ConfiguredUpstream;
  /** Null: there is one. */
  file: FileUpstreams | null;
  /** Encrypts secrets; null: no master key is set. */
  vault: Vault | null;
  version: string;
  adminKey: string;
  database: Database;
  addresses: ClientAddresses;
  accessLog: AccessLog;
  keys: KeyCache;
  ledger: Ledger;
  counts: ApiErrorCounts;
  clock: Clock;
  metrics: Metrics;
  log: Log;
  stopping: () => boolean;
  group: Group | null;
  sealer: Sealer | null;
  /** Called when Postgres did not respond. */
  onStoreError: (error: unknown) => void;
}

/** Who reads reports in a loop would otherwise have a transaction for each read, and other calls wait for those. */
const SETTLE_APART_MS = 20;

export function createPages(options: PagesOptions): Hono {
  const { config, upstream, adminKey, database, addresses, accessLog, keys, ledger, counts, clock, log } =
    options;
  const { version, metrics, stopping, group, file } = options;
  const { metricsKey } = config;
  const { sealer } = options;
  const jobs = new PostgresJobStore(database.sql);
  const pages = createService({ version, upstream, ledger, metrics, metricsKey, stopping, group });
  const shared = {
    database,
    sealer,
    nowMs: clock.nowMs,
    settleNow: batched(
      async () => {
        await ledger.flusher.drain().catch(options.onStoreError);
        await counts.flush();
      },
      () => (ledger.flusher.backlog.length === 0 ? 0 : SETTLE_APART_MS),
    ),
    onError: (error: unknown) =>
      log.logger.error({ err: error }, 'an admin request failed on an error of ours'),
  };
  const sessions = new Sessions({
    adminKey,
    keys,
    addresses,
    log: accessLog,
    store: sessionStore(database),
    nowMs: clock.nowMs,
  });
  pages.route(
    '/',
    createAdmin({
      ...shared,
      upstream,
      upstreams: file === null ? undefined : () => file.readings(),
      reconciliation: () => reconciliationState(config, file === null ? null : () => file.settings),
      vault: options.vault,
      adminKey,
      addresses,
      accessLog,
      sessions,
      oidc: identityProvider(config, log),
      defaultPlan: config.defaultPlan,
    }),
  );
  if (config.corsOrigins !== null) {
    const origin = config.corsOrigins.includes('*') ? '*' : [...config.corsOrigins];
    pages.use(
      `${SELF_SERVICE_ROOT}/*`,
      cors({ origin, allowMethods: ['GET', 'POST'], exposeHeaders: ['*'] }),
    );
  }
  const requests = new FreeCalls<KeyId>(config.freeCallsPerMinute, 'A key');
  const countRequest = (keyId: KeyId) => requests.take(keyId, performance.now());
  pages.route('/', createSelfService({ ...shared, keys, countRequest }));
  pages.route(
    '/',
    createUpstreamWebhooks({
      secretOf: (name) => webhookSecretOf(options, name),
      lookSoonAt: (job, name) => jobs.lookSoonAt(job, name, file?.settings[0]?.name ?? null),
      addresses,
      nowMs: clock.nowMs,
      onEnd: (kind, outcome) => metrics.recordUpstreamWebhook(kind, outcome),
      onRefused: rateLimited((problem) =>
        log.logger.warn({ problem }, 'a webhook of an upstream was refused'),
      ),
      onError: options.onStoreError,
    }),
  );
  pages.route('/', createConsole());
  return pages;
}

/** Returns the secret of an upstream's webhooks; null: it has none, or there is no such upstream. @param name null: the only one */
function webhookSecretOf({ config, file }: PagesOptions, name: string | null): string | null {
  if (file === null) return name === null ? config.upstreamWebhookSecret : null;
  return file.settings.find((each) => each.name === name)?.webhook_secret ?? null;
}

interface ServiceOptions {
  version: string;
  upstream: ConfiguredUpstream;
  ledger: Ledger;
  metrics: Metrics;
  metricsKey: string | null;
  stopping: () => boolean;
  group: Group | null;
}

function createService(options: ServiceOptions): Hono {
  const { version, ledger, metrics, group } = options;
  const app = new Hono();
  app.get('/healthz', (context) => {
    const workers = group === null ? [process.pid] : group.pids();
    const supervisor = group?.supervisorPid ?? null;
    return context.json({ status: 'ok', version, pid: process.pid, workers, supervisor });
  });
  app.get('/readyz', async (context) => {
    const reason = options.stopping() ? 'stopping' : ledger.unready;
    const isReady = reason === null || (group !== null && (await group.isAnyReady()));
    if (!isReady) return context.json({ ready: false, reason }, 503);
    const limits = options.upstream.trust?.counts();
    return context.json({
      ready: true,
      degraded: ledger.degraded,
      ...(limits && { upstream_limits: limits }),
    });
  });
  app.get('/metrics', async (context) => {
    if (!mayReadMetrics(context, options.metricsKey)) {
      return context.text('Metrics show spend: send `Authorization: Bearer <TOLLGATE_METRICS_KEY>`.\n', 401);
    }
    const page = (await group?.metricsPage()) ?? (await metrics.render());
    const isOpen = context.req.header('accept')?.includes('application/openmetrics-text') ?? false;
    return isOpen
      ? context.body(openMetricsText(page), 200, { 'content-type': OPEN_METRICS_TYPE })
      : context.body(page, 200, { 'content-type': metrics.contentType });
  });
  // A client whose base URL lacks the `/v1` ends up here, and its SDK shows only errors of the API's shape.
  app.notFound((context) => {
    const { method, path } = context.req;
    const nothing = apiError(
      'not_found',
      `There is nothing at ${method} ${path.slice(0, 200)}: the API is under /v1.`,
    );
    return context.body(errorBody(nothing).toString(), 404, errorHeaders(nothing));
  });
  return app;
}

/** Without a key the page is for this machine only; a proxy on it would make every caller look local. */
function mayReadMetrics(context: Context, key: string | null): boolean {
  if (key === null) {
    const { incoming } = context.env as HttpBindings;
    const address = incoming.socket.remoteAddress ?? '';
    const local = address === '::1' || address.replace('::ffff:', '').startsWith('127.');
    return local && context.req.header('x-forwarded-for') === undefined;
  }
  return isSame(context.req.header('authorization') ?? '', `Bearer ${key}`);
}

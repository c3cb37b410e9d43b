/**
 * The admin API. Owns: its routes, who may use them, and the form of every response. Does not own: what the resources
 * mean (domain), their rows (store), the calls (gateway). Invariants: no route responds without the admin key, a
 * service token or a session; a request that ends in an error changes nothing; every change raises the catalog's version in its own
 * transaction.
 */

import { OpenAPIHono } from '@hono/zod-openapi';
import { bodyLimit } from 'hono/body-limit';
import { apiError } from '../domain/errors.ts';
import { sqlState } from '../store/database.ts';
import { authenticate } from './access.ts';
import { archiveRoute } from './archive.ts';
import { auditRoute } from './audit.ts';
import { balanceRoute } from './balance.ts';
import { contentRoute } from './contents.ts';
import { departmentRoutes } from './departments.ts';
import { documentRoute } from './document.ts';
import { estimateRoute } from './estimates.ts';
import { eventRoutes } from './events.ts';
import { eventsCsvRoute } from './events-csv.ts';
import { focusRoutes } from './focus.ts';
import { grantRoutes } from './grants.ts';
import { jobsRoute } from './jobs.ts';
import { keyRoutes } from './keys.ts';
import { labelRoutes } from './labels.ts';
import { labelsExportRoute } from './labels-export.ts';
import { limitPreviewRoute } from './limit-preview.ts';
import { limitRoutes } from './limits.ts';
import { noticeRoutes } from './notices.ts';
import { objectRoutes } from './objects.ts';
import { operationsRoute } from './operations.ts';
import type { AdminOptions } from './options.ts';
import { overviewRoute } from './overview.ts';
import { peopleRoutes } from './people.ts';
import { planRoutes } from './plans.ts';
import { priceRoutes } from './prices.ts';
import { raiseRoutes } from './raises.ts';
import { reconciliationRoutes } from './reconciliation.ts';
import { roleMappingRoutes } from './role-mappings.ts';
import { errorResponse, notFound, ROOT } from './route.ts';
import { savingRoutes } from './savings.ts';
import { secretRoutes } from './secrets.ts';
import { sessionListRoutes, sessionRoutes } from './session.ts';
import { signInRoutes } from './sign-in.ts';
import { statementRoutes } from './statement.ts';
import { storeRoutes } from './store.ts';
import { tagRoutes } from './tags.ts';
import { teamRoutes } from './teams.ts';
import { tokenRoutes } from './tokens.ts';
import { unknownRoutes } from './unknown.ts';
import { upstreamListRoute, upstreamRoute } from './upstream.ts';
import { apiErrorRoutes, usageRoute } from './usage.ts';
import { warningsRoute } from './warnings.ts';

const BODY_BYTES_MAX = 1_048_576;

/** Returns the admin API: everything below `/admin/v1`. */
export function createAdmin({ database, ...given }: AdminOptions): OpenAPIHono {
  const options = { ...given, database: { ...database, actorRequired: true } };
  const { onError = console.error } = options;
  const app = new OpenAPIHono();
  authenticate(app, options);
  const tooLarge = apiError('request_too_large', `a body of more than ${BODY_BYTES_MAX} bytes`);
  app.use(
    `${ROOT}/*`,
    bodyLimit({ maxSize: BODY_BYTES_MAX, onError: (context) => errorResponse(context, tooLarge) }),
  );
  for (const addRoutes of [
    sessionRoutes,
    sessionListRoutes,
    signInRoutes,
    roleMappingRoutes,
    secretRoutes,
    departmentRoutes,
    peopleRoutes,
    tokenRoutes,
    teamRoutes,
    balanceRoute,
    keyRoutes,
    limitRoutes,
    raiseRoutes,
    limitPreviewRoute,
    tagRoutes,
    savingRoutes,
    grantRoutes,
    planRoutes,
    priceRoutes,
    estimateRoute,
    overviewRoute,
    usageRoute,
    apiErrorRoutes,
    eventRoutes,
    contentRoute,
    eventsCsvRoute,
    focusRoutes,
    archiveRoute,
    noticeRoutes,
    statementRoutes,
    unknownRoutes,
    jobsRoute,
    reconciliationRoutes,
    storeRoutes,
    operationsRoute,
    upstreamRoute,
    upstreamListRoute,
    objectRoutes,
    warningsRoute,
    labelRoutes,
    labelsExportRoute,
    auditRoute,
  ]) {
    addRoutes(app, options);
  }
  documentRoute(app);
  app.all(`${ROOT}/*`, (context) => errorResponse(context, notFound(context)));
  app.onError((error, context) => {
    onError(error);
    return errorResponse(context, isUnavailable(error) ? UNAVAILABLE : BROKEN);
  });
  return app;
}

const BROKEN = apiError('internal_error', 'something is wrong inside Tollgate; its log says what');
const UNAVAILABLE = apiError(
  'ledger_unavailable',
  'the database cannot be reached; nothing is known to be changed',
);

/** The driver's own codes, and SQLSTATE class 57P: the server is shutting down or starting. */
function isUnavailable(error: unknown): boolean {
  return /^(CONNECT|ECONN|ENOENT|57P)/.test(sqlState(error) ?? '');
}

/**
 * The admin API. Owns: its routes, who may use them, and the form of every answer. Does not own: what the nouns mean
 * (domain), their rows (store), the calls (gateway). Invariants: nothing is answered without the admin key or a
 * session; a request that is refused changed nothing; every change raises the catalog's version in its own transaction.
 */

import { OpenAPIHono } from '@hono/zod-openapi';
import { bodyLimit } from 'hono/body-limit';
import { apiError } from '../domain/errors.ts';
import { sqlState } from '../store/database.ts';
import { guard } from './access.ts';
import { serveAudit } from './audit.ts';
import { serveBalance } from './balance.ts';
import { serveDocument } from './document.ts';
import { serveEvents } from './events.ts';
import { serveEventsCsv } from './events-csv.ts';
import { serveGrants } from './grants.ts';
import { serveKeys } from './keys.ts';
import { serveLimitPreview } from './limit-preview.ts';
import { serveLimits } from './limits.ts';
import type { AdminOptions } from './options.ts';
import { serveOverview } from './overview.ts';
import { servePlans } from './plans.ts';
import { servePrices } from './prices.ts';
import { errorResponse, notFound, ROOT } from './route.ts';
import { serveSession } from './session.ts';
import { serveTeams } from './teams.ts';
import { serveUnknown } from './unknown.ts';
import { serveApiErrors, serveUsage } from './usage.ts';
import { serveWarnings } from './warnings.ts';

const BODY_BYTES_MAX = 1_048_576;

/** Makes the admin API: everything below `/admin/v1`. */
export function createAdmin(options: AdminOptions): OpenAPIHono {
  const { onError = console.error } = options;
  const app = new OpenAPIHono();
  guard(app, options);
  const tooLarge = apiError('request_too_large', `a body of more than ${BODY_BYTES_MAX} bytes`);
  app.use(
    `${ROOT}/*`,
    bodyLimit({ maxSize: BODY_BYTES_MAX, onError: (context) => errorResponse(context, tooLarge) }),
  );
  for (const serveNoun of [
    serveSession,
    serveTeams,
    serveBalance,
    serveKeys,
    serveLimits,
    serveLimitPreview,
    serveGrants,
    servePlans,
    servePrices,
    serveOverview,
    serveUsage,
    serveApiErrors,
    serveEvents,
    serveEventsCsv,
    serveUnknown,
    serveWarnings,
    serveAudit,
  ]) {
    serveNoun(app, options);
  }
  serveDocument(app);
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

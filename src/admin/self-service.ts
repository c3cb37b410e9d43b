/**
 * Self-service, under `/v1/tollgate`: what is left for the calling key, what it has used, and what its calls cost.
 * And it may label its team's calls: right or wrong. Never forwarded, never metered. Invariants: it shows the team's budgets,
 * because they bound the key too, and the limits, usage and calls of no other key; a key makes so many requests a minute.
 */
import { OpenAPIHono } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { z } from 'zod';
import { clientKey, type KeyCache, usableKey } from '../auth/keys.ts';
import { defined } from '../domain/defined.ts';
import { type ApiError, apiError, isApiError } from '../domain/errors.ts';
import { asId, type KeyId } from '../domain/ids.ts';
import type { Principal } from '../domain/limit.ts';
import { MEMBER_TAG } from '../domain/tags.ts';
import { uuidV7 } from '../ledger/events.ts';
import { findEvent } from '../store/events.ts';
import { findKeyRow } from '../store/keys.ts';
import { senderOf } from './access.ts';
import { balanceOf } from './balance.ts';
import { NewLabel, SelfServiceCallsQuery, SelfServiceUsageQuery } from './contract.ts';
import { pageOfEvents, toEvents } from './events.ts';
import { giveLabel } from './labels.ts';
import type { AdminOptions } from './options.ts';
import { dateOf } from './page.ts';
import { reportRangeOf } from './report-range.ts';
import { errorResponse, parseQuery, readBody } from './route.ts';
import { sumUsage } from './usage.ts';

export const SELF_SERVICE_ROOT = '/v1/tollgate';
/** The longest is a label with an edited answer. */
const BODY_BYTES_MAX = 500_000;

export interface SelfServiceOptions
  extends Pick<AdminOptions, 'database' | 'settleNow' | 'nowMs' | 'sealer'> {
  keys: KeyCache;
  /** Counts a request of a key; returns why it may not be made. */
  countRequest: (keyId: KeyId) => ApiError | null;
  onError: (error: unknown) => void;
}

/** The same for calls of others: that they exist is not for this one. */
const NO_SUCH_CALL = apiError(
  'not_found',
  'No call of yours with this id has ended. The id is in x-tollgate-request-id; a call appears within a second of its end.',
);

/** Returns what is served below `/v1/tollgate`. */
export function createSelfService(options: SelfServiceOptions): OpenAPIHono {
  const { database, settleNow, nowMs, onError } = options;
  const app = new OpenAPIHono();
  app.use(`${SELF_SERVICE_ROOT}/*`, async (context, next) => {
    context.header('x-tollgate-request-id', uuidV7(nowMs()));
    context.header('cache-control', 'no-store');
    await next();
  });
  const tooLarge = apiError('request_too_large', `a body of more than ${BODY_BYTES_MAX} bytes`);
  app.use(
    `${SELF_SERVICE_ROOT}/*`,
    bodyLimit({ maxSize: BODY_BYTES_MAX, onError: (context) => errorResponse(context, tooLarge) }),
  );
  const get = (path: string, read: (principal: Principal, context: Context) => Promise<object>) => {
    app.get(SELF_SERVICE_ROOT + path, async (context) => {
      const principal = await principalOf(context, options);
      if (isApiError(principal)) return errorResponse(context, principal);
      const value = await read(principal, context);
      return isApiError(value) ? errorResponse(context, value) : context.json(value);
    });
  };
  get('/balance', async ({ teamId, keyId }) => {
    await settleNow();
    const balance = await balanceOf(database, teamId);
    const member = (await findKeyRow(database, keyId))?.tags?.[MEMBER_TAG] ?? null;
    const limits = balance.limits.filter(({ subject }) => {
      if (subject.type === 'key') return subject.id === keyId;
      return subject.type === 'member' ? subject.id === member : subject.type !== 'user';
    });
    return { ...balance, limits };
  });
  get('/usage', async ({ teamId, keyId }, context) => {
    const query = parseQuery(context, SelfServiceUsageQuery);
    if (isApiError(query)) return query;
    const range = reportRangeOf(query.data);
    if (isApiError(range)) return range;
    await settleNow();
    return sumUsage(database, range, { groupBy: query.data.group_by, teamIds: [teamId], keyId });
  });
  get('/calls', async ({ teamId, keyId }, context) => {
    const query = parseQuery(context, SelfServiceCallsQuery);
    if (isApiError(query)) return query;
    const { from, to, ...page } = query.data;
    await settleNow();
    return pageOfEvents(database, page, {
      ...{ teamIds: [teamId], filter: { keyId }, order: 'desc' },
      ...{ from: dateOf(from ?? null), to: dateOf(to ?? null) },
    });
  });
  get('/calls/:id', async ({ keyId }, context) => {
    const id = z.uuid().safeParse(context.req.param('id'));
    await settleNow();
    const event = id.success ? await findEvent(database.db, asId(id.data)) : null;
    if (event?.keyId !== keyId) return NO_SUCH_CALL;
    const [call] = await toEvents(database, [event]);
    return defined(call, 'the view of an event');
  });
  app.post(`${SELF_SERVICE_ROOT}/labels`, async (context) => {
    const principal = await principalOf(context, options);
    if (isApiError(principal)) return errorResponse(context, principal);
    const body = await readBody(context, NewLabel);
    if (isApiError(body)) return errorResponse(context, body);
    await settleNow();
    const event = await findEvent(database.db, asId(body.data.call_id));
    if (event?.teamId !== principal.teamId) return errorResponse(context, NO_SUCH_CALL);
    const given = await giveLabel(options, event, `key ${principal.keyId}`, body.data);
    return isApiError(given) ? errorResponse(context, given) : context.json(given, 201);
  });
  app.all(`${SELF_SERVICE_ROOT}/*`, (context) => {
    const nothing = `there is nothing at ${context.req.method} ${context.req.path.slice(0, 200)}`;
    return errorResponse(context, apiError('unsupported_operation', nothing));
  });
  app.onError((error, context) => {
    onError(error);
    return errorResponse(context, apiError('ledger_unavailable', 'The ledger cannot be read just now.'));
  });
  return app;
}

/**
 * Returns the caller, whose request is counted; or the error that the gateway would respond with: both use the same cache of
 * keys.
 */
async function principalOf(
  context: Context,
  { keys, nowMs, countRequest }: SelfServiceOptions,
): Promise<Principal | ApiError> {
  const key = clientKey([...context.req.raw.headers].flat());
  if (key === null) {
    return apiError('invalid_api_key', 'No API key was given: send `Authorization: Bearer tg-…`.');
  }
  if (typeof key !== 'string') return key;
  const record = usableKey(await keys.find(key, senderOf(context)), nowMs());
  if (isApiError(record)) return record;
  const { principal } = record.account;
  return countRequest(principal.keyId) ?? principal;
}

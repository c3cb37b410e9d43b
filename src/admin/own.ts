/**
 * The key holder's own view, under `/v1/tollgate`: what is left and what was used, by the key that calls. Never forwarded,
 * never metered. It shows the team's budgets, because they are what stops the key, and of keys itself alone.
 */
import { OpenAPIHono } from '@hono/zod-openapi';
import type { Context } from 'hono';
import type { KeyCache } from '../auth/keys.ts';
import { whyRefused } from '../auth/keys.ts';
import { type ApiError, apiError, isApiError } from '../domain/errors.ts';
import type { Principal } from '../domain/limit.ts';
import { uuidV7 } from '../ledger/ids.ts';
import { bearerKey } from '../openai/wire/headers.ts';
import { balanceOf } from './balance.ts';
import { OwnUsageQuery } from './contract.ts';
import type { AdminOptions } from './options.ts';
import { errorResponse, parseQuery } from './route.ts';
import { stretchOf } from './stretch.ts';
import { sumUsage } from './usage.ts';

export const OWN_ROOT = '/v1/tollgate';

export interface OwnOptions extends Pick<AdminOptions, 'database' | 'settleNow' | 'nowMs'> {
  keys: KeyCache;
  onError: (error: unknown) => void;
}

/** Makes what is served below `/v1/tollgate`. */
export function createOwn(options: OwnOptions): OpenAPIHono {
  const { database, settleNow, nowMs, onError } = options;
  const app = new OpenAPIHono();
  app.use(`${OWN_ROOT}/*`, async (context, next) => {
    context.header('x-tollgate-request-id', uuidV7(nowMs()));
    context.header('cache-control', 'no-store');
    await next();
  });
  const get = (path: string, answer: (own: Principal, context: Context) => Promise<object>) => {
    app.get(OWN_ROOT + path, async (context) => {
      const own = await principalOf(context, options);
      if (isApiError(own)) return errorResponse(context, own);
      const value = await answer(own, context);
      return isApiError(value) ? errorResponse(context, value) : context.json(value);
    });
  };
  get('/balance', async ({ teamId, keyId }) => {
    await settleNow();
    const balance = await balanceOf(database, teamId);
    const limits = balance.limits.filter(({ subject }) =>
      subject.type === 'key' ? subject.id === keyId : subject.type !== 'user',
    );
    return { ...balance, limits };
  });
  get('/usage', async ({ teamId, keyId }, context) => {
    const query = parseQuery(context, OwnUsageQuery);
    if (isApiError(query)) return query;
    const stretch = stretchOf(query.data);
    if (isApiError(stretch)) return stretch;
    await settleNow();
    return sumUsage(database, stretch, { groupBy: query.data.group_by, teamId, keyId });
  });
  app.all(`${OWN_ROOT}/*`, (context) => {
    const nothing = `there is nothing at ${context.req.method} ${context.req.path.slice(0, 200)}`;
    return errorResponse(context, apiError('unsupported_operation', nothing));
  });
  app.onError((error, context) => {
    onError(error);
    return errorResponse(context, apiError('ledger_unavailable', 'The ledger cannot be read just now.'));
  });
  return app;
}

/** As the gateway would know the caller: by the same cache, with the same answers. */
async function principalOf(context: Context, { keys, nowMs }: OwnOptions): Promise<Principal | ApiError> {
  const key = bearerKey([...context.req.raw.headers].flat());
  if (key === null) {
    return apiError('invalid_api_key', 'No API key was given: send `Authorization: Bearer tg-…`.');
  }
  if (typeof key !== 'string') return key;
  const record = await keys.find(key);
  const refused = whyRefused(record, nowMs());
  return refused === null ? record!.account.principal : apiError('invalid_api_key', refused);
}

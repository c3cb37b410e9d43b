/**
 * Access: authentication of every request to the admin API. Invariants: a route without a team scope is closed to
 * sessions of teams; a session changes nothing without its CSRF token.
 */
import type { HttpBindings } from '@hono/node-server';
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { getCookie } from 'hono/cookie';
import type { Sender } from '../auth/addresses.ts';
import { isAdmin, isSame } from '../auth/admin-key.ts';
import { actorOf, type Session } from '../auth/sessions.ts';
import { type ApiError, apiError, isApiError } from '../domain/errors.ts';
import { withActor } from '../store/changes.ts';
import type { AdminOptions } from './options.ts';
import { errorResponse, ROOT } from './route.ts';
import type { Caller } from './scope.ts';

export const SESSION_COOKIE = 'tollgate_session';
const CSRF_HEADER = 'x-tollgate-csrf';
const SAFE_METHODS = new Set(['GET', 'HEAD']);

/** Responds 401 to every request below ROOT without the admin key or a session; tells the routes their caller. */
export function authenticate(app: OpenAPIHono, options: AdminOptions): void {
  app.use(`${ROOT}/*`, async (context, next) => {
    context.header('cache-control', 'no-store');
    context.header('x-content-type-options', 'nosniff');
    const caller = await callerOf(context, options);
    if (isApiError(caller)) return errorResponse(context, caller);
    context.set('caller', caller);
    return withActor(caller.actor, next);
  });
}

async function callerOf(context: Context, options: AdminOptions): Promise<Caller | ApiError> {
  const authorization = context.req.header('authorization');
  // A request that sends a wrong key fails, even with a valid cookie.
  if (authorization !== undefined) {
    if (isAdmin(authorization, options.adminKey)) return { team: null, actor: 'admin key', sessionId: null };
    noteFailure(context, options, 'admin_key');
    return apiError('invalid_api_key', 'send the admin key: Authorization: Bearer <key>');
  }
  const session = await sessionOf(context, options);
  if (session === null) {
    return apiError(
      'invalid_api_key',
      'send the admin key: Authorization: Bearer <key>, or sign in at /console',
    );
  }
  if (!SAFE_METHODS.has(context.req.method) && !isSame(context.req.header(CSRF_HEADER) ?? '', session.csrf)) {
    return apiError(
      'csrf_failed',
      `a change in a session needs the header ${CSRF_HEADER}: see GET /console/session`,
    );
  }
  const { owner, id } = session;
  const { teamId, keyId } = owner.role === 'team' ? owner : { teamId: null, keyId: null };
  return { team: teamId, actor: actorOf({ id, keyId }), sessionId: id };
}

/** Notes that a key was wrong: for the admin API, or for a session. All failures are bounded together. */
export function noteFailure(
  context: Context,
  { accessLog, addresses }: AdminOptions,
  resource: 'admin_key' | 'session',
): void {
  const address = addresses.of(senderOf(context));
  accessLog.note(`fail ${resource}`, {
    actor: `address ${address}`,
    action: 'fail',
    resource,
    resourceId: '',
    teamId: null,
    after: null,
  });
}

/** Returns the session of the request's cookie; null without one, or when it has ended. */
export async function sessionOf(context: Context, { sessions }: AdminOptions): Promise<Session | null> {
  const token = getCookie(context, SESSION_COOKIE);
  return token === undefined ? null : sessions.read(token);
}

/** Returns where a request comes from, as far as its connection and headers say. */
export function senderOf(context: Context): Sender {
  // Without a server there is no connection.
  const { incoming } = (context.env ?? {}) as Partial<HttpBindings>;
  return { remoteAddress: incoming?.socket.remoteAddress ?? '', rawHeaders: incoming?.rawHeaders ?? [] };
}

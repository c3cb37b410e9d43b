/**
 * Access: authentication of every request to the admin API. Invariant: a session changes nothing without its CSRF token.
 * What a caller may do is looked up with every request, so a change of it binds on every replica at once.
 */
import type { HttpBindings } from '@hono/node-server';
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { getCookie } from 'hono/cookie';
import type { Sender } from '../auth/addresses.ts';
import { isAdmin, isSame } from '../auth/admin-key.ts';
import { hashKey, isTokenText } from '../auth/keys.ts';
import { actorOf, type Session, type SessionOwner } from '../auth/sessions.ts';
import { type ApiError, apiError, isApiError } from '../domain/errors.ts';
import { Authority, EVERYTHING } from '../domain/roles.ts';
import { withActor } from '../store/changes.ts';
import { useToken } from '../store/tokens.ts';
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
    if (isAdmin(authorization, options.adminKey)) return ADMIN_KEY_CALLER;
    const holder = await tokenHolder(authorization, options);
    if (holder !== null) return holder;
    noteFailure(context, options, 'admin_key');
    return apiError(
      'invalid_api_key',
      'send the admin key or a service token that is not revoked or expired: Authorization: Bearer <key>',
    );
  }
  const session = await sessionOf(context, options);
  if (session === null) {
    return apiError(
      'invalid_api_key',
      'send the admin key or a service token: Authorization: Bearer <key>, or sign in at /console',
    );
  }
  if (!SAFE_METHODS.has(context.req.method) && !isSame(context.req.header(CSRF_HEADER) ?? '', session.csrf)) {
    return apiError(
      'csrf_failed',
      `a change in a session needs the header ${CSRF_HEADER}: see GET /console/session`,
    );
  }
  const { owner, id } = session;
  const keyId = owner.role === 'team' ? owner.keyId : null;
  const person = owner.role === 'person' ? owner.person : null;
  return {
    authority: authorityOf(owner),
    actor: actorOf({ id, keyId, userName: person?.userName ?? null }),
    sessionId: id,
    personId: person?.id ?? null,
    isToken: false,
  };
}

const ADMIN_KEY_CALLER: Caller = {
  authority: EVERYTHING,
  actor: 'admin key',
  sessionId: null,
  personId: null,
  isToken: false,
};

async function tokenHolder(authorization: string, { database, nowMs }: AdminOptions): Promise<Caller | null> {
  const [, text = ''] = /^Bearer +(\S+) *$/i.exec(authorization) ?? [];
  const holder = isTokenText(text) ? await useToken(database, hashKey(text), nowMs()) : null;
  if (holder === null) return null;
  const actor = `token ${holder.name} (${holder.prefix}…)`;
  return { authority: holder.authority, actor, sessionId: null, personId: null, isToken: true };
}

/** Returns what a session may do: the admin key everything, a virtual key read its team, a person what their roles say. */
export function authorityOf(owner: SessionOwner): Authority {
  if (owner.role === 'admin') return EVERYTHING;
  if (owner.role === 'team') return new Authority([{ role: 'key', teams: new Set([owner.teamId]) }]);
  return new Authority(owner.person.held);
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

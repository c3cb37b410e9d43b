/**
 * Routes: signing in to the web console, and out, which stand outside of the admin API because they need no
 * authentication; and the sessions that are open.
 */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { deleteCookie, getCookie, setCookie } from 'hono/cookie';
import type { z } from 'zod';
import { Attempts } from '../auth/attempts.ts';
import { actorOf, type Session as Opened } from '../auth/sessions.ts';
import { type ApiError, apiError, isApiError } from '../domain/errors.ts';
import { asId, type PersonId } from '../domain/ids.ts';
import { type Authority, PERMISSIONS, type Permission } from '../domain/roles.ts';
import { findKeyRow } from '../store/keys.ts';
import { listSessions, type SessionRow } from '../store/sessions.ts';
import { authorityOf, noteFailure, SESSION_COOKIE, senderOf, sessionOf } from './access.ts';
import { NewSession, OpenSession, OpenSessions, pageQuery, type Session } from './contract.ts';
import type { AdminOptions } from './options.ts';
import { instantOf, pageOf } from './page.ts';
import { errorResponse, readBody, route } from './route.ts';
import type { Caller } from './scope.ts';

const PATH = '/console/session';
const BODY_BYTES_MAX = 10_000;
const FAILURES_MAX = 10;

const tooLarge = apiError('request_too_large', `a body of more than ${BODY_BYTES_MAX} bytes`);
/** A form on another site can send text, but not the JSON content type: it cannot sign a browser in. */
const notJson = apiError('invalid_request', 'send the header content-type: application/json');

export function sessionRoutes(app: OpenAPIHono, options: AdminOptions): void {
  const { sessions, nowMs, addresses } = options;
  const attempts = new Attempts(FAILURES_MAX, nowMs);
  app.use(PATH, async (context, next) => {
    context.header('cache-control', 'no-store');
    await next();
  });
  app.use(
    PATH,
    bodyLimit({ maxSize: BODY_BYTES_MAX, onError: (context) => errorResponse(context, tooLarge) }),
  );
  app.post(PATH, async (context) => {
    if (!/^application\/json\b/i.test(context.req.header('content-type') ?? ''))
      return errorResponse(context, notJson);
    const body = await readBody(context, NewSession);
    if (isApiError(body)) return errorResponse(context, body);
    const sender = senderOf(context);
    const opened = await sessions.open(body.data.key.trim(), sender);
    if (isApiError(opened)) {
      noteFailure(context, options, 'session');
      return errorResponse(context, wrongKey(addresses.of(sender), opened));
    }
    setSessionCookie(context, options, opened);
    return context.json(await toSession(options, opened.session));
  });
  /** Only wrong keys are locked out: a right one opens a session, however many guesses come from the same address. */
  function wrongKey(address: string, error: ApiError): ApiError {
    if (error.code !== 'invalid_api_key') return error;
    const retryAfterMs = attempts.waitMs(address);
    if (retryAfterMs === 0) {
      attempts.failed(address);
      return apiError(error.code, error.message, { param: 'key' });
    }
    return apiError('rate_limit_exceeded', 'too many wrong keys: wait a minute', { retryAfterMs });
  }
  app.get(PATH, async (context) => {
    const session = await sessionOf(context, options);
    // Not an error: the console asks this first, before anyone has signed in.
    if (session === null) return context.body(null, 204);
    return context.json(await toSession(options, session));
  });
  app.delete(PATH, async (context) => {
    const token = getCookie(context, SESSION_COOKIE);
    if (token !== undefined) await sessions.signOut(token);
    deleteCookie(context, SESSION_COOKIE, cookieOptions(context));
    return context.body(null, 204);
  });
}

/** Routes: the sessions that are open: one's own, and for admins those of everyone. */
export function sessionListRoutes(app: OpenAPIHono, { database, sessions }: AdminOptions): void {
  const toItem = (row: SessionRow, own: string | null) => ({
    id: row.id,
    actor: actorOf(row),
    role: roleOf(row),
    team_id: row.teamId,
    key_id: row.keyId,
    person_id: row.personId,
    address: row.address,
    user_agent: row.userAgent,
    created_at: instantOf(row.createdAt),
    expires_at: instantOf(row.expiresAt),
    current: row.id === own,
  });
  route(
    app,
    {
      method: 'get',
      path: '/sessions',
      summary:
        "List the open sessions of the console, newest first: all of them for admins, one's own for others",
      query: pageQuery,
      response: OpenSessions,
    },
    async ({ query, caller }) =>
      pageOf(query, {
        list: async (page) => {
          const of = sessionsOf(caller);
          return of === 'none' ? [] : listSessions(database, { ...page, personId: of });
        },
        idOf: (row) => row.id,
        view: (row) => toItem(row, caller.sessionId),
      }),
  );
  route(
    app,
    {
      method: 'delete',
      path: '/sessions/{id}',
      summary: 'End a session, wherever it is used',
      response: OpenSession,
    },
    async ({ id, caller }) => {
      const of = sessionsOf(caller);
      const ended = of === 'none' ? null : await sessions.revoke(asId(id), caller.actor, of);
      return ended === null ? null : toItem(ended, caller.sessionId);
    },
  );
}

function roleOf({ keyId, personId }: SessionRow): 'admin' | 'team' | 'person' {
  if (personId !== null) return 'person';
  return keyId === null ? 'admin' : 'team';
}

/** Returns whose sessions the caller may see and end; null: everyone's. */
function sessionsOf({ authority, personId }: Caller): PersonId | null | 'none' {
  return authority.reach('people') === 'all' ? null : (personId ?? 'none');
}

/** Gives the browser its session. */
export function setSessionCookie(
  context: Context,
  { nowMs }: AdminOptions,
  { token, session }: { token: string; session: Opened },
): void {
  const maxAge = Math.floor((session.expiresAtMs - nowMs()) / 1000);
  setCookie(context, SESSION_COOKIE, token, { ...cookieOptions(context), maxAge });
}

function cookieOptions(context: Context) {
  const secure =
    new URL(context.req.url).protocol === 'https:' || context.req.header('x-forwarded-proto') === 'https';
  return { httpOnly: true, sameSite: 'Strict', path: '/', secure } as const;
}

async function toSession(
  { database }: AdminOptions,
  { owner, csrf, expiresAtMs }: Opened,
): Promise<z.input<typeof Session>> {
  const common = {
    csrf,
    expires_at: instantOf(new Date(expiresAtMs)),
    permissions: permissionsOf(authorityOf(owner)),
    person: null,
    team: null,
    key: null,
  };
  if (owner.role === 'admin') return { ...common, role: 'admin' };
  if (owner.role === 'person') {
    const { id, userName, displayName } = owner.person;
    return { ...common, role: 'person', person: { id, user_name: userName, display_name: displayName } };
  }
  const key = await findKeyRow(database, owner.keyId);
  return {
    ...common,
    role: 'team',
    team: { id: owner.teamId, name: owner.teamName },
    key: { id: owner.keyId, name: key?.name ?? '' },
  };
}

/** Returns the permissions that are held, each with the teams of which it is. */
function permissionsOf(authority: Authority) {
  const held = PERMISSIONS.flatMap((name) => {
    const reach = authority.reach(name);
    return reach === null ? [] : [[name, reach === 'all' ? reach : [...reach]]];
  });
  return Object.fromEntries(held) as Partial<Record<Permission, 'all' | string[]>>;
}

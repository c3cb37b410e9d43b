/**
 * Routes: signing in through the identity provider. The browser goes to `/console/oidc/start`, from there to the provider,
 * back to the callback, and ends on a page of the console. Invariant: what the browser keeps between is for this sign-in
 * alone, and the session is always a new one.
 */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { deleteCookie, getCookie, setCookie } from 'hono/cookie';
import { Attempts } from '../auth/attempts.ts';
import { attempt, CALLBACK_PATH, consolePage, type SignInAttempt, type SignInProblem } from '../auth/oidc.ts';
import { type ApiError, apiError } from '../domain/errors.ts';
import { withActor } from '../store/changes.ts';
import { signInPerson } from '../store/sign-in.ts';
import { noteFailure, senderOf } from './access.ts';
import type { AdminOptions } from './options.ts';
import { errorResponse } from './route.ts';
import { setSessionCookie } from './session.ts';

const PATH = '/console/oidc';
const COOKIE = 'tollgate_sign_in';
/** How long one may take at the provider. */
const ATTEMPT_S = 600;
/** Sign-ins from one address that may fail in a minute. */
const FAILURES_MAX = 30;

export function signInRoutes(app: OpenAPIHono, options: AdminOptions): void {
  const { database, sessions, oidc = null, addresses, nowMs } = options;
  app.use(`${PATH}/*`, async (context, next) => {
    context.header('cache-control', 'no-store');
    context.header('referrer-policy', 'no-referrer');
    await next();
  });
  app.get(PATH, (context) => context.json({ enabled: oidc !== null }));
  if (oidc === null) return;
  const attempts = new Attempts(FAILURES_MAX, nowMs);
  const back = (context: Context, problem: SignInProblem) => {
    noteFailure(context, options, 'session');
    attempts.failed(addresses.of(senderOf(context)));
    return context.redirect(`/console?sign_in=${problem}`, 303);
  };
  app.get(`${PATH}/start`, async (context) => {
    const begun = await oidc.begin(consolePage(context.req.query('to')));
    if (typeof begun === 'string') return back(context, begun);
    // Not Strict: the way back from the provider begins on another site.
    setCookie(context, COOKIE, packed(begun.attempt), { ...cookieOptions(context), maxAge: ATTEMPT_S });
    return context.redirect(begun.url, 303);
  });
  app.get(CALLBACK_PATH, async (context) => {
    const kept = unpacked(getCookie(context, COOKIE));
    deleteCookie(context, COOKIE, cookieOptions(context));
    if (kept === null) return back(context, 'expired');
    // Each makes Tollgate ask the provider: not as often as a sender likes.
    const retryAfterMs = attempts.waitMs(addresses.of(senderOf(context)));
    if (retryAfterMs > 0) return errorResponse(context, tooMany(retryAfterMs));
    const identity = await oidc.finish(new URL(context.req.url).search, kept);
    if (typeof identity === 'string') return back(context, identity);
    const person = await withActor('identity provider', () => signInPerson(database, identity));
    if (typeof person === 'string') return back(context, person);
    const opened = await sessions.openFor(person, senderOf(context));
    setSessionCookie(context, options, opened);
    return context.redirect(consolePage(kept.to), 303);
  });
}

function tooMany(retryAfterMs: number): ApiError {
  return apiError('rate_limit_exceeded', 'too many sign-ins failed from here: wait a minute', {
    retryAfterMs,
  });
}

function cookieOptions(context: Context) {
  const secure =
    new URL(context.req.url).protocol === 'https:' || context.req.header('x-forwarded-proto') === 'https';
  return { httpOnly: true, sameSite: 'Lax', path: PATH, secure } as const;
}

function packed(kept: SignInAttempt): string {
  return Buffer.from(JSON.stringify(kept)).toString('base64url');
}

/** Returns what the cookie says; null: it is none of ours. */
function unpacked(cookie: string | undefined): SignInAttempt | null {
  try {
    return attempt.parse(JSON.parse(Buffer.from(cookie ?? '', 'base64url').toString()));
  } catch {
    return null;
  }
}

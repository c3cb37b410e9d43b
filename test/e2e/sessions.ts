/** A browser that is signed in to the console, as far as the server can see it. */
import { send, type WireAnswer } from './wire.ts';

export interface Signed {
  /** What the server said of the session. */
  session: { role: string; csrf: string; team: { id: string } | null; key: { id: string } | null };
  cookie: string;
  setCookie: string;
  ask(method: string, path: string, options?: AskOptions): Promise<{ status: number; body: Body }>;
}

export interface AskOptions {
  body?: unknown;
  /** Default: the session's own; null sends none. */
  csrf?: string | null;
  headers?: string[];
}

/** An answer's JSON, with the names into which tests look deeper. */
export interface Body {
  id: string;
  data: Body[];
  error: { code: string };
  paths: Record<string, Record<string, unknown>>;
  [name: string]: unknown;
}

const JSON_TYPE = ['content-type', 'application/json'];

export function postKey(origin: string, key: string, headers: string[] = JSON_TYPE): Promise<WireAnswer> {
  return send(origin, { path: '/console/session', headers, body: JSON.stringify({ key }) });
}

/** Signs in; throws unless that succeeds. */
export async function signIn(origin: string, key: string, headers: string[] = []): Promise<Signed> {
  const answer = await postKey(origin, key, [...JSON_TYPE, ...headers]);
  if (answer.status !== 200) throw new Error(`${answer.status} ${answer.body}`);
  const session = JSON.parse(answer.body.toString());
  const setCookie = answer.headers['set-cookie']!;
  const cookie = setCookie.split(';', 1)[0]!;
  return {
    session,
    cookie,
    setCookie,
    async ask(method, path, { body, csrf = session.csrf, headers: more = [] } = {}) {
      const token = csrf === null ? [] : ['x-tollgate-csrf', csrf];
      const { status, body: bytes } = await send(origin, {
        method,
        path,
        headers: ['cookie', cookie, ...token, ...more],
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      return { status, body: JSON.parse(bytes.toString() || 'null') };
    },
  };
}

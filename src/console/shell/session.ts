/** Who is signed in: the cookie is the browser's and no script sees it; what is known here came from the session's own answer. */
import { createContext } from 'preact';
import { useContext } from 'preact/hooks';
import { ApiError, ask, setCsrf } from '../api/client.ts';
import type { Session } from '../api/types.ts';

const URL_OF_SESSION = '/console/session';

/** The session of this browser; null: nobody is signed in. */
export async function readSession(): Promise<Session | null> {
  try {
    const session = await ask<Session | null>('GET', URL_OF_SESSION);
    return session && accept(session);
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) return null;
    throw error;
  }
}

/** @throws ApiError for a key that is not in force, or too many attempts */
export async function signIn(key: string): Promise<Session> {
  return accept(await ask<Session>('POST', URL_OF_SESSION, { key }));
}

export async function signOut(): Promise<void> {
  await ask<null>('DELETE', URL_OF_SESSION);
  setCsrf('');
}

function accept(session: Session): Session {
  setCsrf(session.csrf);
  return session;
}

export const SessionContext = createContext<Session | null>(null);

/** The session; only pages ask, and there are none without one. */
export function useSession(): Session {
  const session = useContext(SessionContext);
  if (!session) throw new Error('a page is shown and nobody is signed in');
  return session;
}

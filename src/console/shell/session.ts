/** The session. Scripts cannot read its cookie; its team and role come from the response of `/console/session`. */
import { createContext } from 'preact';
import { useContext } from 'preact/hooks';
import { ApiError, request, setCsrf } from '../api/client.ts';
import type { Session } from '../api/types.ts';

const URL_OF_SESSION = '/console/session';

/** Returns the session of this browser; null: not signed in. */
export async function readSession(): Promise<Session | null> {
  try {
    const session = await request<Session | null>('GET', URL_OF_SESSION);
    return session && accept(session);
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) return null;
    throw error;
  }
}

/** @throws ApiError for a key that is not valid, or after too many attempts */
export async function signIn(key: string): Promise<Session> {
  return accept(await request<Session>('POST', URL_OF_SESSION, { key }));
}

/** Returns whether there is an identity provider. */
export async function readProvider(): Promise<boolean> {
  return (await request<{ enabled: boolean }>('GET', '/console/oidc')).enabled;
}

export async function signOut(): Promise<void> {
  await request<null>('DELETE', URL_OF_SESSION);
  setCsrf('');
}

function accept(session: Session): Session {
  setCsrf(session.csrf);
  return session;
}

export const SessionContext = createContext<Session | null>(null);

export type Permission = keyof Session['permissions'];

/**
 * Returns what tells whether something may be done: of one team (its id), of `any`, or of the whole organisation (`all`; null
 * is the same: what belongs to no team). What may not be done is not offered; the server asks again.
 */
export function useMay(): (permission: Permission, of?: string | null) => boolean {
  const { permissions } = useSession();
  return (permission, of = 'any') => {
    const reach = permissions[permission];
    if (reach === undefined || reach === 'all' || of === 'any') return reach !== undefined;
    return of !== null && of !== 'all' && reach.includes(of);
  };
}

/** Returns the session. Pages use it; the shell shows none without a session. */
export function useSession(): Session {
  const session = useContext(SessionContext);
  if (!session) throw new Error('a page is shown without a session');
  return session;
}

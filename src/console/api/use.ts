/** Responses of the API as state of a component: one resource, and a list that is read page by page. */
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { ApiError, get, type Query } from './client.ts';
import type { Page } from './types.ts';

export interface Loaded<T> {
  /** The last response; stays while a newer one is loading. */
  data: T | null;
  error: ApiError | null;
  /** No response yet, or `data` belongs to an earlier path or query. */
  loading: boolean;
  reload: () => void;
}

interface State<T> {
  key: string | null;
  data: T | null;
  error: ApiError | null;
}

/**
 * Reads a path of the admin API: at once, when it or its query changes, on `reload`, and every `pollMs` while the page
 * is visible. A path of null reads nothing.
 */
export function useApi<T>(path: string | null, query: Query = {}, pollMs?: number): Loaded<T> {
  const key = path === null ? null : `${path}?${JSON.stringify(query)}`;
  const [state, setState] = useState<State<T>>({ key: null, data: null, error: null });
  const [reloads, setReloads] = useState(0);
  const latestQuery = useRef(query);
  latestQuery.current = query;

  // The key holds the query.
  useEffect(() => {
    if (path === null) return;
    const abort = new AbortController();
    get<T>(path, latestQuery.current, abort.signal).then(
      (data) => setState({ key, data, error: null }),
      (error: unknown) => {
        if (abort.signal.aborted) return;
        setState((before) => ({
          key,
          data: before.key === key ? before.data : null,
          error: asApiError(error),
        }));
      },
    );
    return () => abort.abort();
  }, [key, reloads]);

  const reload = useCallback(() => setReloads((count) => count + 1), []);
  useEffect(() => {
    if (!pollMs) return;
    const timer = setInterval(() => {
      if (document.visibilityState === 'visible') reload();
    }, pollMs);
    return () => clearInterval(timer);
  }, [pollMs, reload]);

  return {
    data: state.data,
    error: state.key === key ? state.error : null,
    loading: state.key !== key,
    reload,
  };
}

export interface Pages<Item> extends Loaded<Page<Item>> {
  /** The number of the page, from 1. */
  number: number;
  toPrevious: (() => void) | null;
  toNext: (() => void) | null;
}

/** Reads a list one page at a time, and keeps the cursors of earlier pages to go back. */
export function usePages<Item>(path: string | null, query: Query, limit = 50): Pages<Item> {
  const key = `${path}?${JSON.stringify(query)}`;
  const [trail, setTrail] = useState<{ key: string; cursors: (string | null)[] }>({ key, cursors: [null] });
  const cursors = trail.key === key ? trail.cursors : [null];
  const loaded = useApi<Page<Item>>(path, { ...query, limit, after: cursors.at(-1) });
  const next = loaded.data?.next ?? null;
  return {
    ...loaded,
    number: cursors.length,
    toPrevious: cursors.length > 1 ? () => setTrail({ key, cursors: cursors.slice(0, -1) }) : null,
    toNext: next === null || loaded.loading ? null : () => setTrail({ key, cursors: [...cursors, next] }),
  };
}

export function asApiError(error: unknown): ApiError {
  return error instanceof ApiError ? error : new ApiError(0, 'broken', String(error));
}

/**
 * The router: which page is shown follows from the URL below /console. Links are plain `<a href>`, so that they open in
 * new tabs and screen readers announce them; the router handles a plain click itself.
 */
import { useEffect, useState } from 'preact/hooks';

export const BASE = '/console';

export interface PageLocation {
  /** The parts after /console: `['teams', '<id>']`. */
  parts: string[];
  query: URLSearchParams;
}

const listeners = new Set<() => void>();
let navigations = 0;

/** Returns whether the user has moved between pages; the first page must not take the focus from the browser. */
export function hasNavigated(): boolean {
  return navigations > 0;
}

export function currentLocation(): PageLocation {
  const parts = location.pathname.slice(BASE.length).split('/').filter(Boolean).map(decodeURIComponent);
  return { parts, query: new URLSearchParams(location.search) };
}

export function navigate(to: string): void {
  history.pushState(null, '', to);
  changed();
}

/** Changes the query of this page without an entry in the history: a filter is not a page. */
export function setQuery(values: Record<string, string | null>): void {
  const { query } = currentLocation();
  for (const [name, value] of Object.entries(values)) {
    if (value === null || value === '') query.delete(name);
    else query.set(name, value);
  }
  const text = query.toString();
  history.replaceState(null, '', location.pathname + (text === '' ? '' : `?${text}`));
  for (const listener of listeners) listener();
}

export function useLocation(): PageLocation {
  const [current, setCurrent] = useState(currentLocation);
  useEffect(() => {
    const listener = () => setCurrent(currentLocation());
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }, []);
  return current;
}

export function listenToLinks(): void {
  window.addEventListener('popstate', changed);
  document.addEventListener('click', (event) => {
    const link = (event.target as Element | null)?.closest?.('a');
    if (!link || event.defaultPrevented || event.button !== 0 || link.target || link.hasAttribute('download'))
      return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const isOurs = link.pathname === BASE || link.pathname.startsWith(`${BASE}/`);
    if (link.origin !== location.origin || !isOurs || isServed(link.pathname) || link.hash) return;
    event.preventDefault();
    navigate(link.pathname + link.search);
  });
}

/** Below the console's address, and yet no page of it. */
function isServed(pathname: string): boolean {
  return pathname.startsWith(`${BASE}/api`) || pathname.startsWith(`${BASE}/oidc/`);
}

function changed(): void {
  navigations++;
  for (const listener of listeners) listener();
}

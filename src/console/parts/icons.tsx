/** The logo, and an icon for each page. */

/** The bar of a tollgate. */
export function Logo() {
  return (
    <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="7" />
      <path class="mark-post" d="M8 25V9.5M5.5 25h5" />
      <path class="mark-bar" d="M8 13.5 26 9" />
    </svg>
  );
}

/** Paths in a box of 16 by 16. */
export const ICONS = {
  overview: 'M2 13.5h12M4 13.5V8m4 5.5V3m4 10.5V6',
  departments: 'M6 2.5h4v3H6zM1.5 10.5h4v3h-4zm9 0h4v3h-4zM8 5.5V8M3.5 10.5V8h9v2.5',
  teams:
    'M6 8a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5Zm-4.5 5.5a4.5 4.5 0 0 1 9 0M10.5 3.2a2.5 2.5 0 0 1 0 4.6m1.5 2a4.5 4.5 0 0 1 2.5 3.7',
  keys: 'M5 13.5a3 3 0 1 0 0-6 3 3 0 0 0 0 6Zm2.2-5.2L13.5 2m-3 3 2 2',
  limits: 'M2 12a6 6 0 1 1 12 0M8 12l3-4',
  tags: 'M6 2 4.5 14M11.5 2 10 14M2.5 5.5h11.5M2 10.5h11.5',
  plans: 'M3 3h10v10H3zM3 6.5h10M6 9.5h4',
  prices: 'M2.5 2.5h5l6 6-5 5-6-6zM5.5 5.5h.01',
  upstreams: 'M2.5 3h11v4h-11zM2.5 9h11v4h-11zM5 5h.01M5 11h.01',
  planner: 'M3 2.5h10v11H3zM5.5 5h5M5.5 8h1m2 0h2m-5 2.5h1m2 0h2',
  calls: 'M2.5 4h11m-11 4h11m-11 4h7',
  jobs: 'M3.5 2.5h9m-9 11h9M5 2.5c0 3 6 8 6 11m0-11c0 3-6 8-6 11',
  savings: 'M8 2v9M4.5 7.5 8 11l3.5-3.5M2.5 14h11',
  models: 'M8 1.5 14 5v6l-6 3.5L2 11V5zM2 5l6 3.5L14 5M8 8.5v6',
  labels: 'M2.5 2.5h11v11h-11zM5 8l2.2 2.3L11 5.8',
  notices: 'M3 12h10l-1.2-2V7a3.8 3.8 0 0 0-7.6 0v3zM6.6 12a1.5 1.5 0 0 0 2.8 0',
  reconciliation: 'M3.5 2v12l2-1.2 2.5 1.2 2.5-1.2 2 1.2V2M6 5h4.5M6 8h4.5',
  audit: 'M8 4.5V8l2.5 1.5M2.5 8a5.5 5.5 0 1 0 1.8-4.1M2.5 2.5v3h3',
  people: 'M8 8a3 3 0 1 0 0-6 3 3 0 0 0 0 6Zm-5.5 6a5.5 5.5 0 0 1 11 0',
  sessions: 'M2 3.5h12v7H2zM6 13.5h4M8 10.5v3',
  api: 'M5.5 4 2 8l3.5 4m5-8L14 8l-3.5 4',
} as const;

export type IconName = keyof typeof ICONS;

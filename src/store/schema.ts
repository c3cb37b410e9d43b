/**
 * The tables. Owns: their shape; every query lives beside its noun. Money is `numeric(24,12)` USD; whatever grows has
 * `team_id` first in its keys, so that it can be distributed by team; no serials. `usage_events` is partitioned by
 * month of `created_at` (the migration appends PARTITION BY RANGE (created_at) and a default partition).
 */
export * from './schema-archive.ts';
export * from './schema-catalog.ts';
export * from './schema-contents.ts';
export * from './schema-departments.ts';
export * from './schema-jobs.ts';
export * from './schema-ledger.ts';
export * from './schema-notices.ts';
export * from './schema-objects.ts';
export * from './schema-people.ts';
export * from './schema-reconciliation.ts';
export * from './schema-secrets.ts';
export * from './schema-tags.ts';
export * from './schema-warnings.ts';

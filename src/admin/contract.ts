/**
 * The contract of the admin API: the shape of every request and response, as zod schemas. The console knows the
 * admin API by this file alone. Invariants: bodies and queries are strict (an unknown
 * field is refused by name); money is a decimal string, a moment is ISO 8601.
 */
export * from './contract/audit.ts';
export * from './contract/console.ts';
export * from './contract/events.ts';
export * from './contract/fields.ts';
export * from './contract/ledger.ts';
export * from './contract/limit-preview.ts';
export * from './contract/limits.ts';
export * from './contract/nouns.ts';
export * from './contract/overview.ts';
export * from './contract/plans.ts';
export * from './contract/prices.ts';
export * from './contract/warnings.ts';

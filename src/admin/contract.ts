/**
 * The contract of the admin API: the shape of every request and response, as zod schemas. The console and the demo know
 * the admin API by this file alone. Invariants: bodies and queries are strict (an unknown field is an error that names
 * it); money is a decimal string, a time is ISO 8601.
 */
export * from './contract/access.ts';
export * from './contract/archive.ts';
export * from './contract/departments.ts';
export * from './contract/estimates.ts';
export * from './contract/events.ts';
export * from './contract/fields.ts';
export * from './contract/jobs.ts';
export * from './contract/labels.ts';
export * from './contract/notices.ts';
export * from './contract/people.ts';
export * from './contract/prices.ts';
export * from './contract/raises.ts';
export * from './contract/reconciliation.ts';
export * from './contract/reports.ts';
export * from './contract/resources.ts';
export * from './contract/savings.ts';
export * from './contract/secrets.ts';
export * from './contract/store.ts';
export * from './contract/tags.ts';
export * from './contract/usage.ts';

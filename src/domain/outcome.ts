/** How a call ended, and where its cost is known from. Pure. */

/** `settled`: at its cost; `voided`: nothing was billed; `unknown`: charged at its hold until there is evidence. */
export const OUTCOMES = ['settled', 'voided', 'unknown'] as const;
export type OutcomeName = (typeof OUTCOMES)[number];

/** Why an outcome is not known: `reason` of its event. */
export const UNKNOWN_REASONS = [
  'upstream_error',
  'upstream_interrupted',
  'upstream_timeout',
  'client_gone',
  'drain_timeout',
  'crash',
  'internal_error',
] as const;
export type UnknownReason = (typeof UNKNOWN_REASONS)[number];

/** By the upstream's own usage, by an estimate of ours, or not at all. */
export const PROVENANCES = ['reported', 'estimated', 'unknown'] as const;
export type Provenance = (typeof PROVENANCES)[number];

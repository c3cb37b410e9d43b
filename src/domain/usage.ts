import type { Quantities } from './quantities.ts';

/** What one call consumed, as the upstream reported it. */
export type Usage = Quantities;

/** What the response said about itself, beside its usage: both decide the bill. */
export interface MeteredResponse {
  usage: Usage | null;
  /** The tier that the response names; null when it names none (then `default` is billed). */
  serviceTier: string | null;
  /** The model that the response names (usually a dated snapshot). */
  model: string | null;
}

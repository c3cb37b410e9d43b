/**
 * Limits, grants and counters: the nouns of a budget. A limit is the rule, a grant is prepaid credit, a counter is
 * the state of one of them for one subject and window.
 */
import type { PicoUsd } from './money.ts';
import type { Window } from './window.ts';

export type Meter = 'cost_usd' | 'tokens' | 'input_tokens' | 'output_tokens' | 'requests' | 'concurrency';
export type Enforcement = 'strict' | 'soft';

export type Subject =
  | { type: 'org' }
  | { type: 'team'; id: string }
  | { type: 'key'; id: string }
  | { type: 'user'; id: string };

export interface Limit {
  id: string;
  teamId: string;
  subject: Subject;
  /** Null: all models. */
  models: string[] | null;
  meter: Meter;
  /** Pico-USD for `cost_usd`. */
  amount: PicoUsd;
  window: Window;
  enforcement: Enforcement;
}

export interface Grant {
  id: string;
  teamId: string;
  amount: PicoUsd;
  startsAtMs: number;
  /** Null: it never expires. */
  expiresAtMs: number | null;
}

/** Who called: the outcome of authentication. */
export interface Principal {
  teamId: string;
  teamName: string;
  keyId: string;
  /** Models that this key may use; null: all. A name allows its snapshots too. */
  models: string[] | null;
}

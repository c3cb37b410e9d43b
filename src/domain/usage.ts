import type { KeptAnswer } from './kept.ts';
import type { Quantities } from './quantities.ts';

/** What one call consumed, as the upstream reported it. */
export type Usage = Quantities;

/**
 * How far a response came by its own account. `complete`: a whole answer. `declined`: the upstream says that it did no
 * work. `failed`: it says that it failed, perhaps after work. `broken`: it is no answer, or ended before its last event.
 */
export type AnswerState = 'complete' | 'declined' | 'failed' | 'broken';

/** Calls of tools that the upstream ran, as far as they have a fee. */
export interface HostedUse {
  readonly webSearches: number;
  readonly fileSearches: number;
  /** Ids of the containers that it used. */
  readonly containers: readonly string[];
  /** Images that a model of its own made; null: none. */
  readonly images: MadeImages | null;
}

/** What the tool made that makes images. */
export interface MadeImages {
  readonly count: number;
  /** What its model used for all of them; null: the response does not say. */
  readonly usage: Usage | null;
}

/** What the response said about itself. */
export interface MeteredResponse {
  /** What the upstream bills; null: it did not say, or not of all. */
  usage: Usage | null;
  /** Usage of a part of the response: the bill is no less. Null: none was reported. */
  usageAtLeast: Usage | null;
  state: AnswerState;
  /** What the tools that the upstream ran are billed beside the usage; missing: nothing. */
  hosted?: HostedUse;
  /** The usage was not reported but measured here; missing: it was reported. */
  isMeasured?: boolean;
  /** The tier that the response names; null when it names none (then `default` is billed). */
  serviceTier: string | null;
  /** The model that the response names (usually a dated snapshot). */
  model: string | null;
  /** The id of a completion, which the upstream may have stored; missing: it has none. */
  id?: string | undefined;
  /** What of it later calls may come back to; null: nothing, or nothing is known. */
  kept: KeptAnswer | null;
}

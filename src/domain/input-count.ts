/** What the upstream counted for the leading items of an input, as instances share it. */

/**
 * How much of the reasoning among the items was counted. `all`: all there is. `turn`: of the input as a whole, what a call
 * that says `current_turn` is given. `some`: it may have been left out.
 */
export const GIVEN = ['all', 'turn', 'some'] as const;
export type Given = (typeof GIVEN)[number];

export interface InputCount {
  readonly teamId: string;
  readonly model: string;
  /** Which items lead it: a fingerprint, as characters of Latin-1. */
  readonly fingerprint: string;
  /** Fingerprints of the tools, instructions and formats that were counted with them. */
  readonly elements: string;
  readonly given: Given;
  readonly tokens: number;
  /** Milliseconds since the epoch. */
  readonly untilMs: number;
}

/** Jobs: calls that go on upstream after their response. Owns: their kinds and states, and what a request asks for. Pure. */

export const JOB_KINDS = ['fine_tuning', 'batch', 'response', 'eval_run'] as const;
export type JobKind = (typeof JOB_KINDS)[number];

/**
 * `asked`: its hold is durable, and the upstream was perhaps asked. `running`: the upstream has named it. The others are ends:
 * `settled` at its usage, `voided` without a cost, `unknown`: it stays charged at its hold.
 */
export const JOB_STATES = ['asked', 'running', 'settled', 'voided', 'unknown'] as const;
export type JobState = (typeof JOB_STATES)[number];

export interface FineTuningRequest {
  readonly kind: 'fine_tuning';
  readonly method: 'supervised' | 'dpo' | 'reinforcement';
  readonly epochs: 'auto' | number;
  /** Id of the training file. */
  readonly file: string;
}

export interface BatchRequest {
  readonly kind: 'batch';
  /** Id of the file with its lines. */
  readonly file: string;
  /** Path of the operation of its lines, as the client wrote it. */
  readonly endpoint: string;
}

/** A response in the background: bounded as one that is waited for. */
export interface BackgroundRequest {
  readonly kind: 'response';
}

/** A run of an eval, which its path names: its items are sampled by one model and graded by others. */
export interface EvalRunRequest {
  readonly kind: 'eval_run';
  /** Id of the file with its items; null: they stand in the request. */
  readonly file: string | null;
}

/** What a job's request asks for. */
export type JobRequest = FineTuningRequest | BatchRequest | BackgroundRequest | EvalRunRequest;

/** Objects that the upstream keeps for a team: their kinds, and how a request names them. Pure. */
import { asId, type TeamId } from './ids.ts';

/** Kinds of objects that are recorded with their team. Of the first two the weight as input is recorded too. */
export const OBJECT_KINDS = [
  ...(['response', 'conversation', 'stored_completion', 'file', 'upload', 'upload_part'] as const),
  ...(['vector_store', 'file_batch', 'container', 'batch', 'model', 'fine_tuning_job'] as const),
  ...(['skill', 'eval', 'eval_run', 'voice_consent'] as const),
] as const;
export type RecordedKind = (typeof OBJECT_KINDS)[number];

/** Stands for the team of an object that every team may use, and none may change. */
export const EVERY_TEAM = asId<TeamId>('00000000-0000-0000-0000-000000000000');

/** An object that a request names, and where. */
export interface NamedObject {
  /** An item has no record of its own: it belongs to the team of its response. */
  readonly kind: RecordedKind | 'item';
  readonly id: string;
  /** The field, or the parameter of the path or query. */
  readonly param: string;
  /** An item that the request has whole, as its client says: it may be one that no team is known to have. */
  readonly isSent?: true;
}

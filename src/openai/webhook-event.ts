/**
 * Events of the upstream's webhooks, as far as they say that a job has ended. How it ended, and what it used, is read from the job
 * itself: an event has nothing but its id (openapi.yaml, `WebhookBatchCompleted` and its like).
 */
import type { JobKind } from '../domain/job.ts';
import { isObject, parseJson } from './body.ts';

/** What the types of events about jobs begin with. */
const KINDS: readonly (readonly [prefix: string, JobKind])[] = [
  ['batch.', 'batch'],
  ['fine_tuning.job.', 'fine_tuning'],
  ['response.', 'response'],
  ['eval.run.', 'eval_run'],
];
/** What has another id is none of ours, and might not be stored. */
const PLAIN_ID = /^[\w.:-]{1,256}$/;

/** Returns of which job an event speaks; null: of none, as one of a video or of a call. */
export function jobInEvent(body: Buffer): { kind: JobKind; upstreamId: string } | null {
  const event = parseJson(body.toString());
  if (!isObject(event) || typeof event.type !== 'string' || !isObject(event.data)) return null;
  const { type } = event;
  const { id } = event.data;
  const [, kind] = KINDS.find(([prefix]) => type.startsWith(prefix)) ?? [];
  if (kind === undefined || typeof id !== 'string' || !PLAIN_ID.test(id)) return null;
  return { kind, upstreamId: id };
}

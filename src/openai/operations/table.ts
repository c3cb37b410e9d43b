/**
 * The table of operations. Owns: which operations exist. Does not own: what each of them is (the family files), nor how a
 * request line finds its own (request.ts). Invariant: what is not in this table, or stands in it with
 * a reason against it, is never forwarded.
 */
import { AUDIO } from './audio.ts';
import { CHAT } from './chat.ts';
import { PROMPTS } from './completions.ts';
import { CONTAINERS } from './containers.ts';
import { CONVERSATIONS } from './conversations.ts';
import type { Descriptor } from './descriptor.ts';
import { EVALS } from './evals.ts';
import { FILES } from './files.ts';
import { FREE } from './free.ts';
import { IMAGES } from './images.ts';
import { JOBS } from './jobs.ts';
import { PROVENANCE } from './provenance.ts';
import { REALTIME } from './realtime.ts';
import { REFUSED } from './refused.ts';
import { RESPONSES } from './responses.ts';
import { SKILLS } from './skills.ts';
import { VECTOR_STORES } from './vector-stores.ts';
import { VOICES } from './voices.ts';

/** Every operation, in the order in which people look for them. */
export const OPERATIONS: readonly Descriptor[] = [
  ...[
    ...CHAT,
    ...RESPONSES,
    ...PROMPTS,
    ...AUDIO,
    ...REALTIME,
    ...IMAGES,
    ...FREE,
    ...CONVERSATIONS,
    ...FILES,
    ...VECTOR_STORES,
    ...CONTAINERS,
    ...SKILLS,
    ...VOICES,
    ...PROVENANCE,
    ...EVALS,
  ],
  ...[...JOBS, ...REFUSED],
];

/** The operations whose responses are texts, speech or images that people can check; a compacted conversation is none. */
export const CHECKABLE = OPERATIONS.filter(
  ({ usage, report, otel }) => usage !== null && report !== 'embeddings' && otel !== 'compaction',
).map(({ name }) => name);

/** The operations that a usage report of the upstream covers, by the report's name. */
export function operationsOfReport(report: NonNullable<Descriptor['report']>): string[] {
  return OPERATIONS.filter((descriptor) => descriptor.report === report).map(({ name }) => name);
}

/**
 * The job `keep-contents`: seals and stores what calls say, of teams that keep it, and deletes it when its time is over. Does not own:
 * which calls are kept (domain/contents.ts). Invariant: nothing is stored in the clear.
 */
import type { Sealer } from '../auth/seal.ts';
import type { CallContent, ContentEnd, ContentQueue } from '../domain/contents.ts';
import {
  aboutContent,
  addContents,
  countKeepingTeams,
  type NewContent,
  PRUNED_AT_ONCE,
  pruneContents,
} from '../store/contents.ts';
import type { Sql } from '../store/database.ts';
import { type Job, startJob } from './every.ts';

interface KeepContentsOptions {
  sql: Sql;
  queue: ContentQueue;
  /** Null: there is no key, so nothing is stored; what is there is deleted in its time all the same. */
  sealer: Sealer | null;
  /** Called once with how many teams want what their calls say kept, where there is no key. */
  onNoKey(teams: number): void;
  onEnd(end: ContentEnd): void;
  onError(error: unknown): void;
}

const STORE_EVERY_MS = 1_000;
const PRUNE_EVERY_MS = 60_000;

/** Starts both parts; a stop stores what waits. */
export function startKeepContents(options: KeepContentsOptions): Job {
  const { sql, onError } = options;
  if (options.sealer === null)
    countKeepingTeams(sql).then((teams) => {
      if (teams > 0) options.onNoKey(teams);
    }, onError);
  const storing = startJob({ intervalMs: STORE_EVERY_MS, run: () => storeContents(options), onError });
  const pruning = startJob({
    firstAfterMs: STORE_EVERY_MS,
    intervalMs: PRUNE_EVERY_MS,
    run: async (signal) => {
      while (!signal.aborted && (await pruneContents(sql)) === PRUNED_AT_ONCE);
    },
    onError,
  });
  return {
    async stop() {
      await Promise.all([storing.stop(), pruning.stop()]);
      await storeContents(options).catch(onError);
    },
  };
}

/** Stores all that waits. What Postgres does not take is lost: contents are no money. */
async function storeContents({ sql, queue, sealer, onEnd, onError }: KeepContentsOptions): Promise<void> {
  while (queue.length > 0) {
    const taken = queue.take();
    if (sealer === null) continue;
    for (const content of taken) {
      try {
        const kept = await addContents(sql, [sealed(sealer, content)]);
        for (let count = 0; count < kept; count++) onEnd('stored');
      } catch (error) {
        onEnd('failed');
        onError(error);
      }
    }
  }
}

function sealed(sealer: Sealer, content: CallContent): NewContent {
  const { teamId, eventId, atMs: eventAtMs, request, response } = content;
  const plain = JSON.stringify({
    request: Buffer.concat(request).toString(),
    response: Buffer.concat(response).toString(),
  });
  const key = { teamId, eventId, part: 'call' as const };
  return { ...key, eventAtMs, sealed: sealer.seal(Buffer.from(plain), aboutContent(key)) };
}

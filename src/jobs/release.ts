/**
 * The job `release`: releases calls of unknown outcome that have had no evidence for long, by why they are unknown. Off
 * unless an admin has chosen: what the upstream billed of them after all is then spent beyond a budget.
 */
import type { UnknownReason } from '../domain/outcome.ts';
import { runAlone } from '../store/changes.ts';
import type { Database } from '../store/database.ts';
import { type Released, releaseUnknown } from '../store/unknown.ts';

/** Any number, the same in every version of Tollgate. */
const RELEASE_LOCK = 8_655_428_304;
const HOUR_MS = 3_600_000;

/**
 * Releases what is due; returns how much of each reason, or null while another replica does so.
 * @param nowMs Postgres's clock
 */
export function releaseByPolicy(
  database: Database,
  afterHours: ReadonlyMap<UnknownReason, number>,
  nowMs: number,
): Promise<(Released & { because: UnknownReason })[] | null> {
  return runAlone(database, RELEASE_LOCK, async () => {
    const all: (Released & { because: UnknownReason })[] = [];
    for (const [because, hours] of afterHours) {
      const filter = { because, to: new Date(nowMs - hours * HOUR_MS) };
      const reason = `no evidence in ${hours} hours (${because})`;
      const released = await releaseUnknown(database, filter, { reason, actor: 'release' });
      if (released.calls > 0) all.push({ ...released, because });
    }
    return all;
  });
}

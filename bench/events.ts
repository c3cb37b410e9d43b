/** How long Postgres needs to take the usage events of a load: asks the embedded database of a gateway. */
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { closeClient, openClient } from '../src/store/database.ts';

const POLL_MS = 20;
const TIMEOUT_MS = 60_000;

/** Where Tollgate's embedded Postgres listens, below its data folder. */
const SOCKET = 'postgres/.s.PGSQL.5432';

/**
 * Returns when the ledger of `dataDir` has `count` usage events of calls that began at `since` or later. Throws when that
 * takes longer than a minute.
 */
export async function waitForEvents(dataDir: string, since: Date, count: number): Promise<void> {
  const sql = openClient({ path: resolve(dataDir, SOCKET), user: 'postgres', database: 'tollgate' }, 1);
  const deadlineMs = performance.now() + TIMEOUT_MS;
  try {
    for (;;) {
      const [row] = await sql<{ events: number }[]>`
        select count(*)::int4 as events from usage_events where created_at >= ${since}`;
      const events = row?.events ?? 0;
      if (events >= count) return;
      if (performance.now() > deadlineMs)
        throw new Error(
          `${TIMEOUT_MS / 1_000} s after the last call Postgres has ${events} of ${count} events`,
        );
      await sleep(POLL_MS);
    }
  } finally {
    await closeClient(sql);
  }
}

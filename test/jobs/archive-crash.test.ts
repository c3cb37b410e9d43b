/** The archive killed at any moment: each event is in the ledger, or in a whole file of a month that left it. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { ensurePartitions } from '../../src/store/partitions.ts';
import { temporaryFolder } from '../support/folder.ts';
import { createTestDatabase } from '../support/postgres.ts';

const PROGRAM = fileURLToPath(new URL('archive-process.ts', import.meta.url));
const { database, connection, drop } = await createTestDatabase();
const { sql } = database;
afterAll(drop);

const EVENTS = 1_900;

async function fill(): Promise<void> {
  await ensurePartitions(sql, Date.UTC(2025, 0, 1));
  await sql`
    insert into usage_events (team_id, created_at, id, key_id, instance_id, operation, model, stream, outcome, provenance,
      input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_usd, hold_usd,
      allocations, stage_us)
    select gen_random_uuid(), timestamptz '2025-01-01T00:00:00Z' + n * interval '40 minutes', gen_random_uuid(),
      gen_random_uuid(), gen_random_uuid(), 'responses', 'm', false, 'settled', 'reported', n, 0, 0, n, 0,
      n * 0.000000000001, n, '[]', '{}'
    from generate_series(0, ${EVENTS - 1}) n`;
}

/** Starts it, and kills it after a time; null: lets it end. */
async function archive(folder: string, killAfterMs: number | null): Promise<number | null> {
  const child = spawn(process.execPath, [PROGRAM, JSON.stringify(connection), folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  await once(child.stdout, 'data');
  if (killAfterMs !== null) {
    await delay(killAfterMs);
    child.kill('SIGKILL');
  }
  const [code] = (await ended) as [number | null];
  return code;
}

/** What the ledger has, and what months that left it have in files whose checksums hold. */
async function everything(): Promise<{ events: number; cost: bigint; archived: number }> {
  const [left] = await sql<{ events: number; cost: string }[]>`
    select count(*)::float8 as events, coalesce(sum(cost_usd), 0)::text as cost from usage_events`;
  let [events, cost, archived] = [left!.events, usd(left!.cost), 0];
  const months = await sql<{ folder: string; events: number; manifest: string }[]>`
    select folder, events::float8 as events, manifest_sha256 as manifest from archived_months where archived_at is not null`;
  for (const month of months) {
    archived++;
    const manifest = await readFile(join(month.folder, 'manifest.json'));
    expect(createHash('sha256').update(manifest).digest('hex')).toBe(month.manifest);
    for (const file of JSON.parse(manifest.toString()).files) {
      const bytes = await readFile(join(month.folder, file.name));
      expect(createHash('sha256').update(bytes).digest('hex')).toBe(file.sha256);
      events += file.events;
      cost += usd(file.cost_usd);
    }
  }
  return { events, cost, archived };
}

test('each event is in the ledger or in files, whenever the process is killed, and the next one goes on', async () => {
  const folder = await temporaryFolder();
  await fill();
  const all = await everything();
  expect(all.events).toBe(EVENTS);
  for (const killAfterMs of [0, 150, 400]) {
    await archive(folder, killAfterMs);
    expect(await everything()).toMatchObject({ events: all.events, cost: all.cost });
  }
  // Two at once: one of them finds the other at it.
  expect(await Promise.all([archive(folder, null), archive(folder, null)])).toEqual([0, 0]);
  expect(await everything()).toEqual({ ...all, archived: 4 });
  const [left] = await sql<
    { events: number }[]
  >`select count(*)::int4 as events from usage_events where created_at < '2025-03-01'`;
  expect(left).toEqual({ events: 0 });
}, 120_000);

import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MINUTE_MS, minutesOf } from '../../src/domain/reconcile.ts';
import { type CallFacts, eventJson, factsJson, type Outcome, uuidV7 } from '../../src/ledger/events.ts';
import { eventFromJson } from '../../src/ledger/read-journal.ts';
import { flush } from '../../src/store/hot/flush.ts';
import { registerInstance } from '../../src/store/hot/instances.ts';
import { readKnownUsage } from '../../src/store/known-usage.ts';
import { insertTeam } from '../support/catalog.ts';
import { factsOf, settledOutcome } from '../support/events.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';

const NOON_MS = Date.parse('2026-11-24T12:00:00Z');
const SPAN = minutesOf(NOON_MS - 10 * MINUTE_MS, NOON_MS + 10 * MINUTE_MS);
const CHAT = ['chat.completions'];
const instanceId = randomUUID();

let db: TestDatabase;
let teams: string[];
beforeAll(async () => {
  db = await createTestDatabase();
  const { sql } = db.database;
  await registerInstance(sql, instanceId);
  teams = [await insertTeam(sql), await insertTeam(sql)];
});
afterAll(() => db.drop());

type Changes = Partial<Outcome> & { stageUs?: Record<string, number> };

/** A call that was answered `livedMs` after its admission; answers what it should be summed under. */
async function answered(
  atMs: number,
  livedMs: number,
  { stageUs = { reserve: 250, forward: livedMs * 1000 - 250 }, ...changes }: Changes = {},
  facts: Partial<CallFacts> = {},
) {
  const id = uuidV7(atMs);
  const teamId = teams[answeredCount++ % teams.length]!;
  const outcome = settledOutcome(1n, changes);
  const json = eventJson(
    factsJson(id, instanceId, factsOf(teamId, randomUUID(), facts), 1n),
    outcome,
    '[]',
    stageUs,
  );
  await flush(db.database.sql, { instanceId, events: [eventFromJson(json)], reports: [] });
  return minutesOf(atMs, atMs + livedMs);
}
let answeredCount = 0;

const read = (span = SPAN) => readKnownUsage(db.database.sql, null, CHAT, span);

test('known usage is what the upstream reported, by the minutes of its life, over all teams', async () => {
  const short = await answered(NOON_MS, 1_000);
  await answered(NOON_MS + 1, 900);
  const long = await answered(NOON_MS + 59_999, 61_000);
  await answered(NOON_MS, 1_000, { provenance: 'estimated' });
  await answered(NOON_MS, 1_000, { outcome: 'unknown', provenance: 'unknown' });
  await answered(NOON_MS, 1_000, { outcome: 'voided' });
  await answered(NOON_MS, 1_000, { stageUs: {} });
  await answered(NOON_MS, 1_000, {}, { operation: 'embeddings' });
  const names = { model: 'gpt-4o', responseModel: 'gpt-4o-2024-08-06' };
  const usage = (calls: number) => ({
    input_tokens: 10 * calls,
    uncached_input_tokens: 7 * calls,
    cached_input_tokens: calls,
    cache_write_tokens: 2 * calls,
    output_tokens: 3 * calls,
  });
  const rows = await read();
  expect(rows.sort((a, b) => a.lastMinute - b.lastMinute)).toEqual([
    { ...short, ...names, usage: usage(2) },
    { ...long, ...names, usage: usage(1) },
  ]);
});

test('a call that may reach beyond the range is not known usage', async () => {
  const later = NOON_MS + 60 * MINUTE_MS;
  const life = await answered(later, 90_000);
  expect(await read(life)).toHaveLength(1);
  expect(await read({ ...life, firstMinute: life.firstMinute + 1 })).toEqual([]);
  expect(await read({ ...life, lastMinute: life.lastMinute - 1 })).toEqual([]);
});

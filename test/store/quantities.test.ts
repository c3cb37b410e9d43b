/** What a call used beside tokens of text, from the event to the sums. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Events, Usage } from '../../src/admin/contract.ts';
import type { Quantities } from '../../src/domain/quantities.ts';
import { eventJson, factsJson, uuidV7 } from '../../src/ledger/events.ts';
import { eventFromJson } from '../../src/ledger/read-journal.ts';
import { registerInstance } from '../../src/store/hot/instances.ts';
import { PostgresLedgerStore } from '../../src/store/hot/ledger-store.ts';
import { ADMIN_KEY, createTestAdmin, type Json, type TestAdmin } from '../admin/support.ts';
import { factsOf, settledOutcome } from '../support/events.ts';

const NOW_MS = Date.parse('2026-11-24T10:00:00.000Z');
const TEXT = { input_tokens: 10, cached_input_tokens: 1, output_tokens: 3 };

let admin: TestAdmin;
let team: Json;
let key: Json;
let store: PostgresLedgerStore;
const instanceId = randomUUID();
const other = randomUUID();
beforeAll(async () => {
  admin = await createTestAdmin(new Date(NOW_MS).toISOString());
  team = await admin.make('/teams', { name: 'research', plan: null });
  key = await admin.make('/keys', { team_id: team.id, name: 'notebooks' });
  const { sql } = admin.database;
  store = new PostgresLedgerStore(sql);
  for (const id of [instanceId, other]) await registerInstance(sql, id);
});
afterAll(() => admin.close());

function eventOf(usage: Quantities, atMs: number, model = 'gpt-realtime') {
  const facts = factsOf(team.id, key.id, { model });
  return eventFromJson(
    eventJson(factsJson(uuidV7(atMs), instanceId, facts, 5n), settledOutcome(5n, { usage }), '[]'),
  );
}

describe('what a call used beside text', () => {
  beforeAll(async () => {
    const events = [
      eventOf(TEXT, NOW_MS - 86_400_000),
      eventOf({ ...TEXT, input_audio_tokens: 6, audio_seconds: 1_500_000 }, NOW_MS - 86_399_000),
      eventOf({ ...TEXT, input_audio_tokens: 2 }, NOW_MS),
      eventOf({ audio_seconds: 250_000, images: 2, web_search_calls: 0 }, NOW_MS + 1, 'whisper-1'),
    ];
    const batch = { instanceId, events, reports: [] };
    // Sent twice, and once more out of the journal: it is summed once.
    expect((await store.flush(batch)).size).toBe(4);
    expect((await store.flush(batch)).size).toBe(0);
    await store.adopt(other, events, 'adopted');
  });

  test('is summed by meter in its unit, only from events that were inserted', async () => {
    const usage = await admin.get('/usage?interval=total');
    Usage.parse(usage);
    expect(usage.data).toMatchObject([
      { calls: 4, input_tokens: 30, quantities: { input_audio_tokens: 8, audio_seconds: 1.75, images: 2 } },
    ]);
  });

  test('is summed by every dimension and interval', async () => {
    const byModel = await admin.get(`/usage?interval=day&group_by=model&team_id=${team.id}`);
    expect(byModel.data).toMatchObject([
      {
        starts_at: '2026-11-23T00:00:00.000Z',
        model: 'gpt-realtime',
        quantities: { input_audio_tokens: 6, audio_seconds: 1.5 },
      },
      { starts_at: '2026-11-24T00:00:00.000Z', model: 'gpt-realtime', quantities: { input_audio_tokens: 2 } },
      {
        starts_at: '2026-11-24T00:00:00.000Z',
        model: 'whisper-1',
        quantities: { audio_seconds: 0.25, images: 2 },
      },
    ]);
    const dearest = await admin.get('/usage?interval=day&group_by=model&top=1');
    Usage.parse(dearest);
    expect(dearest.data.map(({ model, other, quantities }: Json) => [model, other, quantities])).toEqual([
      ['gpt-realtime', undefined, { input_audio_tokens: 6, audio_seconds: 1.5 }],
      ['gpt-realtime', undefined, { input_audio_tokens: 2 }],
      [undefined, true, { audio_seconds: 0.25, images: 2 }],
    ]);
    const abroad = await admin.get(
      `/usage?interval=month&time_zone=Asia/Tokyo&group_by=team,key&key_id=${key.id}`,
    );
    expect(abroad.data).toMatchObject([
      { quantities: { input_audio_tokens: 8, audio_seconds: 1.75, images: 2 } },
    ]);
    expect((await admin.get('/usage?interval=total&from=2026-11-24')).data).toMatchObject([
      { quantities: { input_audio_tokens: 2, audio_seconds: 0.25, images: 2 } },
    ]);
  });

  test('stands on its event, and in one cell of the table', async () => {
    const list = await admin.get(`/events?team_id=${team.id}`);
    Events.parse(list);
    expect(list.data.map((event: Json) => event.quantities)).toEqual([
      {},
      { input_audio_tokens: 6, audio_seconds: 1.5 },
      { input_audio_tokens: 2 },
      { audio_seconds: 0.25, images: 2 },
    ]);
    const response = await admin.app.request(`/admin/v1/events.csv?model=whisper-1`, {
      headers: { authorization: `Bearer ${ADMIN_KEY}` },
    });
    expect(await response.text()).toContain(',"{""images"":2,""audio_seconds"":0.25}",');
  });
});

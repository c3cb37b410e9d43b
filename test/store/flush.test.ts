import { randomUUID } from 'node:crypto';
import { afterAll, expect, onTestFinished, test } from 'vitest';
import { asId, type CounterId } from '../../src/domain/ids.ts';
import { usd } from '../../src/domain/money.ts';
import { eventJson, factsJson, uuidV7 } from '../../src/ledger/events.ts';
import { eventFromJson } from '../../src/ledger/read-journal.ts';
import { registerInstance } from '../../src/store/hot/instances.ts';
import { PostgresLedgerStore } from '../../src/store/hot/ledger-store.ts';
import { counterSpec, insertSource, insertTeam } from '../support/catalog.ts';
import { allocationsText, eventOf, factsOf, settledOutcome } from '../support/events.ts';
import { createTestDatabase } from '../support/postgres.ts';

const { database, drop } = await createTestDatabase({ hotConnectionsMax: 12 });
const { sql } = database;
const store = new PostgresLedgerStore(sql);
afterAll(drop);

const NOW = Date.UTC(2026, 10, 20, 12);

async function makeInstance(): Promise<string> {
  const id = randomUUID();
  await registerInstance(sql, id);
  return id;
}

test('an event arrives with every column as it was written', async () => {
  const instanceId = await makeInstance();
  const teamId = await insertTeam(sql);
  const keyId = randomUUID();
  const id = uuidV7(NOW);
  const facts = factsOf(teamId, keyId, { endUser: 'ann "o\'hara"\n', stream: true, outputLimit: 256 });
  const allocations = [
    { counterId: asId<CounterId>('limit@0'), held: usd('0.02'), settled: usd('0.000000000001') },
  ];
  const outcome = settledOutcome(usd('0.000000000001'), { reason: 'client_gone' });
  const known = factsJson(id, instanceId, facts, usd('0.02'));
  const stageUs = { estimate: 12, forward: 3400 };
  const event = eventFromJson(eventJson(known, outcome, allocationsText(allocations), stageUs));
  await store.flush({ instanceId, events: [event], reports: [] });
  const [row] = await sql`select *, cost_usd::text, hold_usd::text from usage_events where id = ${id}`;
  expect(row).toMatchObject({
    team_id: teamId,
    key_id: keyId,
    instance_id: instanceId,
    operation: 'chat.completions',
    model: 'gpt-4o',
    response_model: 'gpt-4o-2024-08-06',
    service_tier: 'default',
    stream: true,
    end_user: 'ann "o\'hara"\n',
    outcome: 'settled',
    provenance: 'reported',
    reason: 'client_gone',
    upstream_status: 200,
    upstream_request_id: 'req-1',
    input_tokens: '10',
    cached_input_tokens: '1',
    cache_write_tokens: '2',
    output_tokens: '3',
    reasoning_tokens: '1',
    output_limit: 256,
    price_id: 'price-1',
    cost_usd: '0.000000000001',
    hold_usd: '0.020000000000',
    allocations: [{ counter: 'limit@0', held: '0.02', settled: '0.000000000001' }],
    stage_us: { estimate: 12, forward: 3400 },
  });
  expect((row!.created_at as Date).getTime()).toBe(NOW);
});

test('no text that a client or upstream can send keeps a batch out of the ledger', async () => {
  const instanceId = await makeInstance();
  const teamId = await insertTeam(sql);
  const texts = ['nul \0 inside', 'half a pair \ud800', '\udc00 the other half', '\u2028 "quoted" \\', '𝄞'];
  const events = texts.map((text, index) => {
    const facts = factsOf(teamId, randomUUID(), { endUser: text, model: text });
    const outcome = settledOutcome(0n, { upstreamRequestId: text, responseModel: text, serviceTier: text });
    return eventFromJson(eventJson(factsJson(uuidV7(NOW + index), instanceId, facts, 0n), outcome, '[]'));
  });
  expect((await store.flush({ instanceId, events, reports: [] })).size).toBe(texts.length);
  const rows = await sql`select end_user from usage_events where team_id = ${teamId} order by id`;
  expect(rows.map((row) => row.end_user)).toEqual([
    'nul \ufffd inside',
    'half a pair \ufffd',
    '\ufffd the other half',
    '\u2028 "quoted" \\',
    '𝄞',
  ]);
});

test('the same batch sent twice at the same moment lands once', async () => {
  const instanceId = await makeInstance();
  const teamId = await insertTeam(sql);
  const spec = counterSpec(teamId);
  await insertSource(sql, spec);
  await store.requestLease({
    instanceId,
    teamId: asId(teamId),
    pools: [{ counters: [spec], min: 0n, want: usd('0.50') }],
  });
  const part = { counterId: spec.id, held: usd('0.02'), settled: usd('0.01') };
  const events = Array.from({ length: 20 }, () =>
    eventOf({
      id: uuidV7(NOW),
      instanceId,
      teamId,
      keyId: randomUUID(),
      cost: usd('0.01'),
      held: usd('0.02'),
      allocations: [part],
    }),
  );
  const reports = [{ teamId, counterId: spec.id, returned: usd('0.10'), held: 0n }];
  const batch = { instanceId, events, reports };
  const sizes = (await Promise.all([1, 2, 3].map(() => store.flush(batch)))).map((ids) => ids.size);
  expect(sizes.sort()).toEqual([0, 0, 20]);
  const [counter] =
    await sql`select settled::text, leased::text from counters where team_id = ${teamId} and id = ${spec.id}`;
  expect(counter).toEqual({ settled: '0.200000000000', leased: '0.200000000000' });
  const [rollup] =
    await sql`select sum(calls)::int4 as calls, sum(cost_usd)::text as cost from usage_rollups where team_id = ${teamId}`;
  expect(rollup).toEqual({ calls: 20, cost: '0.200000000000' });
});

test('many instances flush, lease and are adopted over the same counters without one failing', async () => {
  const teamId = await insertTeam(sql);
  const specs = Array.from({ length: 5 }, () => counterSpec(teamId, { amount: usd('50.00') }));
  for (const spec of specs) await insertSource(sql, spec);
  const keyId = randomUUID();
  const work = Array.from({ length: 10 }, async (_, worker) => {
    const instanceId = await makeInstance();
    // Each meets the counters in another order, which deadlocks unless Postgres locks them in one.
    const own = specs.map((_, index) => specs[(index * 2 + worker) % specs.length]!);
    const allocations = own.map((spec) => ({
      counterId: spec.id,
      held: usd('0.01'),
      settled: usd('0.01'),
    }));
    for (let round = 0; round < 6; round++) {
      const pools = own.map((spec) => ({ counters: [spec], min: usd('0.01'), want: usd('0.02') }));
      await store.requestLease({ instanceId, teamId: asId(teamId), pools });
      const event = { id: uuidV7(NOW), instanceId, teamId, keyId, cost: usd('0.01'), held: usd('0.01') };
      await store.flush({ instanceId, events: [eventOf({ ...event, allocations })], reports: [] });
    }
    await store.adopt(instanceId, [], 'adopted');
  });
  await Promise.all(work);
  const rows = await sql`select settled::text, leased::text from counters where team_id = ${teamId}`;
  expect(rows).toEqual(Array(5).fill({ settled: '0.600000000000', leased: '0.000000000000' }));
});

test('the events of a batch of one team are counted, wherever that team lies', async () => {
  const { database: spread, drop: dropSpread } = await createTestDatabase();
  onTestFinished(dropSpread);
  // As on a cluster: every team lies elsewhere, and none where the organization does.
  await spread.sql.unsafe(`create or replace function tollgate_place("team" uuid) returns bigint
    language sql stable parallel safe return hashtext("team"::text)`);
  const instanceId = randomUUID();
  await registerInstance(spread.sql, instanceId);
  const spreadStore = new PostgresLedgerStore(spread.sql);
  const teamIds = [await insertTeam(spread.sql), await insertTeam(spread.sql)];
  let flushed = 0;
  for (const here of [teamIds.slice(0, 1), teamIds, teamIds.slice(1)]) {
    const events = here.map((teamId) =>
      eventOf({
        id: uuidV7(NOW),
        instanceId,
        teamId,
        keyId: randomUUID(),
        cost: usd('0.01'),
        held: 0n,
        allocations: [],
      }),
    );
    flushed += events.length;
    await spreadStore.flush({ instanceId, events, reports: [], flushed });
    const [row] = await spread.sql`select flushed::int4 from instances where id = ${instanceId}`;
    expect(row).toEqual({ flushed });
  }
});

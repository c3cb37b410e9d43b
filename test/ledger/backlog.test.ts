/** Events on their way to Postgres, kept as bytes. */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LeasedPool } from '../../src/admission/leases.ts';
import { asId, type DepartmentId } from '../../src/domain/ids.ts';
import { Demand, Lease } from '../../src/domain/lease.ts';
import { Backlog } from '../../src/ledger/backlog.ts';
import { uuidV7 } from '../../src/ledger/events.ts';
import type { FlushEvent } from '../../src/store/hot/flush.ts';
import { counterSpec } from '../support/catalog.ts';
import { factsOf } from '../support/events.ts';

const NOON = Date.UTC(2026, 10, 20, 12);

const amount = fc.oneof(
  fc.bigInt({ min: 0n, max: 1000n }),
  fc.bigInt({ min: 2n ** 53n - 3n, max: 2n ** 53n + 3n }),
  fc.bigInt({ min: 0n, max: 10n ** 24n }),
);
const text = fc.oneof(
  fc.string(),
  fc.string({ unit: 'grapheme' }),
  fc.string({ minLength: 250, maxLength: 300 }),
);

setFlagsFromString('--expose-gc');
const collect: () => void = runInNewContext('gc');

/** Bytes of buffers that are in use: what `take` returned is garbage afterwards, megabytes of it. */
function keptBytes(): number {
  collect();
  return process.memoryUsage().arrayBuffers;
}

/** An event and the call that it is made from. */
const call = fc.record({
  teamId: fc.constantFrom<string>('team-1', 'team-2'),
  endUser: fc.option(text),
  departments: fc.array(fc.constantFrom('unit', 'division', 'company'), { maxLength: 3 }),
  tags: fc.option(fc.array(text, { minLength: 1, maxLength: 16 })),
  model: text,
  moment: fc.nat(1_000_000),
  cost: amount,
  inputTokens: fc.nat(),
  outputTokens: fc.nat(),
  counters: fc.array(fc.tuple(fc.nat(20), amount, amount), { maxLength: 4 }),
  /** Most rows have a thousand bytes, and few more than a slab. */
  bytes: fc.oneof({ weight: 40, arbitrary: fc.nat(3000) }, { weight: 1, arbitrary: fc.nat(300_000) }),
});
type Call = typeof call extends fc.Arbitrary<infer T> ? T : never;

function addTo(backlog: Backlog, each: Call): FlushEvent {
  const id = uuidV7(NOON + each.moment);
  const facts = factsOf(each.teamId, 'key-1', {
    endUser: each.endUser,
    departments: each.departments.length === 0 ? null : `{${each.departments.join()}}`,
    tags: each.tags,
    model: each.model,
  });
  const claim = { cost: each.cost, input_tokens: each.inputTokens, output_tokens: each.outputTokens };
  const leases = each.counters.map(
    ([number]) =>
      new Lease(counterSpec(each.teamId, { sourceId: asId(`limit-${number}`) }), new Demand(0), 0),
  );
  const spec = leases.map((lease) => lease.spec);
  const pool = { id: 'p', rule: 'p', meter: 'cost_usd' as const, isRateLimit: false, maxHold: null };
  const pools = [new LeasedPool({ ...pool, counters: spec }, new Demand(0), leases, null)];
  const amounts = each.counters.map(([, held]) => held);
  const charged = each.counters.map(([, , settled]) => settled);
  const json = `{"id":"${id}","model":${JSON.stringify(each.model)},"rest":"${'é'.repeat(each.bytes / 2)}"}`;
  backlog.add(facts, NOON + each.moment, claim, { pools, amounts }, charged, json);
  const allocations = each.counters
    .map(([, held, settled], index) => ({ counterId: spec[index]!.id, held, settled }))
    .filter(({ held, settled }) => held > 0n || settled > 0n);
  const { teamId, keyId, endUser, model } = facts;
  const departments = each.departments.map((name) => asId<DepartmentId>(name));
  const tags = each.tags === null ? {} : { tags: each.tags };
  return {
    id,
    teamId,
    keyId,
    endUser,
    departments,
    ...tags,
    model,
    createdAtMs: NOON + each.moment,
    claim,
    allocations,
    json: Buffer.from(json),
  };
}

const plain: Call = {
  teamId: '0199a7c2-5b1e-7c3a-9d4f-000000000001',
  endUser: null,
  departments: [],
  tags: null,
  model: 'gpt-4o',
  moment: 0,
  cost: 5n,
  inputTokens: 1,
  outputTokens: 2,
  counters: [[1, 7n, 5n]],
  bytes: 900,
};

test('events come out as they went in, oldest first, however they are taken and dropped', () => {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ type: fc.constant('add' as const), call }) },
    {
      weight: 2,
      arbitrary: fc.record({ type: fc.constant('take' as const), max: fc.integer({ min: 1, max: 8 }) }),
    },
    { weight: 2, arbitrary: fc.record({ type: fc.constant('drop' as const) }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const backlog = new Backlog();
      const kept: FlushEvent[] = [];
      let taken = 0;
      for (const each of steps) {
        if (each.type === 'add') kept.push(addTo(backlog, each.call));
        else if (each.type === 'take') {
          const events = backlog.take(each.max);
          expect(events).toEqual(kept.slice(0, each.max));
          taken = events.length;
        } else {
          backlog.drop();
          kept.splice(0, taken);
          taken = 0;
        }
        expect(backlog.length).toBe(kept.length);
        expect(backlog.oldestMs).toBe(kept[0]?.createdAtMs ?? null);
      }
      expect([...backlog.rows()]).toEqual(kept.map(({ json }) => json.toString()));
    }),
    { numRuns: 300 },
  );
});

test('many events through a small backlog keep no more memory than a few slabs', async () => {
  const backlog = new Backlog();
  const before = keptBytes();
  for (let round = 0; round < 200; round++) {
    for (let i = 0; i < 500; i++) addTo(backlog, plain);
    backlog.take(500);
    backlog.drop();
  }
  await expect.poll(() => keptBytes() - before).toBeLessThan(2 * 256 * 1024);
  // After the measurement, so that the backlog itself is not garbage before it.
  expect(backlog.length).toBe(0);
});

test('an event keeps its row and less than sixty bytes more: texts that come again are kept once', async () => {
  const backlog = new Backlog();
  const { json } = addTo(backlog, plain);
  const events = 10_000;
  const before = keptBytes();
  for (let i = 1; i < events; i++) addTo(backlog, plain);
  await expect.poll(() => (keptBytes() - before) / events).toBeLessThan(Buffer.byteLength(json) + 60);
  expect(backlog.length).toBe(events);
});

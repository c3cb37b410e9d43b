/**
 * The store in memory equals Postgres: one random history gets the same results from both and leaves the same state.
 */

import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { type CounterSpec, raiseCounter } from '../../src/domain/counter.ts';
import { ApiError } from '../../src/domain/errors.ts';
import { asId, type EventId, type RaiseId, type TeamId } from '../../src/domain/ids.ts';
import { formatUsd, UNIT } from '../../src/domain/quantities.ts';
import { uuidV7 } from '../../src/ledger/events.ts';
import type { LedgerStore } from '../../src/ledger/heartbeat.ts';
import type { FlushBatch } from '../../src/store/hot/flush.ts';
import { registerInstance } from '../../src/store/hot/instances.ts';
import { PostgresLedgerStore } from '../../src/store/hot/ledger-store.ts';
import { resetLimit } from '../../src/store/raises.ts';
import { correctCall } from '../../src/store/unknown.ts';
import { counterSpec, insertSource, insertTeam } from '../support/catalog.ts';
import { eventOf } from '../support/events.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { isUnknown } from './memory-releases.ts';
import { MemoryStore } from './memory-store.ts';
import { stateInMemory, stateInPostgres } from './store-state.ts';

const CENT = 10_000_000_000n;
const MIDNIGHT = Date.UTC(2026, 10, 20);
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const NOW = '2026-11-20T12:07:00Z';

const { database, drop } = await createTestDatabase({ settings: { 'tollgate.now': NOW } });
const { sql } = database;
afterAll(drop);

const cents = (max: number) => fc.integer({ min: 0, max }).map((count) => BigInt(count) * CENT);
const instance = fc.nat({ max: 1 });
/** Which of the counters below; the same few, so that histories collide. */
const pool = fc.record({
  counters: fc.constantFrom([0], [1], [2], [3], [4, 5], [6], [7], [8], [9], [0, 10], [11]),
  min: fc.oneof(fc.constant(0n), cents(40)),
  want: cents(60),
});
const event = fc.record({
  key: fc.nat({ max: 1 }),
  minute: fc.constantFrom(-60, 60, 12 * 60 + 10, 24 * 60),
  cost: cents(15),
  isUnknown: fc.boolean(),
  parts: fc.array(fc.record({ counter: fc.nat({ max: 11 }), held: cents(12), settled: cents(12) }), {
    maxLength: 3,
  }),
});
const batch = {
  events: fc.array(event, { maxLength: 3 }),
  /** Events of earlier batches sent again: a commit whose answer was lost, a journal read twice. */
  again: fc.nat({ max: 3 }),
};
const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ type: fc.constant('lease'), instance, pools: fc.array(pool, { maxLength: 4 }) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant('flush'),
      instance,
      ...batch,
      reports: fc.array(fc.record({ counter: fc.nat({ max: 11 }), returned: cents(30), held: cents(9) }), {
        maxLength: 2,
      }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('adopt'), instance, restart: fc.boolean(), ...batch }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant('put_back'),
      instance,
      ...batch,
      /** Calls in flight. */
      held: fc.array(event, { maxLength: 2 }),
      isLast: fc.boolean(),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('amount'), counter: fc.nat({ max: 11 }), amount: cents(90) }),
  },
  {
    weight: 2,
    /** One of the latest events, at its cost or at none. */
    arbitrary: fc.record({ type: fc.constant('correct'), back: fc.nat({ max: 4 }), cost: cents(15) }),
  },
  { weight: 1, arbitrary: fc.constant({ type: 'reset' as const }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** When the day is reset, and a limit is raised. */
const RESET = Date.parse(NOW);

/** Two keys and twelve counters: on the team, each key, a day; two grants; of tokens, of requests, of two models; a raise; the day since its reset. */
function counters(teamId: string, keyIds: string[]): CounterSpec[] {
  const key = (subjectId: string) =>
    counterSpec(teamId, { subjectType: 'key', subjectId, amount: 50n * CENT });
  const day = { startsAtMs: MIDNIGHT, endsAtMs: MIDNIGHT + 24 * HOUR_MS, amount: 40n * CENT };
  const grant = { source: 'grant' as const, amount: 30n * CENT };
  const whole = counterSpec(teamId, { amount: 80n * CENT });
  const daily = counterSpec(teamId, day);
  const raise = {
    id: asId<RaiseId>(randomUUID()),
    amount: 20n * CENT,
    startsAtMs: RESET,
    untilMs: RESET + HOUR_MS,
  };
  return [
    whole,
    key(keyIds[0]!),
    key(keyIds[1]!),
    daily,
    counterSpec(teamId, grant),
    counterSpec(teamId, grant),
    counterSpec(teamId, { meter: 'tokens', amount: 60n * UNIT }),
    counterSpec(teamId, { meter: 'requests', amount: 5n * UNIT }),
    counterSpec(teamId, { models: ['gpt-4o'], amount: 30n * CENT }),
    counterSpec(teamId, { models: ['gpt-5'], amount: 30n * CENT }),
    raiseCounter(whole, raise),
    { ...daily, id: asId(`${daily.sourceId}@${RESET}`), startsAtMs: RESET },
  ];
}

async function outcomeOf(work: Promise<unknown>): Promise<unknown> {
  try {
    return await work;
  } catch (error) {
    return (error as Error).name;
  }
}

class History {
  readonly memory = new MemoryStore(() => Date.parse(NOW));
  readonly postgres = new PostgresLedgerStore(sql);
  readonly teamId = randomUUID();
  readonly keyIds = [randomUUID(), randomUUID()];
  readonly specs = counters(this.teamId, this.keyIds);
  readonly instanceIds: string[] = ['', ''];
  readonly #sent: FlushBatch['events'] = [];

  #epoch = '';

  async begin(): Promise<void> {
    const [history] = await sql<{ epoch: string }[]>`select epoch from store_history`;
    this.#epoch = history!.epoch;
    await insertTeam(sql, this.teamId);
    for (const spec of this.specs) {
      if (spec.id.endsWith(`@${RESET}`)) continue;
      await insertSource(sql, spec);
      if (spec.source === 'grant') this.memory.makeGrant(spec);
      else this.memory.setAmount(spec.sourceId, spec.amount);
    }
    for (const index of this.instanceIds.keys()) await this.#start(index);
  }

  async take(step: Step): Promise<void> {
    if (step.type === 'amount') return this.#setAmount(step.counter, step.amount);
    if (step.type === 'correct') return this.#correct(step.back, step.cost);
    if (step.type === 'reset') return this.#reset();
    const instanceId = this.instanceIds[step.instance]!;
    const { teamId } = this;
    if (step.type === 'lease') {
      // A pool names each counter once, and a request each pool once.
      const unique = new Map(step.pools.map((each) => [each.counters.join(), each]));
      const pools = [...unique.values()].map((each) => ({
        ...each,
        counters: each.counters.map((index) => this.specs[index]!),
      }));
      return this.#both((store) => store.requestLease({ instanceId, teamId: asId(teamId), pools }));
    }
    const events = this.#events(step, instanceId);
    if (step.type === 'put_back') {
      // Their events come later, when something is sent again.
      const holds = this.#events({ events: step.held, again: 0 }, instanceId);
      const last = step.isLast ? { holds, flushed: 0 } : null;
      await this.#both((store, epoch) => store.putBack({ instanceId, epoch, events, last }));
      return;
    }
    if (step.type === 'adopt') {
      await this.#both((store) => store.adopt(instanceId, events, 'adopted'));
      if (step.restart) await this.#start(step.instance);
      return;
    }
    const named = new Map(step.reports.map((report) => [report.counter, report]));
    const reports = [...named.values()].map(({ counter, ...report }) => ({
      teamId: asId<TeamId>(teamId),
      counterId: this.specs[counter]!.id,
      ...report,
    }));
    await this.#both((store) => store.flush({ instanceId, events, reports }));
  }

  async #both(ask: (store: LedgerStore, epoch: string) => Promise<unknown>): Promise<void> {
    const { epoch } = this.memory.history.standingOf('').history;
    const inMemory = await outcomeOf(ask(this.memory, epoch));
    const inPostgres = await outcomeOf(ask(this.postgres, this.#epoch));
    expect(inMemory).toEqual(inPostgres);
  }

  #events({ events, again }: Pick<Step & { type: 'flush' }, 'events' | 'again'>, instanceId: string) {
    const made = events.map(({ key, minute, cost, isUnknown, parts }) => {
      const unique = new Map(parts.map(({ counter, ...part }) => [this.specs[counter]!.id, part]));
      // A call is held in one window of a limit: in that of the day, or in that since its reset.
      if (unique.has(this.specs[11]!.id)) unique.delete(this.specs[3]!.id);
      return eventOf({
        id: uuidV7(MIDNIGHT + minute * MINUTE_MS),
        instanceId,
        teamId: this.teamId,
        keyId: this.keyIds[key]!,
        cost,
        held: cost,
        allocations: [...unique].map(([counterId, part]) => ({ counterId, ...part })),
        outcome: isUnknown ? { outcome: 'unknown', provenance: 'unknown' } : {},
      });
    });
    const repeated = again === 0 ? [] : this.#sent.slice(-again);
    this.#sent.push(...made);
    return [...repeated, ...made];
  }

  /** Evidence of what the upstream billed of one of the latest calls. */
  async #correct(back: number, cost: bigint): Promise<void> {
    const event = this.#sent.at(-1 - back);
    if (event === undefined) return;
    const id = asId<EventId>(event.id);
    const corrected = await correctCall(database, { eventId: id, cost, reason: 'evidence', actor: 'test' });
    const isOpen = this.memory.events.has(id) && isUnknown(event) && !this.memory.releases.costs.has(id);
    expect(corrected !== null && !(corrected instanceof ApiError)).toBe(isOpen);
    if (isOpen) this.memory.release(id, cost);
  }

  /** The day counts from now on; what is held of it stays where it is. */
  async #reset(): Promise<void> {
    const { sourceId } = this.specs[3]!;
    const limit = await resetLimit(database, asId(sourceId), 'test');
    expect(limit).not.toBeInstanceOf(ApiError);
    this.memory.endCounters(sourceId, RESET);
  }

  async #setAmount(index: number, amount: bigint): Promise<void> {
    const { sourceId, source } = this.specs[index]!;
    const text = formatUsd(amount);
    if (source === 'limit') await sql`update limits set amount = ${text} where id = ${sourceId}`;
    else if (source === 'raise') await sql`update limit_raises set amount = ${text} where id = ${sourceId}`;
    else await sql`update grants set amount_usd = ${text} where id = ${sourceId}`;
    await sql`
      update counters set amount = ${text}
      where source_id = ${sourceId} and coalesce(ends_at > tollgate_now(), true)`;
    this.memory.setAmount(sourceId, amount);
  }

  async #start(index: number): Promise<void> {
    const id = randomUUID();
    this.instanceIds[index] = id;
    this.memory.registerInstance(id);
    await registerInstance(sql, id);
  }
}

test('any history of leases, flushes, adoptions, putting back, corrections, resets and changed amounts gets the same results from both stores', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 8, maxLength: 30 }), async (steps) => {
      const history = new History();
      await history.begin();
      for (const each of steps) await history.take(each);
      expect(stateInMemory(history.memory)).toEqual(await stateInPostgres(sql, history.teamId));
    }),
    { numRuns: 40, seed: 20_261_129 },
  );
}, 180_000);

/** Errors of our own inside a queue: they are reported, every waiting call gets an outcome, and the queue goes on. */
import { expect, test, vi } from 'vitest';
import type { ReservationRequest } from '../../src/admission/decide.ts';
import { LeaseTable } from '../../src/admission/leases.ts';
import { AdmissionController } from '../../src/admission/queue.ts';
import { Lease } from '../../src/domain/lease.ts';
import { usd } from '../../src/domain/money.ts';
import { accountOf, limitOf, register } from '../support/accounts.ts';
import { fixedRequest, holdOf, startLedger, type TestLedger } from '../support/test-ledger.ts';

const dollar = accountOf({ limits: [limitOf('limit', '1.00')] });

async function start() {
  const bench = await startLedger();
  register(bench.memory, dollar);
  return bench;
}

/** Throws in the next call of a method, `after` calls from now; then the method works again. */
function throwOnce<T extends object>(target: T, method: keyof T & string, after = 0): Error {
  const error = new Error(`planted in ${method}`);
  const original = Reflect.get(target, method) as (...args: unknown[]) => unknown;
  let calls = 0;
  const spy = vi.spyOn(target as Record<string, () => unknown>, method);
  spy.mockImplementation(function (this: unknown, ...args: unknown[]) {
    if (calls++ < after) return original.apply(this, args);
    spy.mockRestore();
    throw error;
  } as () => unknown);
  return error;
}

/** A request that is sized without an error until it is spoiled. */
function spoilable(account = dollar) {
  let isSpoiled = false;
  const request: ReservationRequest = {
    ...fixedRequest(account, usd('0.50')),
    get size(): ReservationRequest['size'] {
      if (isSpoiled) throw new RangeError('not a token count');
      return { type: 'fixed', claim: { cost: usd('0.50'), input_tokens: 1, output_tokens: 1 } };
    },
  };
  return {
    request,
    spoil: () => {
      isSpoiled = true;
    },
  };
}

async function servesOn(bench: TestLedger): Promise<void> {
  const next = bench.ask(dollar, '0.25');
  await bench.pass(1000);
  expect(next.result).toMatchObject({ kind: 'hold', amount: usd('0.25') });
  bench.ledger.cancel(holdOf(next));
  expect(bench.ledger.waiting).toBe(0);
}

test.each([
  ['while the request is made up', LeaseTable.prototype, 'poolsOf', 3],
  ['while the reply is taken over', Lease.prototype, 'learn', 0],
] as const)(
  'an error %s ends the wait of all, and the next call is served',
  async (_, target, method, after) => {
    const bench = await start();
    const all = await bench.take(dollar, '1.00');
    const waiting = [bench.ask(dollar, '0.20'), bench.ask(dollar, '0.30')];
    await bench.pass(1);
    const error = throwOnce(target as LeaseTable & Lease, method as 'poolsOf' & 'learn', after);
    await bench.pass(600);
    expect(bench.unexpectedErrors).toEqual([error]);
    const outcomes = waiting.map((call) => call.result);
    expect(outcomes).toContainEqual({ kind: 'unavailable' });
    bench.ledger.cancel(all);
    await bench.pass(1000);
    for (const call of waiting) expect(call.result).not.toBeNull();
    for (const call of waiting) if (call.result?.kind === 'hold') bench.ledger.cancel(call.result);
    await servesOn(bench);
  },
);

test('a call that cannot be sized any more ends alone: the others of its team wait on and are served', async () => {
  const bench = await start();
  const all = await bench.take(dollar, '1.00');
  const { request, spoil } = spoilable();
  const bad = bench.reserve(request);
  const good = bench.ask(dollar, '0.50');
  await bench.pass(300);
  spoil();
  await bench.pass(300);
  expect(bad.result).toEqual({ kind: 'unavailable' });
  expect(good.result).toBeNull();
  expect(bench.unexpectedErrors).toEqual([new RangeError('not a token count')]);
  bench.ledger.cancel(all);
  await bench.pass(500);
  expect(good.result).toMatchObject({ kind: 'hold' });
  bench.ledger.cancel(holdOf(good));
  await servesOn(bench);
});

test('an error in the queue does not fail the call whose end set it off', async () => {
  const bench = await start();
  const ending = await bench.begin(await bench.take(dollar, '1.00'));
  const { request, spoil } = spoilable();
  const bad = bench.reserve(request);
  await bench.pass(100);
  spoil();
  expect(() => bench.end(ending, '0.10')).not.toThrow();
  expect(bad.result).toEqual({ kind: 'unavailable' });
  await bench.pass(500);
  expect(bench.memory.events.size).toBe(1);
  await servesOn(bench);
});

test('a caller that throws on its outcome keeps no other call from its own, and its money comes back', async () => {
  const bench = await start();
  const all = await bench.take(dollar, '1.00');
  const thrower = bench.ledger.reserve(fixedRequest(dollar, usd('0.40')));
  if (thrower.kind !== 'queued') throw new Error('the call does not wait');
  const error = new Error('in the callback');
  thrower.onOutcome = () => {
    throw error;
  };
  const other = bench.ask(dollar, '0.40');
  bench.ledger.cancel(all);
  await bench.pass(500);
  expect(bench.unexpectedErrors).toEqual([error]);
  expect(other.result).toMatchObject({ kind: 'hold' });
  bench.ledger.cancel(holdOf(other));
  await bench.pass(12_000);
  expect(bench.memory.counters.get('limit@0')).toMatchObject({ leased: 0n, settled: 0n });
});

test('a reporter that throws stops nothing either', async () => {
  const bench = await startLedger({
    onUnexpectedError: () => {
      throw new Error('the log is full');
    },
  });
  register(bench.memory, dollar);
  const all = await bench.take(dollar, '1.00');
  const { request, spoil } = spoilable();
  const bad = bench.reserve(request);
  await bench.pass(100);
  spoil();
  bench.ledger.cancel(all);
  await bench.pass(300);
  expect(bad.result).toEqual({ kind: 'unavailable' });
  await servesOn(bench);
});

test('an outcome that comes before anybody asks for it is kept, and handed over once', () => {
  const controller = new AdmissionController({
    clock: { nowMs: () => 0, monotonicMs: () => 0 },
    timers: { after: () => () => {} },
    jitter: () => 0,
    queueTimeoutMs: 10_000,
    maxWaiting: 10,
    maxWaitingBytes: 1000,
    isBlocked: () => false,
    requestLease: () => new Promise(() => {}),
    onFenced: () => {},
    onStoreError: () => {},
    onUnexpectedError: () => {},
  });
  const queued = controller.reserve(fixedRequest(dollar, 1n));
  if (queued.kind !== 'queued') throw new Error('the call does not wait');
  controller.endAll();
  const outcomes: unknown[] = [];
  queued.onOutcome = (outcome) => outcomes.push(outcome);
  controller.endAll();
  expect(outcomes).toEqual([{ kind: 'unavailable' }]);
  expect(queued.leave()).toBeNull();
  expect(controller.waiting).toBe(0);
});

/** Rate limits over several instances: rolling windows and slots; and contention, which sends idle money home. */

import { expect, test } from 'vitest';
import { momentOfUuidV7 } from '../../src/domain/ids.ts';
import { usd } from '../../src/domain/money.ts';
import { UNIT } from '../../src/domain/quantities.ts';
import { accountOf, limitOf, register } from '../support/accounts.ts';
import { Random } from '../support/random.ts';
import { createWorld, startLedger, type TestLedger } from '../support/test-ledger.ts';

const MINUTE_MS = 60_000;

async function startReplicas(count: number, account: Parameters<typeof register>[1]) {
  const world = await createWorld();
  register(world.memory, account);
  const replicas: TestLedger[] = [];
  for (let i = 0; i < count; i++) replicas.push(await startLedger({ world }));
  return { world, replicas };
}

const rpm = (amount: number) =>
  accountOf({
    unlimited: true,
    limits: [limitOf('rpm', `${amount}`, { meter: 'requests', window: { type: 'rolling', seconds: 60 } })],
  });

/** The most that any window of a minute saw. */
function mostInAMinute(moments: number[]): number {
  const sorted = moments.toSorted((a, b) => a - b);
  let most = 0;
  for (let from = 0, to = 0; to < sorted.length; to++) {
    while (sorted[to]! - sorted[from]! >= MINUTE_MS) from++;
    most = Math.max(most, to - from + 1);
  }
  return most;
}

test.each([
  ['spread over all replicas', () => 3],
  ['all on one replica', () => 0],
])(
  'no minute sees more than a rolling limit allows, and few go unused: %s',
  async (_, last) => {
    const account = rpm(100);
    const { world, replicas } = await startReplicas(4, account);
    const random = new Random(7);
    const admitted: number[] = [];
    const ask = (replica: TestLedger) => {
      const call = replica.ask(account, '0.01');
      void world.time.sleep(20).then(async () => {
        if (call.result?.kind !== 'hold') return;
        admitted.push(momentOfUuidV7(call.result.id));
        const hold = await replica.begin(call.result);
        replica.end(hold, '0.01');
      });
    };
    for (let tick = 0; tick < 2 * MINUTE_MS; tick += 250) {
      ask(replicas[random.between(0, last())]!);
      await world.time.advance(250);
    }
    expect(mostInAMinute(admitted)).toBeLessThanOrEqual(100);
    const first = admitted.filter((at) => at < admitted[0]! + MINUTE_MS).length;
    expect(first).toBeGreaterThanOrEqual(95);
    expect(admitted.length).toBeGreaterThanOrEqual(185);
  },
  60_000,
);

test('slots are shared between replicas, and those of a silent one go to others after ten seconds', async () => {
  const account = accountOf({
    unlimited: true,
    limits: [limitOf('slots', '2', { meter: 'concurrency' })],
  });
  const { world, replicas } = await startReplicas(2, account);
  const [one, two] = [replicas[0]!, replicas[1]!];
  const held = [await one.take(account, '0.01'), await one.take(account, '0.01')];
  for (const hold of held) await one.begin(hold);
  const refused = two.ask(account, '0.01');
  await world.time.advance(20);
  expect(refused.result).toMatchObject({
    reason: 'rate_limit',
    remaining: 0n,
    counter: { amount: 2n * UNIT },
  });

  one.store.fate = () => ({ delayMs: 5, lost: 'request' });
  await world.time.advance(11_000);
  await two.begin(await two.take(account, '0.01'));
  await two.begin(await two.take(account, '0.01'));
  one.end(held[0]!, '0.00');
  const early = one.ask(account, '0.01');
  await world.time.advance(20);
  expect(early.result).not.toMatchObject({ amount: expect.anything() });

  one.store.fate = () => ({ delayMs: 5, lost: 'nothing' });
  await world.time.advance(3000);
  const back = one.ask(account, '0.01');
  await world.time.advance(100);
  expect(back.result).toMatchObject({ reason: 'rate_limit' });
});

test('money that lies idle on one replica comes home within a second and a half when another wants it', async () => {
  const account = accountOf({ limits: [limitOf('limit', '1.00')] });
  const { world, replicas } = await startReplicas(2, account);
  const [rich, poor] = [replicas[0]!, replicas[1]!];
  for (let i = 0; i < 20; i++) await rich.spend(account, '0.01');
  await world.time.advance(500);
  expect(rich.free).toBeGreaterThan(usd('0.01'));
  const call = poor.ask(account, '0.80');
  await world.time.advance(1500);
  expect(call.result).toMatchObject({ amount: usd('0.80') });
});

test('what was lent for a bucket that is over comes back before a call is denied for lack of it', async () => {
  const account = rpm(1);
  const { world, replicas } = await startReplicas(1, account);
  const [bench] = replicas as [TestLedger];
  bench.store.fate = () => ({ delayMs: 40, lost: 'nothing' });
  const nowMs = (await bench.memory.heartbeat(bench.instanceId)).nowMs;
  await world.time.advance(500 - (nowMs % 500) + 480);
  const call = bench.ask(account, '0.01');
  await world.time.advance(1000);
  expect(call.result).toMatchObject({ amount: usd('0.01') });
});

test('a call that takes more than its window ever has is denied as too large, not as one that may be retried', async () => {
  const window = { type: 'rolling' as const, seconds: 60 };
  const account = accountOf({ unlimited: true, limits: [limitOf('tpm', '29', { meter: 'tokens', window })] });
  const { replicas } = await startReplicas(1, account);
  const call = replicas[0]!.ask(account, '0.01');
  expect(call.result).toMatchObject({ reason: 'too_large', maxHold: 29n * UNIT });
});

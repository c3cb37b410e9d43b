/** How holds end, and how everything that ended reaches the store. */
import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { readJournal } from '../../src/ledger/recovery.ts';
import { accountOf, grantOf, limitOf, register } from '../support/accounts.ts';
import { fixedRequest, holdOf, NOON, startLedger } from '../support/test-ledger.ts';

const account = accountOf({ limits: [limitOf('limit', '100.00')] });

async function start(options: Parameters<typeof startLedger>[0] = {}) {
  const bench = await startLedger(options);
  register(bench.memory, account);
  return bench;
}

test('a hold ends once: a second end, or a cancel after it, is our own bug and throws', async () => {
  const bench = await start();
  const ended = await bench.begin(await bench.take(account, '1.00'));
  bench.end(ended, '0.10');
  expect(() => bench.end(ended, '0.10')).toThrow('ended before');
  const cancelled = await bench.take(account, '1.00');
  bench.ledger.cancel(cancelled);
  expect(() => bench.ledger.cancel(cancelled)).toThrow('ended before');
  expect(() => bench.end(cancelled, '0.10')).toThrow('not in the journal');
  await bench.pass(500);
  expect(bench.memory.events.size).toBe(1);
  expect(bench.memory.counters.get('limit@0')!.settled).toBe(usd('0.10'));
});

test('a hold that the journal has cannot be cancelled: its call may have been forwarded', async () => {
  const bench = await start();
  const hold = await bench.begin(await bench.take(account, '1.00'));
  expect(() => bench.ledger.cancel(hold)).toThrow('is in the journal');
  expect(bench.ledger.isOpen(hold)).toBe(true);
});

test('whose an object is stands in the journal at once: while its call is under way, and when it ends', async () => {
  const bench = await start();
  const [lost, whole] = [
    await bench.begin(await bench.take(account, '1.00')),
    await bench.begin(await bench.take(account, '1.00')),
  ];
  const objects = () =>
    readJournal(bench.journal.path).events.map(({ id, json }) => [
      id,
      JSON.parse(json.toString()).object?.id,
    ]);
  bench.ledger.keep(lost, '{"id":"resp_1"}');
  whole.object = '{"id":"resp_2"}';
  bench.end(whole, '0.10');
  expect(objects()).toEqual([
    [whole.id, 'resp_2'],
    [lost.id, 'resp_1'],
  ]);
  expect(readJournal(bench.journal.path).events.map(({ json }) => json.toString().endsWith('}}'))).toEqual([
    true,
    true,
  ]);
});

test('a cost above its hold is charged in full, on the counter alone, and the lease still adds up', async () => {
  const bench = await start();
  const hold = await bench.begin(await bench.take(account, '1.00'));
  bench.end(hold, '1.75');
  await bench.pass(12_000);
  expect(bench.memory.counters.get('limit@0')).toMatchObject({ settled: usd('1.75'), leased: 0n });
  expect([...bench.memory.leases.values()][0]!.settled).toBe(usd('1.00'));
  expect([...bench.memory.events.values()][0]!.allocations).toEqual([
    { counterId: 'limit@0', held: usd('1.00'), settled: usd('1.75') },
  ]);
});

test('a hold over several grants is charged in the order in which they pay', async () => {
  const granted = accountOf({
    grants: [grantOf('a', '1.00', { expiresAtMs: 9e12 }), grantOf('b', '1.00'), grantOf('c', '1.00')],
  });
  const bench = await start();
  register(bench.memory, granted);
  bench.end(await bench.begin(await bench.take(granted, '2.50')), '1.20');
  await bench.pass(12_000);
  const settled = ['a', 'b', 'c'].map((id) => bench.memory.counters.get(`${id}@0`)!);
  expect(settled.map((counter) => counter.settled)).toEqual([usd('1.00'), usd('0.20'), 0n]);
  expect(settled.map((counter) => counter.leased)).toEqual([0n, 0n, 0n]);
});

test('a call that costs nothing ends in an event too', async () => {
  const bench = await start();
  const hold = holdOf(bench.reserve(fixedRequest(accountOf(), 0n, { isFree: true })));
  await bench.begin(hold);
  bench.end(hold, '0.00');
  await bench.pass(300);
  expect([...bench.memory.events.values()]).toMatchObject([
    { id: hold.id, claim: { cost: 0n }, allocations: [] },
  ]);
});

test('events are sent until the store confirms them, and a lost confirmation counts nothing twice', async () => {
  const bench = await start();
  await bench.spend(account, '1.00', '0.10');
  let flushes = 0;
  bench.store.fate = (call) => ({
    delayMs: call === 'flush' ? 350 : 4,
    lost: call === 'flush' && flushes++ < 4 ? 'answer' : 'nothing',
  });
  for (let i = 0; i < 60; i++) {
    bench.end(await bench.begin(await bench.take(account, '0.05')), '0.05');
    await bench.pass(40);
  }
  await bench.pass(12_000);
  expect(bench.ledger.flusher.backlog).toHaveLength(0);
  expect(bench.memory.events.size).toBe(61);
  expect(bench.memory.counters.get('limit@0')).toMatchObject({ settled: usd('3.10'), leased: 0n });
});

test('a drain ends when all that was known at its start is in the store, though calls keep coming', async () => {
  const bench = await start();
  bench.store.fate = () => ({ delayMs: 90, lost: 'nothing' });
  await bench.spend(account, '5.00', '0.01');
  let drained = false;
  const draining = bench.ledger.flusher.drain().then(() => {
    drained = true;
  });
  for (let i = 0; i < 40; i++) {
    bench.end(await bench.begin(await bench.take(account, '0.01')), '0.01');
    await bench.pass(10);
  }
  expect(drained).toBe(true);
  await draining;
});

test('a drain also reports what was given back while the flush before it was under way', async () => {
  const bench = await start();
  bench.store.fate = (call) => ({ delayMs: call === 'flush' ? 150 : 4, lost: 'nothing' });
  await bench.spend(account, '0.50', '0.10');
  while (bench.store.calls.flush === 0) await bench.pass(10);
  bench.ledger.revoke(new Set(['team']));
  const draining = bench.ledger.flusher.drain().then(() => ({ ...bench.memory.counters.get('limit@0') }));
  await bench.pass(1000);
  expect(await draining).toMatchObject({ settled: usd('0.10'), leased: 0n });
});

test('a drain says when the store is away', async () => {
  const bench = await start();
  await bench.spend(account, '0.50', '0.01');
  bench.store.fate = () => ({ delayMs: 2, lost: 'request' });
  const draining = expect(bench.ledger.flusher.drain()).rejects.toThrow('flush');
  await bench.pass(100);
  await draining;
  expect(bench.ledger.flusher.backlog).toHaveLength(1);
});

test('an orderly stop returns everything, ends what is open as unknown, ends all waits, and removes the journal', async () => {
  const bench = await start();
  await bench.spend(account, '2.00', '0.10');
  const open = await bench.begin(await bench.take(account, '99.00'));
  const waiting = bench.ask(account, '50.00');
  await bench.pass(50);
  // A flush is under way at that moment, which does not have the last events.
  bench.store.fate = (call) => ({ delayMs: call === 'flush' ? 150 : 4, lost: 'nothing' });
  bench.end(await bench.begin(await bench.take(account, '0.05')), '0.05');
  const before = bench.store.calls.flush;
  while (bench.store.calls.flush === before) await bench.pass(10);
  const stopping = bench.ledger.stop(new AbortController().signal);
  expect(bench.ask(account, '0.01').result).toEqual({ kind: 'unavailable' });
  await bench.pass(500);
  await stopping;
  expect(waiting.result).toEqual({ kind: 'unavailable' });
  expect(bench.ledger.isOpen(open)).toBe(false);
  expect(bench.memory.counters.get('limit@0')).toMatchObject({ settled: usd('99.15'), leased: 0n });
  expect(JSON.parse(bench.memory.events.get(open.id)!.json.toString())).toMatchObject({
    outcome: 'unknown',
    reason: 'drain_timeout',
    cost_usd: '99.00',
  });
  expect(existsSync(bench.journal.path)).toBe(false);
});

test('a stop without the store keeps the journal, with all that the store does not have', async () => {
  const bench = await start();
  const hold = await bench.begin(await bench.take(account, '1.00'));
  bench.store.fate = () => ({ delayMs: 2, lost: 'request' });
  bench.end(hold, '0.40');
  const stopping = bench.ledger.stop(new AbortController().signal).catch((error: Error) => error.name);
  await bench.pass(100);
  expect(await stopping).toBe('ConnectionLost');
  expect(readJournal(bench.journal.path)).toMatchObject({
    events: [{ id: hold.id, claim: { cost: usd('0.40') } }],
    unknown: 0,
  });
});

test('a grant that expires later pays nothing while an earlier one has money, wherever that is', async () => {
  const grants = [grantOf('early', '0.10', { expiresAtMs: NOON + 3_600_000 }), grantOf('later', '100.00')];
  const granted = accountOf({ grants });
  const bench = await start();
  register(bench.memory, granted);
  for (let round = 0; round < 4; round++) {
    await bench.spend(granted, '0.01');
    // What was lent of the early one is on its way back, and Postgres lends of the later one meanwhile.
    bench.ledger.revoke(new Set(['team']));
    await bench.spend(granted, '0.01');
  }
  await bench.pass(300);
  expect(bench.memory.counters.get('early@0')!.settled).toBe(usd('0.08'));
  expect(bench.memory.counters.get('later@0')!.settled).toBe(0n);
});

test('an instance that was quiet is as quick as ever with the event of its next call', async () => {
  const bench = await start();
  expect(bench.ledger.isQuiet).toBe(true);
  await bench.pass(30_000);
  expect(bench.ledger.isQuiet).toBe(true);
  bench.end(await bench.begin(await bench.take(account, '1.00')), '0.10');
  expect(bench.ledger.isQuiet).toBe(false);
  await bench.pass(200);
  expect(bench.memory.events.size).toBe(1);
  await bench.pass(9_000);
  expect(bench.ledger.isQuiet).toBe(false);
  await bench.pass(2_000);
  expect(bench.ledger.isQuiet).toBe(true);
});

test('what a statement was sent with as seen of the store does not grow while it is under way', async () => {
  const bench = await start();
  const sent: { seen: { flushed: number }; flushed: number }[] = [];
  const flush = bench.store.flush.bind(bench.store);
  bench.store.flush = (batch) => {
    const { seen } = batch;
    if (seen) sent.push({ seen, flushed: seen.flushed });
    return flush(batch);
  };
  for (let call = 0; call < 6; call++) {
    await bench.spend(account, '1.00');
    await bench.pass(200);
  }
  expect(sent.map(({ seen }) => seen.flushed)).toEqual(sent.map(({ flushed }) => flushed));
  expect(sent.at(-1)!.flushed).toBeGreaterThan(0);
});

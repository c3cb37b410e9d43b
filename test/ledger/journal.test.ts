import { closeSync, existsSync, openSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { formatLine, Journal, type JournalOptions, parseLine } from '../../src/ledger/journal.ts';
import { ownHeader, readJournal } from '../../src/ledger/recovery.ts';
import { settle } from '../simulation/fake-time.ts';
import { accountOf, limitOf, register } from '../support/accounts.ts';
import { factsOf } from '../support/events.ts';
import { temporaryFolder } from '../support/folder.ts';
import { fillDiskAt, fillDiskUnder } from '../support/full-disk.ts';
import { beginHold, startLedger } from '../support/test-ledger.ts';

const account = accountOf({ limits: [limitOf('limit', '100.00')] });
const onLinux = test.skipIf(process.platform !== 'linux');

async function openJournal(options: Partial<JournalOptions> = {}) {
  const folder = await temporaryFolder();
  return new Journal({ path: join(folder, 'one.log'), header: ownHeader('one'), ...options });
}

const text = (journal: Journal) => readFileSync(journal.path, 'utf8');

test('a writer is called back after the write of its line returned, and all lines of a turn share one write', async () => {
  const journal = await openJournal();
  const told: string[] = [];
  const lines = () => text(journal).split('\n').length - 2;
  for (const id of ['a', 'b', 'c']) {
    journal.append('H', `{"id":"${id}"}`);
    journal.written(() => told.push(`${id}:${lines()}`));
  }
  expect(lines()).toBe(0);
  expect(journal.pendingBytes).toBeGreaterThan(0);
  await settle();
  expect(told).toEqual(['a:3', 'b:3', 'c:3']);
  expect(journal.pendingBytes).toBe(0);
  journal.close(true);
});

test('what is written counts as unsynced until the disk has it, what was synced no longer does', async () => {
  const journal = await openJournal({ syncEveryMs: 1 });
  expect(journal.unsyncedMs).toBe(0);
  journal.append('H', '{}');
  journal.flush();
  expect(journal.unsyncedMs).toBeGreaterThan(0);
  await expect.poll(() => journal.unsyncedMs).toBe(0);
  journal.close(true);
});

test('a journal never stands under its name without its header', async () => {
  const journal = await openJournal();
  const [first] = readFileSync(journal.path, 'utf8').split('\n');
  expect(JSON.parse(first!.slice('00000000 J '.length))).toMatchObject({ instance: 'one', pid: process.pid });
  expect(statSync(journal.path).mode & 0o777).toBe(0o600);
  journal.close(true);
});

test('a line is read back as it was written, and no changed character passes, its type included', () => {
  const json = '{"id":"x","text":"€ ü"}';
  const line = formatLine('H', json).slice(0, -1);
  expect(parseLine(line)).toEqual({ type: 'H', json });
  for (let at = 0; at < line.length; at++) {
    for (const other of ['J', 'S', '0', '\ufffd']) {
      if (line[at] !== other) expect(parseLine(line.slice(0, at) + other + line.slice(at + 1))).toBeNull();
    }
    expect(parseLine(line.slice(0, at))).toBeNull();
  }
});

onLinux('on a full disk the writer is called back, once, and nothing more is written', async () => {
  const faults: Error[] = [];
  const journal = await openJournal({ onBroken: (error) => faults.push(error) });
  journal.append('H', '{"id":"kept"}');
  await settle();
  fillDiskUnder(journal.path);
  let brokenWhenTold: Error | null = null;
  journal.append('H', '{"id":"lost"}');
  journal.written(() => {
    brokenWhenTold = journal.broken;
  });
  await settle();
  expect(brokenWhenTold).toMatchObject({ code: 'ENOSPC' });
  journal.append('H', '{"id":"later"}');
  await settle();
  expect(faults).toHaveLength(1);
  expect(journal.pendingBytes).toBe(0);
  journal.compact([]);
  expect(text(journal)).not.toContain('later');
  expect(text(journal)).toContain('kept');
  journal.close(false);
});

onLinux('once the disk has room again the journal goes on, with all that is open', async () => {
  let recovered = 0;
  const bench = await startLedger({ onJournalRecovered: () => recovered++ });
  register(bench.memory, account);
  const open = await bench.begin(await bench.take(account, '10.00'));
  fillDiskUnder(bench.journal.path);
  const lost = await bench.take(account, '1.00');
  expect(await new Promise((done) => bench.ledger.begin(lost, factsOf('team', 'key'), done))).toBe(false);
  bench.ledger.cancel(lost);
  fillDiskAt(`${bench.journal.path}.tmp`);
  await bench.pass(1_200);
  expect([bench.ledger.blocked, recovered]).toEqual(['journal', 0]);
  // The disk is a real one: it may take longer than the clock of the test says.
  for (let tries = 0; recovered === 0 && tries < 100; tries++) await bench.pass(1_200);
  expect([bench.ledger.blocked, recovered]).toEqual([null, 1]);
  expect(text(bench.journal)).toContain(open.id);
  expect(text(bench.journal)).not.toContain(lost.id);
  const next = await bench.begin(await bench.take(account, '1.00'));
  await settle();
  expect(text(bench.journal)).toContain(next.id);
  bench.end(open, '0.00');
  bench.end(next, '0.00');
});

onLinux(
  'without a journal no call is admitted, not even one that waits for money that comes back',
  async () => {
    const bench = await startLedger();
    register(bench.memory, account);
    const all = await bench.begin(await bench.take(account, '100.00'));
    const waiting = bench.ask(account, '1.00');
    await bench.pass(100);
    fillDiskUnder(bench.journal.path);
    bench.end(all, '0.00');
    await bench.pass(400);
    expect(waiting.result).toMatchObject({ amount: usd('1.00') });
    const next = bench.ask(account, '100.00');
    await bench.pass(100);
    expect(bench.ledger.blocked).toBe('journal');
    expect(next.result).toEqual({ kind: 'unavailable' });
  },
);

onLinux('a hold whose line could not be written is not forwarded, and its money comes back', async () => {
  const bench = await startLedger();
  register(bench.memory, account);
  const hold = await bench.take(account, '99.00');
  const waiting = bench.ask(account, '50.00');
  await bench.pass(50);
  fillDiskUnder(bench.journal.path);
  expect(await beginHold(bench.ledger, hold)).toBe(false);
  bench.ledger.cancel(hold);
  await bench.pass(200);
  expect(waiting.result).toEqual({ kind: 'unavailable' });
  await bench.pass(12_000);
  expect(bench.memory.counters.get('limit@0')).toMatchObject({ leased: 0n, settled: 0n });
});

test('compaction keeps open holds and events that the store does not have, and drops the rest', async () => {
  const bench = await startLedger({ journalOptions: { compactAtBytes: 3000 } });
  register(bench.memory, account);
  const open = await bench.begin(await bench.take(account, '1.00'));
  for (let i = 0; i < 20; i++) {
    await bench.spend(account, '0.10');
    await bench.pass(100);
  }
  await bench.pass(300);
  const flushed = [...bench.memory.events.keys()];
  bench.store.fate = (call) => ({ delayMs: call === 'flush' ? 5000 : 4, lost: 'nothing' });
  const ids: string[] = [];
  // The first of these is in a flush that is under way when the journal is rewritten, the others came after it.
  for (let i = 0; i < 20; i++) {
    const hold = await bench.begin(await bench.take(account, '0.10'));
    ids.push(hold.id);
    bench.end(hold, '0.05');
    await bench.pass(100);
  }
  const { events, unknown } = readJournal(bench.journal.path);
  const kept = new Set(events.map((event) => event.id));
  expect([...ids, open.id].filter((id) => !kept.has(id))).toEqual([]);
  expect(unknown).toBe(1);
  expect(flushed.slice(0, 10).filter((id) => kept.has(id))).toEqual([]);
  bench.journal.close(true);
});

onLinux(
  'a compaction that finds no room keeps the old journal, and is not tried again at every tick',
  async () => {
    const journal = await openJournal({ compactAtBytes: 60 });
    journal.append('H', '{"id":"kept"}');
    await settle();
    fillDiskAt(`${journal.path}.tmp`);
    expect(journal.wantsCompaction).toBe(true);
    journal.compact([]);
    expect(journal.broken).toBeNull();
    expect(journal.wantsCompaction).toBe(false);
    expect(existsSync(`${journal.path}.tmp`)).toBe(false);
    journal.append('H', '{"id":"after"}');
    await settle();
    expect(text(journal)).toMatch(/kept[\s\S]*after/);
    journal.close(true);
  },
);

test('a journal of which nearly all is still needed is rewritten each time it has doubled, not at every tick', async () => {
  const journal = await openJournal({ compactAtBytes: 1000 });
  const lines = Array.from({ length: 40 }, (_, index) => formatLine('H', `{"id":"hold-${index}"}`));
  journal.compact(lines);
  const size = statSync(journal.path).size;
  expect(size).toBeGreaterThan(1000);
  expect(journal.wantsCompaction).toBe(false);
  journal.append('H', JSON.stringify({ id: 'x'.repeat(size) }));
  await settle();
  expect(journal.wantsCompaction).toBe(true);
  journal.compact([]);
  journal.append('H', JSON.stringify({ id: 'x'.repeat(1000) }));
  await settle();
  expect(journal.wantsCompaction).toBe(true);
  journal.close(true);
});

test('a closed journal writes nothing more, whatever its descriptor is used for since', async () => {
  const journal = await openJournal();
  journal.close(false);
  const other = `${journal.path}.other`;
  const descriptor = openSync(other, 'w');
  journal.append('H', '{"id":"late"}');
  await settle();
  expect(readFileSync(other, 'utf8')).toBe('');
  expect(text(journal)).not.toContain('late');
  expect(journal.broken).not.toBeNull();
  closeSync(descriptor);
});

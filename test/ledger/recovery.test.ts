/** What a dead instance's journal brings into the ledger, and what of it is an error. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { formatLine, parseLine } from '../../src/ledger/journal.ts';
import {
  adoptDeadJournals,
  JournalDamaged,
  ownHeader,
  readJournal,
  writerOf,
} from '../../src/ledger/recovery.ts';
import { accountOf, limitOf, register } from '../support/accounts.ts';
import { adoptDead, deadHeader } from '../support/journals.ts';
import { createWorld, startLedger, type TestLedger } from '../support/test-ledger.ts';

const account = accountOf({ limits: [limitOf('limit', '10.00')] });

/** An instance with one call settled, one settled that the store does not know, and one in flight. */
async function startBusy() {
  const world = await createWorld();
  register(world.memory, account);
  const bench = await startLedger({ world });
  await bench.spend(account, '1.00', '0.10');
  await bench.pass(300);
  bench.store.fate = () => ({ delayMs: 1e9, lost: 'nothing' });
  const unflushed = await bench.begin(await bench.take(account, '0.20'));
  bench.end(unflushed, '0.05');
  const open = await bench.begin(await bench.take(account, '0.15'));
  return { world, bench, unflushed, open };
}

/** The journal as lines, and how to write it back with one of them changed. */
function linesOf(bench: TestLedger) {
  const lines = readFileSync(bench.journal.path, 'utf8').split('\n');
  const rewrite = (changed: string[]) => writeFileSync(bench.journal.path, changed.join('\n'));
  return { lines, rewrite };
}

test('adoption settles what had ended, charges what was in flight as unknown, and returns the rest', async () => {
  const { world, bench, unflushed, open } = await startBusy();
  const adopted = await adoptDead(world.memory, bench.journal.path);
  expect(adopted).toMatchObject({ inserted: 2, unknown: 1 });
  expect(world.memory.events.get(unflushed.id)!.claim.cost).toBe(usd('0.05'));
  expect(JSON.parse(world.memory.events.get(open.id)!.json.toString())).toMatchObject({
    outcome: 'unknown',
    provenance: 'unknown',
    reason: 'crash',
    cost_usd: '0.15',
    hold_usd: '0.15',
    price_id: 'price-1',
    model: 'gpt-4o',
  });
  expect(world.memory.counters.get('limit@0')).toMatchObject({ settled: usd('0.30'), leased: 0n });
});

test('adopting twice, or a copy, changes nothing', async () => {
  const { world, bench } = await startBusy();
  const copy = `${bench.journal.path}.copy`;
  copyFileSync(bench.journal.path, copy);
  await adoptDead(world.memory, bench.journal.path);
  const before = structuredClone([...world.memory.counters.values()]);
  expect((await adoptDead(world.memory, bench.journal.path)).inserted).toBe(0);
  expect((await adoptDead(world.memory, copy)).inserted).toBe(0);
  expect([...world.memory.counters.values()]).toEqual(before);
});

test('a process that was adopted while it lived has what it still ended counted, and its budget holds', async () => {
  const { world, bench, open } = await startBusy();
  await adoptDead(world.memory, bench.journal.path);
  bench.end(open, '0.01');
  const late = await bench.begin(await bench.take(account, '0.04'));
  bench.end(late, '0.04');
  expect(await adoptDead(world.memory, bench.journal.path)).toMatchObject({ inserted: 1 });
  // The call in flight at the first adoption stays as it was recorded then; the later one counts in full.
  expect(world.memory.counters.get('limit@0')).toMatchObject({ settled: usd('0.34'), leased: 0n });
});

test.each(['f', 'ffffffff H {"id"', 'ffffffff H {"id":"x"} and then\n'])(
  'a torn tail is dropped, for nothing of it was forwarded: %j',
  async (tail) => {
    const { world, bench } = await startBusy();
    appendFileSync(bench.journal.path, tail);
    expect(await adoptDead(world.memory, bench.journal.path)).toMatchObject({ inserted: 2, unknown: 1 });
  },
);

test('a journal cut at any byte is read up to its last whole line', async () => {
  const { bench } = await startBusy();
  const whole = readFileSync(bench.journal.path);
  const cut = `${bench.journal.path}.cut`;
  let most = 0;
  for (let missing = whole.length; missing >= 0; missing -= 7) {
    writeFileSync(cut, whole.subarray(0, whole.length - (missing < 7 ? 0 : missing)));
    const { events } = readJournal(cut);
    expect(events.length).toBeGreaterThanOrEqual(most);
    most = events.length;
  }
  expect(most).toBe(3);
});

test('damage in the middle stops the start, and the message names the file and the line', async () => {
  const { world, bench } = await startBusy();
  const { lines, rewrite } = linesOf(bench);
  rewrite(lines.with(2, lines[2]!.replace('hold_usd', 'held_usd')));
  const adopting = adoptDead(world.memory, bench.journal.path);
  await expect(adopting).rejects.toThrow(JournalDamaged);
  await expect(adopting).rejects.toThrow(`${bench.journal.path} is damaged in line 3`);
  expect(world.memory.counters.get('limit@0')!.leased > 0n).toBe(true);
});

test('a journal without its header is damaged, and not an empty one', async () => {
  const { bench } = await startBusy();
  const { lines, rewrite } = linesOf(bench);
  rewrite(lines.slice(1));
  expect(() => readJournal(bench.journal.path)).toThrow('damaged in line 1');
  rewrite([lines[1]!, '']);
  expect(() => readJournal(bench.journal.path)).toThrow('damaged in line 1');
});

test('two journals in one file are damage: the second header would hide whose the first lines are', async () => {
  const { bench } = await startBusy();
  const { lines, rewrite } = linesOf(bench);
  rewrite([...lines.slice(0, -1), ...lines]);
  expect(() => readJournal(bench.journal.path)).toThrow(`damaged in line ${lines.length}`);
});

test('an empty file has no writer, and is removed', async () => {
  const world = await createWorld();
  writeFileSync(join(world.folder, 'empty.log'), '');
  expect((await adoptDeadJournals(world.memory, world.folder)).adopted).toHaveLength(1);
  expect(existsSync(join(world.folder, 'empty.log'))).toBe(false);
});

test('the journals of the dead are adopted and removed, those of the living and other files are left alone', async () => {
  const { world, bench } = await startBusy();
  const { lines } = linesOf(bench);
  const living = join(world.folder, 'living.log');
  const header = formatLine('J', JSON.stringify(ownHeader(bench.instanceId))).trimEnd();
  writeFileSync(living, [header, ...lines.slice(1)].join('\n'));
  writeFileSync(`${bench.journal.path}.tmp`, 'half a journal');
  writeFileSync(join(world.folder, 'notes.txt'), 'not a journal');
  const { adopted, elsewhere } = await adoptDeadJournals(world.memory, world.folder);
  expect(adopted).toMatchObject([{ path: bench.journal.path, inserted: 2, unknown: 1 }]);
  expect(elsewhere).toBe(0);
  expect(existsSync(bench.journal.path)).toBe(false);
  expect(existsSync(`${bench.journal.path}.tmp`)).toBe(false);
  expect(existsSync(living)).toBe(true);
  expect(existsSync(join(world.folder, 'notes.txt'))).toBe(true);
});

test('a journal that cannot be adopted stays where it is', async () => {
  const { world, bench } = await startBusy();
  const dead = join(world.folder, 'dead.log');
  writeFileSync(dead, formatLine('J', JSON.stringify(deadHeader(bench.instanceId))));
  bench.store.fate = () => ({ delayMs: 0, lost: 'request' });
  const store = {
    adopt: bench.store.adopt.bind(bench.store),
    putBack: bench.store.putBack.bind(bench.store),
    noteGap: bench.store.noteGap.bind(bench.store),
    fence: async () => ({ epoch: '', beats: 0, flushed: 0, hasEnded: false }),
    notEnded: async () => new Map(),
    silentMs: async () => null,
    putBackJob: async () => {},
  };
  const adopting = adoptDeadJournals(store, world.folder).catch((error: Error) => error.name);
  await bench.time.advance(10);
  expect(await adopting).toBe('ConnectionLost');
  expect(existsSync(dead)).toBe(true);
});

test('a writer lives while that very process runs: not after its end, not on another machine, not with its number reused', async () => {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
  await once(child, 'spawn');
  const own = ownHeader('one');
  expect(writerOf(own)).toBe('alive');
  const theirs = { ...own, pid: child.pid!, started: '' };
  expect(writerOf(theirs)).toBe('alive');
  expect(writerOf({ ...own, host: 'elsewhere' })).toBe('elsewhere');
  if (own.started !== '') expect(writerOf({ ...own, started: '1' })).toBe('dead');
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(writerOf(theirs)).toBe('dead');
});

test('a row that names its null columns, as an earlier release wrote them, is read as one that leaves them out', async () => {
  const { bench } = await startBusy();
  const { lines, rewrite } = linesOf(bench);
  const before = readJournal(bench.journal.path).events;
  const named = lines.map((line) => {
    const known = parseLine(line);
    if (known === null || known.type === 'J') return line;
    const json = known.json.replace('"stream":false,', '"stream":false,"end_user":null,"output_limit":null,');
    return formatLine(known.type, json).trimEnd();
  });
  rewrite(named);
  const after = readJournal(bench.journal.path).events;
  const columns = ({ json: _, ...rest }: (typeof after)[number]) => rest;
  expect(after.map(columns)).toEqual(before.map(columns));
  expect(after[0]!.json.toString()).toContain('"end_user":null');
});

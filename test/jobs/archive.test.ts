import { createHash } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { asId } from '../../src/domain/ids.ts';
import { usd } from '../../src/domain/money.ts';
import { rowsOfParquet } from '../../src/domain/parquet.ts';
import { type ArchiveEnd, archiveEvents } from '../../src/jobs/archive.ts';
import { book } from '../../src/store/hot/flush.ts';
import { ensurePartitions } from '../../src/store/partitions.ts';
import {
  ADMIN_KEY,
  createTestAdmin,
  createTestInstance,
  type Json,
  type TestAdmin,
} from '../admin/support.ts';
import { temporaryFolder } from '../support/folder.ts';

/** With two whole months kept, September and all before it are old. */
const NOW = '2026-12-03T10:00:00.000Z';
const at = (text: string) => Date.parse(text);

let admin: TestAdmin;
let folder: string;
let team: Json;
let science: Json;
let unknown: string;
beforeAll(async () => {
  admin = await createTestAdmin(NOW);
  folder = await temporaryFolder();
  const { sql } = admin.database;
  for (const month of [5, 8]) await ensurePartitions(sql, Date.UTC(2026, month, 1));
  const instance = await createTestInstance(admin.database);
  team = await admin.make('/teams', { name: 'research', plan: null });
  const { id: keyId } = await admin.make('/keys', { team_id: team.id, name: 'app' });
  science = await admin.make('/departments', { name: 'Science' });
  const physics = await admin.make('/departments', { name: 'Physics', parent_id: science.id });
  const of = { departments: [physics.id, science.id], tags: { project: 'alpha' } };
  const own = {
    ...{ teamId: team.id, keyId, costUsd: '0.100000000001', priceId: 'price-1', endUser: 'é,"x"' },
    ...of,
  };
  for (const day of ['2026-07-01', '2026-07-31', '2026-08-15', '2026-09-30', '2026-10-01', '2026-11-30']) {
    for (const serviceTier of ['default', 'flex'])
      await instance.call({ ...own, serviceTier, atMs: at(`${day}T23:59:59.999Z`) });
    await instance.call({ ...own, costUsd: '0', outcome: 'voided', atMs: at(`${day}T00:00:00Z`) });
    const early = { ...own, costUsd: '0.5', outcome: 'unknown', atMs: at(`${day}T12:00:00Z`) } as const;
    const id = await instance.call(early);
    if (day !== '2026-08-15')
      await admin.make(`/unknown/${id}/release`, { reason: 'a ticket', cost_usd: '0.200000000007' });
    else unknown = id;
  }
});
afterAll(() => admin.close());

const run = (keepMonths = 2) =>
  archiveEvents({ database: admin.database, folder, keepMonths }, new AbortController().signal);

function shown(ends: ArchiveEnd[] | null) {
  return ends?.map((end) =>
    end.outcome === 'archived' ? [end.written.month.name, end.written.events] : [end.month.name, end.problem],
  );
}

async function text(path: string): Promise<string> {
  const response = await admin.app.request(`/admin/v1${path}`, {
    headers: { authorization: `Bearer ${ADMIN_KEY}` },
  });
  expect(response.status, path).toBe(200);
  return response.text();
}

/** Every report of the months, as people get it. */
async function reports(): Promise<string[]> {
  const months = ['06', '07', '08', '09', '10', '11'].map((month) => `2026-${month}`);
  return Promise.all([
    ...months.map((month) => text(`/teams/${team.id}/statement?month=${month}&format=csv`)),
    ...months.map((month) => text(`/departments/${science.id}/statement?month=${month}&format=csv`)),
    text('/focus.csv?from=2026-06-01&to=2026-12-01'),
    ...['day', 'month', 'total'].map((interval) =>
      text(`/usage?group_by=team,key,model,operation&interval=${interval}`),
    ),
    text(`/teams/${team.id}/balance`),
  ]);
}

async function events(): Promise<Record<string, number>> {
  const rows = await admin.database.sql<{ month: string; events: number }[]>`
    select to_char(created_at at time zone 'UTC', 'YYYY-MM') as month, count(*)::int4 as events
    from usage_events group by 1 order by 1`;
  return Object.fromEntries(rows.map((row) => [row.month, row.events]));
}

test('months that are old become files, but for one with an unknown outcome; no report changes', async () => {
  const before = await reports();
  const rows = await admin.database
    .sql`select * from usage_events where created_at < '2026-08-01' order by created_at, id`;
  expect(shown(await run())).toEqual([
    ['2026-06', 0],
    ['2026-07', 8],
    ['2026-08', '1 calls of unknown outcome: release them'],
    ['2026-09', 4],
  ]);
  expect(await events()).toEqual({ '2026-08': 4, '2026-10': 4, '2026-11': 4 });
  expect(await reports()).toEqual(before);
  const focus = await text('/focus.csv?from=2026-07-01&to=2026-08-01');
  expect(focus).toContain('"{""project"":""alpha""}"');
  expect(focus).toContain('Science / Physics');

  const home = join(folder, 'usage_events/2026-07');
  const manifest = JSON.parse(await readFile(join(home, 'manifest.json'), 'utf8'));
  expect((await readdir(home)).sort()).toEqual([
    'manifest.json',
    'usage_events-2026-07-01.parquet',
    'usage_events-2026-07-31.parquet',
  ]);
  expect(manifest).toMatchObject({ month: '2026-07', events: 8, files: [{ events: 4 }, { events: 4 }] });
  const archived: Record<string, unknown>[] = [];
  for (const { name, sha256 } of manifest.files) {
    const bytes = await readFile(join(home, name));
    expect(createHash('sha256').update(bytes).digest('hex')).toBe(sha256);
    const file = new Uint8Array(bytes).buffer;
    for await (const some of rowsOfParquet({
      byteLength: file.byteLength,
      slice: (from, to) => file.slice(from, to),
    }))
      archived.push(...some);
  }
  expect(archived.map(({ id }) => id)).toEqual(rows.map(({ id }) => id));
  for (const [place, row] of rows.entries()) {
    const { created_at, cost_usd, end_user, allocations, input_tokens, stream, stage_us } = archived[place]!;
    expect(created_at).toEqual(row.created_at);
    expect(usd(String(cost_usd))).toBe(usd(String(row.cost_usd)));
    expect([end_user, JSON.parse(String(allocations)), input_tokens, stream]).toEqual([
      'é,"x"',
      [],
      10n,
      false,
    ]);
    expect(JSON.parse(String(stage_us))).toEqual(row.stage_us);
  }
});

test('the API says from when on events are kept, and what a month waits for', async () => {
  const { events_since, months } = await admin.get('/archive');
  expect(events_since).toBe('2026-10-01T00:00:00.000Z');
  expect(months).toMatchObject([
    { month: '2026-06', events: 0 },
    { month: '2026-07', events: 8, files: 2, waits_for: null, folder: join(folder, 'usage_events/2026-07') },
    { month: '2026-08', archived_at: null, waits_for: '1 calls of unknown outcome: release them' },
    { month: '2026-09', events: 4 },
  ]);
  expect((await admin.get(`/archive?team_id=${team.id}`)).months).toEqual([]);
});

test('an event that comes again after its month was archived counts nothing', async () => {
  const before = await reports();
  const home = join(folder, 'usage_events/2026-07/usage_events-2026-07-01.parquet');
  const file = new Uint8Array(await readFile(home)).buffer;
  const open = { byteLength: file.byteLength, slice: (from: number, to?: number) => file.slice(from, to) };
  const [row] = (await rowsOfParquet(open).next()).value as Record<string, string>[];
  const again = {
    id: row!.id!,
    teamId: asId(row!.team_id!),
    keyId: asId(row!.key_id!),
    endUser: null,
    model: row!.model!,
    createdAtMs: Date.parse(row!.created_at!),
    claim: { cost: usd(row!.cost_usd!), input_tokens: 10, output_tokens: 5 },
    allocations: [],
    json: JSON.stringify(row, (_, value) => (typeof value === 'bigint' ? Number(value) : value)),
  };
  expect(await book(admin.database.sql, [again as never])).toBe(0);
  expect(await reports()).toEqual(before);
});

test('a month is archived once nothing in it is unknown any more, with its correction', async () => {
  await admin.make(`/unknown/${unknown}/release`, { reason: 'a ticket', cost_usd: '0.1' });
  const before = await reports();
  // A torn file of an attempt before, and one that was changed since: both are written again.
  const home = join(folder, 'usage_events/2026-08');
  expect(shown(await run())).toEqual([['2026-08', 4]]);
  expect(await reports()).toEqual(before);
  expect((await readdir(home)).sort()).toEqual(['manifest.json', 'usage_events-2026-08-15.parquet']);
  expect(await run()).toEqual([]);
});

test.each(['jobs', 'holds', 'quarantined_events', 'instances'] as const)(
  'a month waits for open %s',
  async (table) => {
    const { sql } = admin.database;
    const id = '019a9f00-0000-7000-8000-00000000000a';
    const inserts = {
      jobs: () => sql`
      insert into jobs (team_id, id, key_id, kind, state, model, hold, terms, progress, held_usd, created_at, next_poll_at)
      values (${id}, ${id}, ${id}, 'batch', 'running', 'm', '{}', '{}', '{}', 1, '2026-10-31T00:00:00Z', now())`,
      holds: () => sql`
      insert into holds (team_id, id, instance_id, allocations, created_at)
      values (${id}, ${id}, ${id}, '[]', '2026-10-31T00:00:00Z')`,
      quarantined_events: () => sql`
      insert into quarantined_events (team_id, id, instance_id, event, problem, is_charged, set_aside_at)
      values (${id}, '019a0000-0000-7000-8000-00000000000a', ${id}, '{}', 'x', true, now())`,
      instances: () => sql`
      insert into instances (id, status, generation, started_at, heartbeat_at)
      values (${id}, 'live', 1000, '2026-10-01T00:00:00Z', '2026-10-31T00:00:00Z')`,
    };
    await inserts[table]();
    const [end] = (await run(1)) ?? [];
    expect(end).toMatchObject({
      outcome: 'waits',
      month: { name: '2026-10' },
      problem: expect.stringMatching(/^1 /),
    });
    await sql`delete from ${sql(table)} where ${sql(table === 'instances' ? 'id' : 'team_id')} = ${id}`;
  },
);

test('files that are not what was written keep their month in the ledger; a whole month is written once', async () => {
  const { sql } = admin.database;
  const home = join(folder, 'usage_events/2026-10');
  // The table stays locked: all is written, and nothing dropped.
  let release = () => {};
  const locked = new Promise<void>((resolve) => (release = resolve));
  const blocker = sql.begin(async (tx) => {
    await tx`lock table usage_events_2026_10 in row exclusive mode`;
    await locked;
  });
  await expect(run(1)).rejects.toThrow(/lock timeout/);
  release();
  await blocker;
  expect((await events())['2026-10']).toBe(4);
  const name = join(home, 'usage_events-2026-10-01.parquet');
  const good = await readFile(name);
  const bad = Buffer.from(good);
  bad[bad.length >> 1]! ^= 1;
  await writeFile(name, bad);
  expect(shown(await run(1))).toEqual([['2026-10', 4]]);
  expect(await readFile(name)).toEqual(good);
});

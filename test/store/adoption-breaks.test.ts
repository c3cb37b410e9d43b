/** A Postgres that goes back while an instance is adopted: whatever it forgets of that, nothing of the instance is lost. */
import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, expect, onTestFinished, test, vi } from 'vitest';
import { type Config, readConfig } from '../../src/config.ts';
import { asId } from '../../src/domain/ids.ts';
import { usd } from '../../src/domain/money.ts';
import { uuidV7 } from '../../src/ledger/events.ts';
import { formatLine, keptPath } from '../../src/ledger/journal.ts';
import { adoptJournal, readHeader } from '../../src/ledger/recovery.ts';
import { startApp } from '../../src/main/start.ts';
import type { Sql } from '../../src/store/database.ts';
import { registerInstance } from '../../src/store/hot/instances.ts';
import { PostgresLedgerStore } from '../../src/store/hot/ledger-store.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { counterSpec, insertSource, insertTeam } from '../support/catalog.ts';
import { eventOf } from '../support/events.ts';
import { temporaryFolder } from '../support/folder.ts';
import { deadHeader } from '../support/journals.ts';
import { createTestDatabase } from '../support/postgres.ts';

const { connection, database, drop } = await createTestDatabase();
const { sql } = database;
afterAll(drop);

/** The same connections, on which `work` is done before the statement or transaction of this number, from 1. */
function doingBefore(number: number, work: () => Promise<void>): { sql: Sql; sent(): number } {
  let sent = 0;
  const late =
    <Args extends unknown[], Result>(send: (...args: Args) => PromiseLike<Result>) =>
    async (...args: Args): Promise<Result> => {
      if (++sent === number) await work();
      return send(...args);
    };
  const broken = new Proxy(sql, {
    // Fragments are statements too, which are not sent by themselves: only transactions are counted here.
    get: (target, name, receiver) =>
      name === 'begin'
        ? late(target.begin as (...args: unknown[]) => Promise<unknown>)
        : Reflect.get(target, name, receiver),
  });
  return { sql: broken, sent: () => sent };
}

/** An instance that died with four events: three in a file that was replaced, of which Postgres has all, and one in its last. */
async function deadInstance() {
  const [instanceId, keyId, teamId] = [randomUUID(), randomUUID(), await insertTeam(sql)];
  const spec = counterSpec(teamId, { amount: usd('10.00') });
  await insertSource(sql, spec);
  await registerInstance(sql, instanceId);
  const store = new PostgresLedgerStore(sql);
  const pools = [{ counters: [spec], min: usd('1.00'), want: usd('1.00') }];
  await store.requestLease({ instanceId, teamId: asId(teamId), pools });
  const events = Array.from({ length: 4 }, (_, at) =>
    eventOf({
      id: uuidV7(Date.now() - 1_000 + at),
      instanceId,
      teamId,
      keyId,
      cost: usd('0.10'),
      held: usd('0.20'),
      allocations: [{ counterId: spec.id, held: usd('0.20'), settled: usd('0.10') }],
    }),
  );
  const batch = { instanceId, reports: [], holds: [] };
  await store.flush({ ...batch, events: events.slice(0, 1), flushed: 1 });
  const counter =
    await sql`select settled::text, held::text, leased::text from counters where id = ${spec.id}`;
  const lease =
    await sql`select granted::text, returned::text, settled::text from leases where instance_id = ${instanceId}`;
  await store.flush({ ...batch, events: events.slice(1, 3), flushed: 3 });
  /** To a backup in which the first event was. */
  const goBack = async () => {
    await sql.begin(async (tx) => {
      await tx`delete from usage_events where instance_id = ${instanceId} and id <> ${events[0]!.id}`;
      await tx`update instances set status = 'live', beats = 0, flushed = 1, ended_at = null where id = ${instanceId}`;
      await tx`delete from leases where instance_id = ${instanceId}`;
      await tx`
        insert into leases (team_id, counter_id, instance_id, granted, returned, settled)
        values (${teamId}, ${spec.id}, ${instanceId}, ${lease[0]!.granted as string}::numeric,
          ${lease[0]!.returned as string}::numeric, ${lease[0]!.settled as string}::numeric)`;
      await tx`
        update counters set settled = ${counter[0]!.settled as string}::numeric,
          held = ${counter[0]!.held as string}::numeric, leased = ${counter[0]!.leased as string}::numeric
        where id = ${spec.id}`;
    });
  };
  const folder = await temporaryFolder();
  const kept = join(folder, 'kept');
  mkdirSync(kept);
  const line = (type: 'J' | 'S', value: unknown) =>
    formatLine(type, typeof value === 'string' ? value : JSON.stringify(value));
  const header = deadHeader(instanceId);
  writeFileSync(
    keptPath(kept, instanceId, 0, false),
    [line('J', header), ...events.slice(0, 3).map(({ json }) => line('S', json.toString()))].join(''),
  );
  const path = join(folder, `${instanceId}.log`);
  writeFileSync(
    path,
    line('J', { ...header, segment: 1, number: 3 }) + line('S', events[3]!.json.toString()),
  );
  return { instanceId, spec, goBack, path, kept };
}

test('an adoption during which the store goes back ends with all events of the instance, or says so and is done again', async () => {
  let breaks = 0;
  for (let number = 1; number === breaks + 1; number++) {
    const { instanceId, spec, goBack, path, kept } = await deadInstance();
    let hasBroken = false;
    const { sql: broken } = doingBefore(number, async () => {
      hasBroken = true;
      await goBack();
    });
    await adoptJournal(new PostgresLedgerStore(broken), path, kept).catch(async (error: Error) => {
      expect(error.name).toBe('StoreWentBack');
      await adoptJournal(new PostgresLedgerStore(sql), path, kept);
    });
    if (hasBroken) breaks++;
    const where = `with a break before transaction ${number}`;
    const rows =
      await sql`select count(*)::int4 as events from usage_events where instance_id = ${instanceId}`;
    expect(rows, where).toEqual([{ events: 4 }]);
    const counters =
      await sql`select settled::float8, held::float8, leased::float8 from counters where id = ${spec.id}`;
    expect(counters, where).toEqual([{ settled: 0.4, held: 0, leased: 0 }]);
    const ends =
      await sql`select status, flushed::int4, ended_at is not null as has_ended from instances where id = ${instanceId}`;
    expect(ends, where).toEqual([{ status: 'adopted', flushed: 4, has_ended: true }]);
    const leases = await sql`select 1 from leases where instance_id = ${instanceId}`;
    expect(leases, where).toHaveLength(0);
  }
  expect(breaks).toBeGreaterThan(2);
});

test('what a start has adopted and the store forgets before the process is registered is adopted again before money is lent', async () => {
  const { instanceId, spec, path, kept } = await deadInstance();
  const dataDir = await temporaryFolder();
  const [{ ledger_id: ledger }] = (await sql`select ledger_id from store_history`) as [{ ledger_id: string }];
  for (const [from, folder] of [
    [kept, 'journal-kept'],
    [dirname(path), 'journal'],
  ] as const) {
    mkdirSync(join(dataDir, folder));
    for (const name of readdirSync(from).filter((file) => file.endsWith('.log'))) {
      const text = readFileSync(join(from, name), 'utf8');
      const header = { ...readHeader(join(from, name)), ledger };
      const lines = formatLine('J', JSON.stringify(header)) + text.slice(text.indexOf('\n') + 1);
      writeFileSync(join(dataDir, folder, name), lines);
    }
  }
  // The break comes with the row of the next instance, once.
  await sql`create table broken (at timestamptz)`;
  await sql.unsafe(`
    create function go_back() returns trigger language plpgsql as $$ begin
      if not exists (select 1 from broken) then
        insert into broken values (now());
        delete from usage_events where instance_id = '${instanceId}';
        update counters set settled = 0 where id = '${spec.id}';
        update instances set status = 'live', beats = 0, flushed = 0, ended_at = null where id = '${instanceId}';
      end if;
      return new;
    end $$`);
  await sql`create trigger go_back before insert on instances for each row when (new.status = 'live') execute function go_back()`;
  onTestFinished(async () => {
    await sql`drop trigger go_back on instances`;
  });
  const settings = {
    PORT: '0',
    OPENAI_API_KEY: 'sk-upstream',
    TOLLGATE_DATA_DIR: dataDir,
    TOLLGATE_ADMIN_KEY: 'admin-key-of-the-tests',
  };
  const log = createLog({ level: 'silent', logCalls: false, secrets: [] });
  const app = await startApp({ config: readConfig(settings) as Config, log, version: 'test', connection });
  onTestFinished(() => app.stop());
  expect(await sql`select 1 from broken`).toHaveLength(1);
  expect(await sql`select status, flushed::int4 from instances where id = ${instanceId}`).toEqual([
    { status: 'adopted', flushed: 4 },
  ]);
  const rows = await sql`select count(*)::int4 as events from usage_events where instance_id = ${instanceId}`;
  expect(rows).toEqual([{ events: 4 }]);
  expect(await sql`select settled::float8 from counters where id = ${spec.id}`).toEqual([{ settled: 0.4 }]);
  await vi.waitFor(() => expect(app.blocked()).toBeNull(), { timeout: 30_000, interval: 50 });
}, 120_000);

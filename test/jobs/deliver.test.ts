/** Warnings on their way to a real receiver: retried, once each however many send, and never lost with a process. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { Warnings } from '../../src/admin/contract.ts';
import { type DeliverOptions, deliver } from '../../src/jobs/deliver.ts';
import { warn } from '../../src/jobs/warn.ts';
import { createWebhook, type Webhook } from '../../src/jobs/webhook.ts';
import { claimWarnings } from '../../src/store/warning-deliveries.ts';
import {
  counterOf,
  createTestAdmin,
  createTestInstance,
  type Json,
  type TestAdmin,
} from '../admin/support.ts';
import { type Receiver, startReceiver } from './receiver.ts';

const never = new AbortController().signal;

let admin: TestAdmin;
let instance: Awaited<ReturnType<typeof createTestInstance>>;
let receiver: Receiver;
let webhook: Webhook;
let ends: string[];
beforeAll(async () => {
  admin = await createTestAdmin();
  instance = await createTestInstance(admin.database);
});
afterAll(() => admin.close());
beforeEach(async () => {
  receiver = await startReceiver();
  webhook = createWebhook({ url: receiver.url, secret: null, allowPrivate: true });
  ends = [];
});
afterEach(async () => {
  await webhook.close();
  await receiver.close();
  await admin.database.sql`truncate warnings, counters, leases`;
});

/** A limit of $1, spent to this part of it, and what of it is to be sent. */
async function spendOfOne(costUsd: string) {
  const { id: teamId } = await admin.make('/teams', { name: `team ${crypto.randomUUID()}`, plan: null });
  const key = await admin.make('/keys', { team_id: teamId, name: 'app' });
  const subject = { type: 'team', id: teamId };
  const window = { type: 'lifetime' };
  const limit = await admin.make('/limits', { subject, meter: 'cost_usd', amount: '1', window });
  const counter = counterOf('limit', limit, teamId, 0);
  const pools = [[{ counter, heldUsd: costUsd, settledUsd: costUsd }]];
  await instance.call({ teamId, keyId: key.id, atMs: Date.now(), costUsd, pools });
  await warn(admin.database, { thresholds: [50, 80, 100], deliver: true });
  return { teamId, limit };
}

const send = (changes: Partial<DeliverOptions> = {}, signal = never) =>
  deliver(
    {
      database: admin.database,
      webhook,
      nowMs: Date.now,
      onEnd: (outcome) => ends.push(outcome),
      retriesAfterMs: [0, 0, 0],
      ...changes,
    },
    signal,
  );

it('deliver sends each threshold of a budget once, in their order', async () => {
  const { teamId, limit } = await spendOfOne('1');
  await send();
  await send();
  expect(receiver.received.map(({ json }) => [json.team_id, json.limit_id, json.threshold])).toEqual([
    [teamId, limit.id, 50],
    [teamId, limit.id, 80],
    [teamId, limit.id, 100],
  ]);
  expect(new Set(receiver.received.map(({ headers }) => headers['webhook-id'])).size).toBe(3);
  expect(receiver.received.every(({ headers, json }) => headers['webhook-id'] === json.id)).toBe(true);
});

it('deliver sends every due warning in one run', async () => {
  for (let teams = 0; teams < 4; teams++) await spendOfOne('1');
  await send();
  expect(new Set(receiver.received.map(({ json }) => json.id)).size).toBe(12);
});

it('a failed webhook is tried again with the same id and body until it is accepted', async () => {
  await spendOfOne('0.5');
  receiver.statuses = [500, 503];
  for (let run = 0; run < 5; run++) await send();
  expect(ends).toEqual(['failed', 'failed', 'delivered']);
  const [first, ...others] = receiver.received;
  expect(others).toHaveLength(2);
  for (const other of others) {
    expect(other.headers['webhook-id']).toBe(first!.headers['webhook-id']);
    expect(other.body).toBe(first!.body);
  }
  const [row] = await admin.database
    .sql`select attempts, problem, delivered_at, next_attempt_at from warnings`;
  expect(row).toMatchObject({ attempts: 3, problem: null, next_attempt_at: null });
  expect(row!.delivered_at).not.toBeNull();
});

it('retries wait longer after each failure, for hours in all', async () => {
  await spendOfOne('0.5');
  const { sql } = admin.database;
  const waits: number[] = [];
  let given = false;
  while (!given) {
    receiver.statuses = [500];
    await sql`update warnings set next_attempt_at = now() where next_attempt_at is not null`;
    await send({ retriesAfterMs: undefined });
    const [row] = await sql`select extract(epoch from next_attempt_at - now())::float8 as wait from warnings`;
    given = row!.wait === null;
    if (!given) waits.push(row!.wait);
  }
  expect(waits.length).toBeGreaterThan(5);
  expect(waits.slice(1).every((wait, index) => wait > waits[index]! * 1.5)).toBe(true);
  expect(waits.reduce((sum, wait) => sum + wait, 0)).toBeGreaterThan(8 * 3600);
  expect(ends.at(-1)).toBe('given_up');
  await send();
  expect(ends.filter((end) => end === 'given_up')).toHaveLength(1);
});

it('one of several concurrent replicas sends a warning', async () => {
  await spendOfOne('1');
  await spendOfOne('1');
  await Promise.all([send(), send(), send()]);
  await send();
  expect(receiver.received).toHaveLength(6);
});

it('another replica sends a warning when the one that claimed it dies', async () => {
  await spendOfOne('0.5');
  // Taken, and never ended: as a process does that is killed now.
  expect(await claimWarnings(admin.database, { limit: 8, forMs: 60_000 })).toHaveLength(1);
  await send();
  expect(receiver.received).toEqual([]);
  await admin.database.sql`update warnings set next_attempt_at = next_attempt_at - interval '61 seconds'`;
  await send();
  expect(receiver.received).toHaveLength(1);
});

it('a warning is sent again when its acceptance was not recorded', async () => {
  await spendOfOne('0.5');
  const lost = { ...admin.database, db: Object.create(admin.database.db) };
  let statements = 0;
  lost.db.execute = (query: never) => {
    // Four claim what is due; the next writes how the attempt ended.
    if (++statements > 4) throw new Error('the connection is gone');
    return admin.database.db.execute(query);
  };
  await expect(send({ database: lost })).rejects.toThrow('the connection is gone');
  await admin.database.sql`update warnings set next_attempt_at = now()`;
  await send();
  const [first, second] = receiver.received;
  expect(second!.headers['webhook-id']).toBe(first!.headers['webhook-id']);
});

it('a gateway that stops makes its warnings due at once', async () => {
  await spendOfOne('0.5');
  await send({}, AbortSignal.abort());
  expect(receiver.received).toEqual([]);
  await send();
  expect(ends).toEqual(['failed', 'delivered']);
});

it('a warning raised without a webhook is never sent', async () => {
  const { teamId } = await spendOfOne('0.1');
  const { sql } = admin.database;
  await sql`update counters set settled = 0.5 where team_id = ${teamId}`;
  expect(await warn(admin.database, { thresholds: [50], deliver: false })).toHaveLength(1);
  await send();
  expect(receiver.received).toEqual([]);
});

it('warnings are listed with their delivery, newest first, page by page', async () => {
  const { teamId, limit } = await spendOfOne('0.5');
  receiver.statuses = [500];
  await send();
  await spendOfOne('0.9');
  await send({ retriesAfterMs: [] });
  const listed = await admin.get(`/warnings?team_id=${teamId}`);
  Warnings.parse(listed);
  expect(listed.data).toMatchObject([
    {
      id: receiver.received[0]!.json.id,
      team_id: teamId,
      limit_id: limit.id,
      grant_id: null,
      subject: { type: 'team', id: teamId },
      threshold: 50,
      amount: '1.00',
      settled: '0.50',
      delivery: 'delivered',
      attempts: 2,
      problem: null,
    },
  ]);
  const thresholds: unknown[] = [];
  for (let next: string | null = ''; next !== null; ) {
    const page: Json = await admin.get(`/warnings?limit=2${next === '' ? '' : `&after=${next}`}`);
    thresholds.push(...page.data.map(({ threshold }) => threshold));
    next = page.next;
  }
  expect(thresholds.toSorted()).toEqual([50, 50, 80]);
});

it('a warning that was given up is listed with the reason', async () => {
  await spendOfOne('0.5');
  receiver.statuses = [404];
  await send({ retriesAfterMs: [] });
  expect((await admin.get('/warnings')).data).toMatchObject([
    { delivery: 'given_up', attempts: 1, problem: 'the receiver answered 404', delivered_at: null },
  ]);
});

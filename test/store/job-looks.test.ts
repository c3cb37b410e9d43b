/** When a job is looked at: soon where something was heard of it, also while somebody asks the upstream about it. */
import { randomUUID } from 'node:crypto';
import { afterAll, expect, test } from 'vitest';
import { asId, type EventId, type KeyId, type TeamId } from '../../src/domain/ids.ts';
import { uuidV7 } from '../../src/ledger/events.ts';
import { type FollowedJob, PostgresJobStore } from '../../src/store/hot/jobs.ts';
import { createTestDatabase } from '../support/postgres.ts';

const { database, drop } = await createTestDatabase();
const { sql } = database;
const store = new PostgresJobStore(sql);
const instanceId = randomUUID();
afterAll(drop);

const FAR_MS = 600_000;
const FACTS = { operation: 'responses', model: 'gpt-4.1', stream: false, endUser: null };

/** A job that is due. */
async function dueJob(upstream: string | null = null) {
  const [teamId, keyId] = [asId<TeamId>(randomUUID()), asId<KeyId>(randomUUID())];
  const id = asId<EventId>(uuidV7(Date.now()));
  const upstreamId = `resp_${id}`;
  const facts = { ...FACTS, teamId, keyId, departments: null, tags: null, priceId: null, outputLimit: null };
  const claim = { cost: '5', input_tokens: 1, output_tokens: 1 };
  const job = {
    ...{ teamId, id, keyId, kind: 'response' as const, upstream, model: 'gpt-4.1', heldPicoUsd: 5n },
    hold: { facts, factsJson: '{}', claim, pools: [] },
    terms: { kind: 'response' as const, model: 'gpt-4.1', prices: {} },
  };
  await store.add(job);
  await store.name({ job, upstreamId, status: 'queued' }, 0);
  return { teamId, id, upstreamId };
}

async function take(id: EventId): Promise<FollowedJob> {
  const due = (await store.due(100)).find((each) => each.id === id);
  return (await store.follow(due!, instanceId, FAR_MS))!;
}

async function isDue(id: EventId): Promise<boolean> {
  return (await store.due(100)).some((each) => each.id === id);
}

const SEEN = { status: 'queued', progress: {}, forecastPicoUsd: null, failures: 0, problem: null };
const leave = (job: FollowedJob) => store.note(job, { ...SEEN, nextMs: FAR_MS });
const heard = (upstreamId: string, upstream: string | null = null, first: string | null = null) =>
  store.lookSoonAt({ kind: 'response', upstreamId }, upstream, first);

test('a job that was looked at is left alone until its time, or until something is heard of it', async () => {
  const { id, upstreamId } = await dueJob();
  await leave(await take(id));
  expect(await isDue(id)).toBe(false);
  expect(await heard(upstreamId)).toBe(true);
  expect(await isDue(id)).toBe(true);
});

test('what is heard while somebody asks about the job is not lost with the answer of before', async () => {
  const { id, upstreamId } = await dueJob();
  const taken = await take(id);
  await heard(upstreamId);
  expect(await isDue(id)).toBe(false);
  await leave(taken);
  expect(await isDue(id)).toBe(true);
  await leave(await take(id));
  expect(await isDue(id)).toBe(false);
});

test('nothing is heard of what no upstream, another one or another kind calls so', async () => {
  const { id, upstreamId } = await dueJob('one');
  await leave(await take(id));
  expect(await heard('resp_nobody', 'one', 'one')).toBe(false);
  expect(await heard(upstreamId, 'two', 'one')).toBe(false);
  expect(await heard(upstreamId)).toBe(false);
  expect(await store.lookSoonAt({ kind: 'batch', upstreamId }, 'one', 'one')).toBe(false);
  expect(await isDue(id)).toBe(false);
  expect(await heard(upstreamId, 'one', 'one')).toBe(true);
  expect(await isDue(id)).toBe(true);
});

test('jobs of a time when there was one upstream are those of the first of several', async () => {
  const { id, upstreamId } = await dueJob();
  await leave(await take(id));
  expect(await heard(upstreamId, 'two', 'one')).toBe(false);
  expect(await heard(upstreamId, 'one', 'one')).toBe(true);
  expect(await isDue(id)).toBe(true);
});

test('nothing becomes of a job that has ended', async () => {
  const { id, upstreamId } = await dueJob();
  const job = await take(id);
  await store.end(job, { state: 'voided', status: 'failed', settledPicoUsd: 0n, problem: null });
  expect(await heard(upstreamId)).toBe(false);
});

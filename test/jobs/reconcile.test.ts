/** The job against the whole product: calls through the gateway, lost or served by the simulated upstream, and its report. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { createReconcile, type Reconcile, type ReconcileOptions } from '../../src/jobs/reconcile.ts';
import { createUsageReport } from '../../src/jobs/usage-report.ts';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { readRateBook } from '../../src/store/rate-cards.ts';
import { type Stack, startStack } from '../e2e/stack.ts';

const HOUR_MS = 3_600_000;
const never = new AbortController().signal;

let stack: Stack;
/** Usage of earlier tests would be evidence for later ones, so each has an upstream of its own. */
beforeEach(async () => {
  stack = await startStack({ simulator: { seed: 7 } });
  return () => stack.stop();
});

/** The job as it sees things three hours from now, when today's calls are reported. */
async function reconcileOf(changes: Partial<ReconcileOptions> = {}): Promise<Reconcile> {
  const { database, simulator } = stack;
  const rates = await readRateBook(database.sql);
  return createReconcile({
    database,
    upstream: null,
    readReport: createUsageReport({ adminKey: 'sk-admin-1', baseUrl: simulator.url }),
    rates: () => rates,
    callDurationMs: HOUR_MS,
    reportDelayMs: HOUR_MS,
    nowMs: () => Date.now() + 3 * HOUR_MS,
    ...changes,
  });
}

const run = async (changes: Partial<ReconcileOptions> = {}) => (await reconcileOf(changes)).run(never);

const hello = {
  model: 'gpt-4o-mini',
  max_completion_tokens: 500,
  messages: [{ role: 'user', content: 'hello' }],
};
const call = (key: string, directives = '', body: object = hello, path = '/chat/completions') =>
  stack.post(key, path, body, directives === '' ? {} : { 'x-simulator': directives });
const LOST = 'fault=html_502,billed=true';
const NEVER_SERVED = 'fault=html_502,billed=false';

interface Balance {
  settled_usd: string;
  unknown_usd: string;
}
const balanceOf = (teamId: string) => stack.admin<Balance>('GET', `/teams/${teamId}/balance`);
const invoiced = () => BigInt(stack.simulator.invoice().total_pico_usd);

/** Everything that a correction moves, as text. */
async function books(): Promise<string> {
  const { sql } = stack.database;
  const tables = ['usage_events', 'adjustments', 'usage_rollups'];
  const rows = await Promise.all([
    ...tables.map((table) => sql`select t::text as row from ${sql(table)} t order by 1`),
    // What is leased comes home by itself meanwhile.
    sql`select (team_id, id, amount, settled, held)::text as row from counters order by 1`,
  ]);
  return JSON.stringify(rows);
}

describe('reconcile', () => {
  it('releases all of a call that the upstream never served', async () => {
    const { teamId, key } = await stack.team({ grantUsd: '18.00' });
    await call(key);
    await call(key, NEVER_SERVED);
    expect(usd((await balanceOf(teamId)).unknown_usd)).toBeGreaterThan(0n);
    const released: bigint[] = [];
    expect(await run({ onRelease: (release) => released.push(release.releasedPicoUsd) })).toMatchObject({
      released: 1,
    });
    const balance = await balanceOf(teamId);
    expect(balance.unknown_usd).toBe('0.00');
    expect(usd(balance.settled_usd)).toBe(invoiced());
    const { data } = await stack.admin<{ data: { hold_usd: string; adjusted_usd?: string }[] }>(
      'GET',
      '/events',
    );
    expect(data[1]).toMatchObject({ outcome: 'unknown', adjusted_usd: '0.00' });
    expect(released).toEqual([usd(data[1]!.hold_usd)]);
  });

  it('charges a call whose response was lost exactly what the upstream billed', async () => {
    const { teamId, key } = await stack.team({ grantUsd: '18.00' });
    await Promise.all([call(key), call(key, '', { ...hello, model: 'gpt-4o' }), call(key)]);
    await call(key, LOST);
    expect(usd((await balanceOf(teamId)).settled_usd)).toBeGreaterThan(invoiced());
    expect(await run()).toMatchObject({ released: 1 });
    expect(usd((await balanceOf(teamId)).settled_usd)).toBe(invoiced());
  });

  it('says in the correction which minutes of the report it rests on', async () => {
    const { key } = await stack.team({ grantUsd: '18.00' });
    await call(key);
    await call(key, NEVER_SERVED);
    await stack.settled();
    await run();
    const [row] = await stack.database.sql`select reason, actor from adjustments`;
    expect(row!.actor).toBe('reconcile');
    expect(row!.reason).toMatch(
      /^usage report of \d{4}-\d\d-\d\dT\d\d:\d\dZ to \d{4}-\d\d-\d\dT\d\d:\d\dZ: at most \$0\.00 is unexplained for gpt-4o-mini$/,
    );
  });

  it('changes nothing when it runs again', async () => {
    const { key } = await stack.team({ grantUsd: '18.00' });
    await Promise.all([call(key), call(key, NEVER_SERVED), call(key, LOST), call(key)]);
    await stack.settled();
    expect(await run()).toMatchObject({ released: 2 });
    const before = await books();
    expect(await run()).toMatchObject({ released: 0 });
    expect(await books()).toBe(before);
  });

  it('keeps for each of several calls what it may have cost when the report does not show which was served', async () => {
    const teams = await Promise.all([stack.team({ grantUsd: '18.00' }), stack.team({ grantUsd: '18.00' })]);
    await call(teams[0]!.key);
    const known = usd((await balanceOf(teams[0]!.teamId)).settled_usd);
    const beforeLost = invoiced();
    await call(teams[0]!.key, NEVER_SERVED);
    await call(teams[1]!.key, LOST);
    await stack.settled();
    const lost = invoiced() - beforeLost;
    expect(await run()).toMatchObject({ released: 2 });
    expect(usd((await balanceOf(teams[0]!.teamId)).settled_usd)).toBe(known + lost);
    expect(usd((await balanceOf(teams[1]!.teamId)).settled_usd)).toBe(lost);
  });

  it('releases nothing that calls of another application may explain', async () => {
    const { teamId, key } = await stack.team({ grantUsd: '18.00' });
    await call(key);
    await call(key, NEVER_SERVED);
    const other = { ...hello, max_completion_tokens: 5_000 };
    await fetch(`${stack.simulator.url}/chat/completions`, {
      method: 'POST',
      headers: { authorization: 'Bearer sk-other', 'x-simulator': 'output=5000' },
      body: JSON.stringify(other),
    });
    const before = await balanceOf(teamId);
    expect(await run()).toMatchObject({ kept: 1, released: 0 });
    expect(await balanceOf(teamId)).toEqual(before);
  });

  it('keeps what a call with an estimated charge may have used', async () => {
    const { key } = await stack.team({ grantUsd: '18.00' });
    await call(key);
    const before = invoiced();
    await call(key, 'fault=no_usage,output=400');
    const estimated = invoiced() - before;
    await call(key, NEVER_SERVED);
    await stack.settled();
    const kept: bigint[] = [];
    await run({ onRelease: (release) => kept.push(release.keptPicoUsd) });
    // The estimated call itself, too: either of them may be what is unexplained.
    expect(kept).toEqual([estimated, estimated]);
  });

  it('reads the report of embeddings for embeddings', async () => {
    const { teamId, key } = await stack.team({ grantUsd: '18.00' });
    const embedding = { model: 'text-embedding-3-small', input: 'hello' };
    await call(key);
    await call(key, '', embedding, '/embeddings');
    await call(key, LOST, embedding, '/embeddings');
    await stack.settled();
    expect(await run()).toMatchObject({ released: 1 });
    expect(usd((await balanceOf(teamId)).settled_usd)).toBe(invoiced());
  });

  it('waits for calls that the report may not have yet', async () => {
    const { key } = await stack.team({ grantUsd: '18.00' });
    await call(key);
    await call(key, NEVER_SERVED);
    await stack.settled();
    const before = await books();
    expect(await run({ nowMs: () => Date.now() + 2 * HOUR_MS })).toMatchObject({ released: 0, kept: 0 });
    expect(await books()).toBe(before);
  });

  it('runs on one replica at a time', async () => {
    const { key } = await stack.team({ grantUsd: '18.00' });
    await call(key, NEVER_SERVED);
    await stack.settled();
    const asked = Promise.withResolvers<void>();
    const answer = Promise.withResolvers<never[]>();
    const slow = await reconcileOf({
      readReport: () => {
        asked.resolve();
        return answer.promise;
      },
    });
    const first = slow.run(never);
    await asked.promise;
    expect(await run()).toBeNull();
    answer.resolve([]);
    expect(await first).toMatchObject({ unwitnessed: 1 });
    expect(await run()).not.toBeNull();
  });
});

describe('a report that is no evidence', () => {
  let foreign: Simulator;
  beforeAll(async () => {
    foreign = await startSimulator();
  });
  afterAll(() => foreign.close());

  it('of another organization releases nothing, and the call is tried again later', async () => {
    const { teamId, key } = await stack.team({ grantUsd: '18.00' });
    await call(key);
    await call(key, NEVER_SERVED);
    const before = await balanceOf(teamId);
    let nowMs = Date.now() + 3 * HOUR_MS;
    const theirs = createUsageReport({ adminKey: 'sk-admin-1', baseUrl: foreign.url });
    const ours = createUsageReport({ adminKey: 'sk-admin-1', baseUrl: stack.simulator.url });
    let readReport = theirs;
    const job = await reconcileOf({ nowMs: () => nowMs, readReport: (...asked) => readReport(...asked) });
    expect(await job.run(never)).toMatchObject({ contradicted: 1, released: 0 });
    expect(await balanceOf(teamId)).toEqual(before);
    readReport = ours;
    expect(await job.run(never)).toMatchObject({ contradicted: 0, released: 0 });
    nowMs += 2 * HOUR_MS;
    expect(await job.run(never)).toMatchObject({ released: 1 });
  });

  it('that shows none of the known calls releases nothing', async () => {
    const { teamId, key } = await stack.team({ grantUsd: '18.00' });
    await call(key, NEVER_SERVED);
    const before = await balanceOf(teamId);
    expect(await run()).toMatchObject({ unwitnessed: 1, released: 0 });
    expect(await balanceOf(teamId)).toEqual(before);
  });

  it('that cannot be read is an error, and changes nothing', async () => {
    const { key } = await stack.team({ grantUsd: '18.00' });
    await call(key);
    await call(key, NEVER_SERVED);
    await stack.settled();
    const before = await books();
    const notAdmin = createUsageReport({ adminKey: 'sk-no-admin', baseUrl: stack.simulator.url });
    let readReport = notAdmin;
    const job = await reconcileOf({ readReport: (...asked) => readReport(...asked) });
    await expect(job.run(never)).rejects.toThrow('403');
    expect(await books()).toBe(before);
    // It can be read again: no call waits for its next try.
    readReport = createUsageReport({ adminKey: 'sk-admin-1', baseUrl: stack.simulator.url });
    expect(await job.run(never)).toMatchObject({ released: 1 });
  });
});

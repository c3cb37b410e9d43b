import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dashboardQueries, expandPromql, expandSql } from '../../grafana/expand.ts';
import { createAdminClient } from '../../src/demo/admin-client.ts';
import { createTeams } from '../../src/demo/teams.ts';
import { startTraffic } from '../../src/demo/traffic.ts';
import type { SocketConnection } from '../../src/store/connection/address.ts';
import type { Sql } from '../../src/store/database.ts';
import { closeClient, openClient } from '../../src/store/database.ts';
import { writeReconciliation } from '../../src/store/reconciliation.ts';
import { ADMIN_KEY, type Stack, startStack } from '../e2e/stack.ts';
import { temporaryFolder } from '../support/folder.ts';
import { programOrSkip } from '../support/programs.ts';
import { type Prometheus, startPrometheus } from './prometheus.ts';

const READER = new URL('../../grafana/postgres/reader.sql', import.meta.url);
/** Longer than the ten seconds after which the gateway reads budgets anew. */
const TRAFFIC_MS = 14_000;
/** On a busy machine the traffic takes minutes. */
const SETUP_MS = 300_000;
const program = programOrSkip('prometheus', 'prometheus');
const queries = dashboardQueries();

/** Nothing was spent before. */
const BEGAN = new Date().toISOString();
let stack: Stack;
let prometheus: Prometheus | null = null;
let reader: Sql;
/** Rates are over a minute, and on a busy machine the queries run later than that. */
let errors: NodeJS.Timeout;

/** The demo's teams spend, one of them until a limit denies its calls, while Prometheus scrapes; a call each second is an error, and one makes a container. */
beforeAll(async () => {
  stack = await startStack({ simulator: { profile: { chunkMs: 2, firstByteMs: 5 } } });
  const folder = await temporaryFolder();
  if (!program.missing) prometheus = await startPrometheus(program.path, folder, new URL(stack.app.url).host);
  errors = setInterval(() => void stack.post('tg-unknown', '/chat/completions', {}).catch(() => {}), 1_000);
  const teams = await createTeams(createAdminClient(stack.app.url, ADMIN_KEY));
  const traffic = startTraffic({ baseUrl: `${stack.app.url}/v1`, teams, callsPerSecond: 60 });
  await delay(TRAFFIC_MS / 2);
  const { key } = await stack.team({ grantUsd: '1.00' });
  await stack.post(key, '/containers', { name: 'a session that has a meter of its own' });
  await delay(TRAFFIC_MS / 2);
  await traffic.stop();
  // Of calls whose client has left, too.
  await stack.idle();
  await stack.settled();
  await addBill();
  await stack.database.sql.unsafe(readFileSync(READER, 'utf8'));
  reader = openClient({ ...(stack.database.connection as SocketConnection), user: 'tollgate_reader' }, 2);
}, SETUP_MS);
afterAll(async () => {
  clearInterval(errors);
  if (reader) await closeClient(reader);
  await prometheus?.stop();
  await stack.stop();
});

/** A day of the upstream's bill, with a difference. */
function addBill(): Promise<void> {
  const at = new Date();
  const about = { with: [], model: null, tier: null, lineItem: 'Surcharge', apiKeyId: null, quantity: null };
  return writeReconciliation(
    stack.database,
    { day: at.toISOString().slice(0, 10), upstream: null, ownKeys: null, isFinal: false, at },
    {
      ...{ billed: 2n, charged: 1n, corrected: 0n, unexplained: 0n },
      differences: [
        { ...about, id: 'unpriced_line/-', kind: 'unpriced_line', amount: 1n, corrected: 0n, calls: 0 },
      ],
    },
  );
}

const time = () => ({ from: new Date(Date.now() - 3_600_000), to: new Date(Date.now() + 1000) });

describe('every query of a dashboard returns rows', () => {
  const promql = queries.filter(({ language }) => language === 'promql');
  it.skipIf(program.missing).each(promql)('$name', async ({ text, instant }) => {
    const expr = expandPromql(text, time());
    const values = instant ? await prometheus!.query(expr) : await prometheus!.queryRange(expr, 1);
    expect(values.filter(Number.isFinite).length, expr).toBeGreaterThan(0);
  });

  const sql = queries.filter(({ language }) => language === 'sql');
  it.each(sql)('$name', async ({ text }) => {
    const all = await reader.unsafe(expandSql(text, time()));
    expect(all.length).toBeGreaterThan(0);
    // A name that breaks out of its quotes would be an error here.
    const chosen = { ...time(), variables: { team: ['research', "o'hara; select"], model: ['gpt-5.6-sol'] } };
    await reader.unsafe(expandSql(text, chosen));
  });
});

it('the spend in Prometheus equals the spend in Postgres', async () => {
  const { text } = queries.find(({ name }) => name === 'spend: Spent this month')!;
  // A month of UTC may have ended since: what is summed is all since the begin of that one.
  const [row] = await reader.begin(async (tx) => {
    await tx`select set_config('tollgate.now', ${BEGAN}, true)`;
    return tx.unsafe<{ spent: number }[]>(expandSql(text, time()));
  });
  const page = await (await fetch(`${stack.app.url}/metrics`)).text();
  const costs = [...page.matchAll(/^tollgate_cost_usd_total\{.*\} (\S+)$/gm)].map(([, value]) =>
    Number(value),
  );
  expect(row!.spent).toBeCloseTo(
    costs.reduce((sum, cost) => sum + cost, 0),
    9,
  );
});

it('the forecast is that of UTC, whatever the time zone of the session', async () => {
  const { text } = queries.find(({ name }) => name === 'spend: Forecast for the month')!;
  const forecastIn = (timeZone: string) =>
    reader.begin(async (tx) => {
      // By the clock of New York this month begins on 28 February, and a month later it is 28 March.
      await tx`select set_config('tollgate.now', '2026-03-10T12:00:00Z', true), set_config('TimeZone', ${timeZone}, true)`;
      const [row] = await tx.unsafe<{ forecast: number }[]>(expandSql(text, time()));
      return row!.forecast;
    });
  const forecast = await forecastIn('UTC');
  expect(forecast).toBeGreaterThan(0);
  expect(await forecastIn('America/New_York')).toBe(forecast);
});

it('a panel shows only what its variables select', async () => {
  const { text } = queries.find(({ name }) => name === 'budgets: Grants and limits')!;
  const rows = await reader.unsafe(expandSql(text, { ...time(), variables: { team: ['trial'] } }));
  expect(rows.map(({ team }) => team)).toEqual(['trial']);
});

describe('the role that dashboards read with', () => {
  it.each([
    ['write', "update teams set name = 'x'"],
    ['delete', 'delete from usage_days'],
    ['read the hashes of keys', 'select hash from keys'],
    ['make tables', 'create table public.mine (id int)'],
  ])('may not %s, whatever its transaction says', async (_, statement) => {
    const allowed = reader.begin({ mode: 'read write' }, (tx) => tx.unsafe(statement));
    await expect(allowed).rejects.toThrow(/permission denied/);
  });

  it('reads only, unless a transaction says otherwise', async () => {
    await expect(reader`create temporary table mine (id int)`).rejects.toThrow(/read-only/);
  });
});

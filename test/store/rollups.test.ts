import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Stack, startStack } from '../e2e/stack.ts';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack();
});
afterAll(() => stack.stop());

const SUMS = `key_id, model, operation, calls, voided_calls, unknown_calls, input_tokens, cached_input_tokens,
  cache_write_tokens, output_tokens, reasoning_tokens, cost_usd, unknown_usd`;

/** Rows of one table that the other does not have, once quarters of an hour are added up to days; and the same by department. */
async function differences() {
  const summed = SUMS.replaceAll(/(\w*calls|\w+_tokens|\w+_usd)/g, 'sum($1) as $1');
  const between = async (ofDays: string, ofQuarters: string, more: string) => {
    const days = `select team_id, day, ${more} ${SUMS} from ${ofDays}`;
    const quarters = `select team_id, date_trunc('day', bucket_start, 'UTC') as day, ${more} ${summed}
      from ${ofQuarters} group by team_id, 2, ${more} key_id, model, operation`;
    return stack.database.sql.unsafe(`(${days} except ${quarters}) union all (${quarters} except ${days})`);
  };
  return [
    ...(await between('usage_days', 'usage_rollups', '')),
    ...(await between('usage_department_days', 'usage_departments', 'departments,')),
  ];
}

it('the sums by day equal those by quarter of an hour, whatever the outcomes and later releases', async () => {
  const { teamId, key } = await stack.team({ grantUsd: '18.00' });
  const department = await stack.admin('POST', '/departments', { name: 'unit' });
  await stack.admin('PATCH', `/teams/${teamId}`, { department_id: department.id });
  const body = { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'hello' }] };
  for (const fault of ['', '', 'fault=html_502', 'fault=status_500', '']) {
    await stack.post(key, '/chat/completions', body, fault === '' ? {} : { 'x-simulator': fault });
  }
  await stack.settled();
  const { sql } = stack.database;
  expect(await differences()).toEqual([]);
  const unknown = await sql<{ id: string }[]>`select id from usage_events where outcome = 'unknown'`;
  expect(unknown).toHaveLength(1);
  expect(await sql`select sum(calls)::int4 as calls from usage_department_days`).toEqual([{ calls: 5 }]);
  const [before] =
    await sql`select sum(unknown_usd)::float8 as usd, sum(calls)::int4 as calls from usage_days`;
  expect(before).toMatchObject({ usd: expect.any(Number), calls: 5 });

  await stack.admin('POST', `/unknown/${unknown[0]!.id}/release`, { reason: 'not on the invoice' });
  expect(await differences()).toEqual([]);
  const [after] = await sql`select sum(unknown_usd)::float8 as usd from usage_days where team_id = ${teamId}`;
  expect(after).toEqual({ usd: 0 });
});

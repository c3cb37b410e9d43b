import { afterAll, beforeAll, expect, test } from 'vitest';
import { asId } from '../../src/domain/ids.ts';
import { readUsage, type UsageInterval, type UsageQuestion } from '../../src/store/usage.ts';
import { createTestDatabase } from '../support/postgres.ts';

const { database, drop } = await createTestDatabase();
const { sql } = database;
afterAll(drop);

const TEAMS = ['00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-00000000000b'];
const KEY = '00000000-0000-0000-0000-0000000000aa';
const [COMPANY, UNIT, OTHER] = ['d0', 'd1', 'd2'].map((end) => `00000000-0000-0000-0000-0000000000${end}`);

/** A year and more of calls at any quarter, most of them around the hours at which days begin somewhere. */
beforeAll(async () => {
  await sql`insert into teams (id, name, created_at) select id::uuid, id, now() from unnest(${TEAMS}::text[]) id`;
  const sums = `1, n % 3, n % 2, n, 0, 0, 1, 0, (n % 7)::numeric / 1000, 0`;
  const row = (start: string) => `select team_id, ${start}, key_id, model, 'responses', ${sums} from drawn`;
  await sql.unsafe(`
    create table drawn as
    select ('{${TEAMS}}'::uuid[])[1 + n % 2] as team_id, '2025-09-20'::timestamptz + n * interval '75 minutes' as at,
      '${KEY}'::uuid as key_id, 'm' || n % 3 as model, n from generate_series(1, 9000) n;
    insert into usage_rollups ${row("date_bin('15 minutes', at, 'epoch')")};
    insert into usage_days select team_id, date_bin('1 day', bucket_start, 'epoch'), key_id, model, operation, sum(calls),
      sum(voided_calls), sum(unknown_calls), sum(input_tokens), 0, 0, sum(output_tokens), 0, sum(cost_usd), 0
    from usage_rollups group by 1, 2, 3, 4, 5`);
  // A team moves at noon every tenth day, and is in no department in some hours. Of some days an older release wrote a part.
  await sql.unsafe(`
    insert into usage_departments
    select team_id, bucket_start, case when extract(day from bucket_start) in (10, 20) and extract(hour from bucket_start) >= 12
      then '{${OTHER},${COMPANY}}'::uuid[] else '{${UNIT},${COMPANY}}' end, key_id, model, operation, calls, voided_calls,
      unknown_calls, input_tokens, 0, 0, output_tokens, 0, cost_usd, unknown_usd
    from usage_rollups where extract(day from bucket_start) <> 5 or extract(hour from bucket_start) > 3;
    insert into usage_department_days
    select team_id, date_bin('1 day', bucket_start, 'epoch') as day, departments, key_id, model, operation, sum(calls),
      sum(voided_calls), sum(unknown_calls), sum(input_tokens), 0, 0, sum(output_tokens), 0, sum(cost_usd), 0
    from usage_departments where bucket_start < '2026-08-07' or bucket_start > '2026-08-09 10:00' group by 1, 2, 3, 4, 5, 6;
    update usage_department_days set cost_usd = cost_usd + 1 where day = '2026-03-14';
    update usage_department_days set unknown_calls = 99 where day = '2026-03-15'`);
});

/** The same sums from the quarters alone. */
async function fromQuarters({ interval, timeZone, from, to, groupBy, teamIds }: UsageQuestion) {
  const column = { team: 'team_id', model: 'model', key: 'key_id', operation: 'operation' };
  const by = (name: keyof typeof column) => (groupBy.includes(name) ? sql(column[name]) : sql`null`);
  const start =
    interval === 'total'
      ? sql`null::timestamptz`
      : interval === '15m'
        ? sql`bucket_start`
        : sql`date_trunc(${interval}, bucket_start, ${timeZone})`;
  return sql`
    select ${start} as "startsAt", ${by('team')} as team, ${by('model')} as model, sum(calls)::float8 as calls,
      sum(input_tokens)::float8 as "inputTokens", sum(cost_usd)::text as "costUsd"
    from usage_rollups where ${from ? sql`bucket_start >= ${from}` : sql`true`}
      and ${to ? sql`bucket_start < ${to}` : sql`true`} and ${teamIds ? sql`team_id = any(${teamIds}::text[]::uuid[])` : sql`true`}
    group by 1, 2, 3 order by 1, 2, 3`;
}

const ZONES = [
  'UTC',
  'Europe/Berlin',
  'America/St_Johns',
  'America/Los_Angeles',
  'America/Havana',
  'Asia/Kathmandu',
  'Asia/Shanghai',
  'Australia/Lord_Howe',
  'Pacific/Chatham',
  'Pacific/Kiritimati',
  'Pacific/Pago_Pago',
  'Atlantic/Azores',
];
const INTERVALS: UsageInterval[] = ['15m', 'hour', 'day', 'week', 'month', 'total'];
const STRETCHES: [string | null, string | null][] = [
  [null, null],
  ['2025-10-01T00:00Z', '2026-11-01T00:00Z'],
  ['2026-03-07T05:15Z', '2026-04-06T18:45Z'],
  ['2026-10-20T23:45Z', '2026-11-03T00:15Z'],
  ['2026-11-01T10:00Z', '2026-11-01T13:00Z'],
  ['2026-11-01T23:00Z', '2026-11-03T01:00Z'],
  ['2030-01-01T00:00Z', null],
];

test.each(ZONES)(
  'sums by whole days and moved quarters are those of the quarters, in %s',
  async (timeZone) => {
    for (const interval of INTERVALS) {
      for (const [from, to] of STRETCHES) {
        const question: UsageQuestion = {
          interval,
          timeZone,
          from: from === null ? null : new Date(from),
          to: to === null ? null : new Date(to),
          groupBy: interval === 'day' ? ['team', 'model'] : [],
          teamIds: interval === 'week' ? [asId(TEAMS[0]!)] : undefined,
          keyId: interval === 'month' ? asId(KEY) : undefined,
          limit: 100_000,
        };
        const rows = await readUsage(database, question);
        const shown = rows.map(({ startsAt, team, model, calls, inputTokens, costUsd }) => ({
          startsAt,
          team,
          model,
          calls,
          inputTokens,
          costUsd,
        }));
        expect(shown, `${interval} ${from} ${to}`).toEqual([...(await fromQuarters(question))]);
      }
    }
  },
);

/** The same by department. */
async function fromDepartmentQuarters({
  interval,
  timeZone,
  from,
  to,
  departmentId,
  groupBy,
}: UsageQuestion) {
  const start =
    interval === 'total' ? sql`null::timestamptz` : sql`date_trunc(${interval}, bucket_start, ${timeZone})`;
  const column = groupBy.includes('department') ? sql`departments[1]::text` : sql`null`;
  const rest = departmentId
    ? sql``
    : sql`union all select bucket_start, null, calls, cost_usd from usage_rollups
      union all select bucket_start, null, -calls, -cost_usd from usage_departments`;
  return sql`
    select ${start} as "startsAt", department, sum(calls)::float8 as calls, sum(cost_usd)::text as "costUsd"
    from (
      select bucket_start, ${column} as department, calls, cost_usd from usage_departments
      where ${departmentId ? sql`${departmentId}::uuid = any(departments)` : sql`true`} ${rest}) u
    where ${from ? sql`bucket_start >= ${from}` : sql`true`} and ${to ? sql`bucket_start < ${to}` : sql`true`}
    group by 1, 2 having sum(calls) <> 0 order by 1, 2`;
}

test.each(['UTC', 'America/St_Johns'])(
  'so are those by department where teams move, and where days are not whole, in %s',
  async (timeZone) => {
    for (const interval of INTERVALS.filter((each) => each !== '15m')) {
      for (const departmentId of [undefined, OTHER, COMPANY]) {
        for (const [from, to] of STRETCHES.slice(0, 4)) {
          const question: UsageQuestion = {
            ...{
              interval,
              timeZone,
              departmentId: departmentId === undefined ? undefined : asId(departmentId),
            },
            from: from === null ? null : new Date(from),
            to: to === null ? null : new Date(to),
            groupBy: departmentId === COMPANY ? [] : ['department'],
            limit: 100_000,
            teamIds: undefined,
            keyId: undefined,
          };
          const rows = await readUsage(database, question);
          const shown = rows.map(({ startsAt, department, calls, costUsd }) => {
            return { startsAt, department, calls, costUsd };
          });
          expect(shown, `${interval} ${departmentId} ${from} ${to}`).toEqual([
            ...(await fromDepartmentQuarters(question)),
          ]);
        }
      }
    }
  },
);

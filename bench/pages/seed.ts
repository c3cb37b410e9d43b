/**
 * A ledger of months, written by Postgres itself in a minute: teams with keys, limits and grants, usage events and their
 * sums. Invariant: the sums are those of the events. What has no bearing on a query (allocations, stages) is left empty.
 */
import type { Sql } from '../../src/store/database.ts';
import { ensurePartitions } from '../../src/store/partitions.ts';

export interface SeedSize {
  events: number;
  teams: number;
  days: number;
  /** Sums lie on the disk in the order of time, as calls bring them; otherwise at random, which small ledgers want. */
  inOrder?: boolean;
}

const KEYS_PER_TEAM = 4;
/** Values of the tag `project`; a team works on eight of them, which other teams share. */
const TAG_VALUES = 500;
const TAG_VALUES_PER_TEAM = 8;
/** In a tree of three levels: one at the top, eight below it, the others below these. */
const DEPARTMENTS = 40;
const PEOPLE = 100;
/** One call of so many was looked at by people. */
const CALLS_PER_LABEL = 250;
const CHUNK = 500_000;
const MONTH_MS = 28 * 86_400_000;

export async function seedLedger(
  sql: Sql,
  size: SeedSize,
  onProgress: (text: string) => void,
): Promise<void> {
  for (let ago = size.days * 86_400_000; ago > -MONTH_MS; ago -= MONTH_MS) {
    await ensurePartitions(sql, Date.now() - ago);
  }
  await seedCatalog(sql, size);
  for (let done = 0; done < size.events; done += CHUNK) {
    await seedEvents(sql, size, done, Math.min(CHUNK, size.events - done));
    onProgress(`${Math.min(done + CHUNK, size.events).toLocaleString('en')} events`);
  }
  await seedSums(sql, size.inOrder ?? false);
  await seedLabels(sql);
  onProgress('sums');
  await sql`vacuum analyze`;
}

/** The id of the team of this number, from 1 on. */
export function seededTeamId(n: number): string {
  return `00000000-0000-4000-8000-${n.toString(16).padStart(12, '0')}`;
}

/** Deterministic ids, so that events need no look-up of their team and key. */
const teamId = (n: string) => `('00000000-0000-4000-8000-' || lpad(to_hex(${n}), 12, '0'))::uuid`;
const keyId = (team: string, key: string) => teamId(`1000000 + ${team} * 100 + ${key}`);
const departmentId = (n: string) => teamId(`2000000 + ${n}`);
/** The number of the department above one, and of a team's own, which is one of the lowest. */
const parentOf = (n: string) => `case when ${n} <= 9 then 1 else 2 + ${n} % 8 end`;
const departmentOf = (team: string) => `10 + ${team} % ${DEPARTMENTS - 9}`;

/** The project of this number among a team's. */
const projectOf = (team: string, n: string) =>
  `'project-' || lpad(((${team} * 5 + ${n}) % ${TAG_VALUES})::text, 3, '0')`;

async function seedCatalog(sql: Sql, { teams }: SeedSize): Promise<void> {
  await sql.unsafe(`
    insert into departments (id, name, parent_id, created_at)
      select ${departmentId('n')}, 'department-' || n, case when n = 1 then null else ${departmentId(parentOf('n'))} end,
        tollgate_now() - interval '1 year'
      from generate_series(1, ${DEPARTMENTS}) n;
    insert into teams (id, name, department_id, created_at)
      select ${teamId('n')}, 'team-' || lpad(n::text, 3, '0'), ${departmentId(departmentOf('n'))},
        tollgate_now() - interval '1 year'
      from generate_series(1, ${teams}) n;
    insert into people (id, user_name, display_name, active, roles, created_at)
      select gen_random_uuid(), 'person-' || n || '@example.com', 'Person ' || n, true,
        '[{"role": "viewer", "scope": {"type": "org"}}]', tollgate_now()
      from generate_series(1, ${PEOPLE}) n;
    insert into tags (name, sources, required, on_unknown, max_values, idle_days, created_at)
      values ('project', '{key,header}', false, 'refuse', 10000, 30, tollgate_now());
    insert into tag_values (team_id, name, value, opened_at, seen_at)
      select ${teamId('n')}, 'project', ${projectOf('n', 'v')}, tollgate_now(), tollgate_now()
      from generate_series(1, ${teams}) n, generate_series(0, ${TAG_VALUES_PER_TEAM - 1}) v on conflict do nothing;
    insert into keys (id, team_id, name, hash, prefix, created_at)
      select ${keyId('n', 'k')}, ${teamId('n')}, 'key-' || k, 'seed-' || n || '-' || k, 'tg-seed', tollgate_now()
      from generate_series(1, ${teams}) n, generate_series(1, ${KEYS_PER_TEAM}) k;
    insert into limits (id, team_id, subject_type, subject_id, meter, amount, "window", enforcement, created_at)
      select gen_random_uuid(), ${teamId('n')}, 'team', ${teamId('n')}, 'cost_usd', 5000,
        '{"type": "calendar", "unit": "month", "timeZone": "UTC"}', 'strict', tollgate_now()
      from generate_series(1, ${teams}) n;
    insert into grants (id, team_id, amount_usd, starts_at, expires_at, created_at)
      select gen_random_uuid(), ${teamId('n')}, 18, tollgate_now() - interval '1 month', tollgate_now() + interval '2 months',
        tollgate_now()
      from generate_series(1, ${teams}, 3) n;`);
}

/**
 * A few teams make most calls, by day more than by night; a key is an application that uses three models; one call in a
 * thousand is of unknown outcome.
 */
async function seedEvents(sql: Sql, { teams, days }: SeedSize, first: number, count: number): Promise<void> {
  await sql.begin(async (tx) => {
    await tx`set local synchronous_commit = off`;
    await tx.unsafe(`
    with drawn as (
      select i, 1 + floor(${teams} * power(random(), 3))::int as team, 1 + floor(${KEYS_PER_TEAM} * random())::int as key,
        random() as dice, power(random(), 2) as size, floor(${TAG_VALUES_PER_TEAM} * power(random(), 2))::int as project,
        uuidv7(-(interval '1 day' * floor(${days} * random()) + interval '1 hour' * (4 + 6 * random() + 6 * random()))) as id,
        (array['gpt-5.6-terra', 'gpt-5.6-luna', 'gpt-5.6-sol', 'gpt-5.4-nano', 'gpt-6-astra', 'text-embedding-3-small',
          'gpt-4o-mini', 'gpt-4o']) as models
      from generate_series(${first + 1}, ${first + count}) i),
    priced as (
      select *, models[1 + (team + 2 * key + floor(3 * power(random(), 2))::int) % 8] as model, (100 + 3000 * size)::int as input, (20 + 900 * size)::int as output,
        case when dice < 0.001 then 'unknown' when dice < 0.01 then 'voided' else 'settled' end as outcome
      from drawn)
    insert into usage_events (team_id, created_at, id, key_id, instance_id, departments, tags, operation, model, stream, outcome, provenance,
      input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_usd, hold_usd, allocations,
      stage_us)
    select ${teamId('team')}, uuid_extract_timestamp(id), id, ${keyId('team', 'key')}, ${teamId('0')},
      array[${departmentId(departmentOf('team'))}, ${departmentId(parentOf(`(${departmentOf('team')})`))}, ${departmentId('1')}],
      jsonb_build_object('project', ${projectOf('team', 'project')}),
      case when model like 'text-%' then 'embeddings' when key = 1 then 'responses' else 'chat.completions' end, model,
      dice < 0.5, outcome, case outcome when 'unknown' then 'unknown' else 'reported' end,
      input, input * 3 / 10, 0, output, output / 4,
      case outcome when 'voided' then 0 else input * 0.00000125 + output * 0.00001 end, 0.05, '[]',
      jsonb_build_object('parse', 40, 'estimate', 21, 'reserve', 55, 'forward', 400000 + output * 12000, 'settle', 46)
    from priced order by id`);
  });
}

/** Two people look at every fourth call that anybody looks at. */
async function seedLabels(sql: Sql): Promise<void> {
  await sql.unsafe(`
    insert into labels (team_id, id, event_id, event_at, labeller, label, created_at)
    select team_id, gen_random_uuid(), id, created_at, 'person ' || n,
      (array['accepted', 'accepted', 'edited', 'rejected'])[1 + floor(4 * random())::int], created_at + interval '1 hour'
    from (select *, row_number() over (order by created_at, id) as place from usage_events where outcome = 'settled') e,
      generate_series(1, 2) n
    where place % ${CALLS_PER_LABEL} = 0 and (n = 1 or place % ${4 * CALLS_PER_LABEL} = 0)`);
}

const DAY_MS = 86_400_000;
const WEEK_MS = 7 * DAY_MS;
const startOfDay = (date: Date) => Math.floor(date.getTime() / DAY_MS) * DAY_MS;

/** Tables of sums: the columns that they begin with, and the place of the one that has the time. */
const SUMS: readonly [table: string, columns: string, time: number][] = [
  ['usage_rollups', `team_id, date_bin('15 minutes', created_at, 'epoch'), key_id, model, operation`, 2],
  ['usage_days', `team_id, date_bin('1 day', created_at, 'epoch'), key_id, model, operation`, 2],
  ['usage_tags', `team_id, t.key, t.value, date_bin('15 minutes', created_at, 'epoch'), model`, 4],
  ['usage_tag_days', `team_id, t.key, date_bin('1 day', created_at, 'epoch'), t.value, model`, 3],
  ['usage_value_days', `team_id, t.key, date_bin('1 day', created_at, 'epoch'), t.value`, 3],
  [
    'usage_departments',
    `team_id, date_bin('15 minutes', created_at, 'epoch'), departments, key_id, model, operation`,
    2,
  ],
  [
    'usage_department_days',
    `team_id, date_bin('1 day', created_at, 'epoch'), departments, key_id, model, operation`,
    2,
  ],
];

/** The sums of whole days. */
async function seedSumsOf(sql: Sql, [fromMs, toMs]: [number, number], inOrder: boolean): Promise<void> {
  const at = (ms: number) => `'${new Date(ms).toISOString()}'`;
  for (const [table, columns, time] of SUMS) {
    // None of the columns has a comma of its own but within date_bin.
    const groups = columns
      .replaceAll(/\([^)]*\)/g, '')
      .split(',')
      .map((_, index) => index + 1);
    await sql.unsafe(`
      insert into ${table}
      select ${columns}, count(*), count(*) filter (where outcome = 'voided'), count(*) filter (where outcome = 'unknown'),
        sum(input_tokens), sum(cached_input_tokens), sum(cache_write_tokens), sum(output_tokens), sum(reasoning_tokens),
        sum(cost_usd), coalesce(sum(cost_usd) filter (where outcome = 'unknown'), 0)
      from usage_events ${columns.includes('t.') ? ', jsonb_each_text(tags) t' : ''}
      where created_at >= ${at(fromMs)} and created_at < ${at(toMs)}
      group by ${groups.join(', ')} ${inOrder ? `order by ${time}, 1` : ''}`);
  }
}

async function seedSums(sql: Sql, inOrder: boolean): Promise<void> {
  await sql`
    insert into api_error_rollups (team_id, bucket_start, code, kind, calls)
    select distinct team_id, bucket_start, 'insufficient_quota', 'denial', 3 from (
      select team_id, date_bin('15 minutes', created_at, 'epoch') as bucket_start from usage_events where outcome = 'voided') e`;
  // By the week: one statement over millions of events would take longer than a statement may.
  const [range] = await sql<{ first: Date; last: Date }[]>`
    select min(created_at) as first, max(created_at) as last from usage_events`;
  for (let atMs = startOfDay(range!.first); atMs <= range!.last.getTime(); atMs += WEEK_MS) {
    await seedSumsOf(sql, [atMs, atMs + WEEK_MS], inOrder);
  }
  await sql`
    insert into counters (team_id, id, source, source_id, subject_type, subject_id, meter, starts_at, ends_at, amount, settled)
    select l.team_id, l.id || '@' || (extract(epoch from month) * 1000)::bigint, 'limit', l.id, l.subject_type, l.subject_id,
      l.meter, month, month + interval '1 month', l.amount,
      (select coalesce(sum(cost_usd), 0) from usage_days d where d.team_id = l.team_id and d.day >= month
        and d.day < month + interval '1 month')
    from limits l,
      generate_series(0, 11) ago, date_trunc('month', tollgate_now() - interval '1 month' * ago, 'UTC') as month`;
}

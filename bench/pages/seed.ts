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

async function seedCatalog(sql: Sql, { teams }: SeedSize): Promise<void> {
  await sql.unsafe(`
    insert into teams (id, name, created_at)
      select ${teamId('n')}, 'team-' || lpad(n::text, 3, '0'), tollgate_now() - interval '1 year'
      from generate_series(1, ${teams}) n;
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
        random() as dice, power(random(), 2) as size,
        uuidv7(-(interval '1 day' * floor(${days} * random()) + interval '1 hour' * (4 + 6 * random() + 6 * random()))) as id,
        (array['gpt-5.6-terra', 'gpt-5.6-luna', 'gpt-5.6-sol', 'gpt-5.4-nano', 'gpt-6-astra', 'text-embedding-3-small',
          'gpt-4o-mini', 'gpt-4o']) as models
      from generate_series(${first + 1}, ${first + count}) i),
    priced as (
      select *, models[1 + (team + 2 * key + floor(3 * power(random(), 2))::int) % 8] as model, (100 + 3000 * size)::int as input, (20 + 900 * size)::int as output,
        case when dice < 0.001 then 'unknown' when dice < 0.01 then 'voided' else 'settled' end as outcome
      from drawn)
    insert into usage_events (team_id, created_at, id, key_id, instance_id, operation, model, stream, outcome, provenance,
      input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_usd, hold_usd, allocations,
      stage_us)
    select ${teamId('team')}, uuid_extract_timestamp(id), id, ${keyId('team', 'key')}, ${teamId('0')},
      case when model like 'text-%' then 'embeddings' when key = 1 then 'responses' else 'chat.completions' end, model,
      dice < 0.5, outcome, case outcome when 'unknown' then 'unknown' else 'reported' end,
      input, input * 3 / 10, 0, output, output / 4,
      case outcome when 'voided' then 0 else input * 0.00000125 + output * 0.00001 end, 0.05, '[]', '{}'
    from priced order by id`);
  });
}

async function seedSums(sql: Sql, inOrder: boolean): Promise<void> {
  await sql`
    insert into api_error_rollups (team_id, bucket_start, code, kind, calls)
    select distinct team_id, bucket_start, 'insufficient_quota', 'denial', 3 from (
      select team_id, date_bin('15 minutes', created_at, 'epoch') as bucket_start from usage_events where outcome = 'voided') e`;
  const sums = `count(*), count(*) filter (where outcome = 'voided'), count(*) filter (where outcome = 'unknown'),
    sum(input_tokens), sum(cached_input_tokens), sum(cache_write_tokens), sum(output_tokens), sum(reasoning_tokens),
    sum(cost_usd), coalesce(sum(cost_usd) filter (where outcome = 'unknown'), 0)`;
  for (const [table, interval] of [
    ['usage_rollups', '15 minutes'],
    ['usage_days', '1 day'],
  ]) {
    await sql.unsafe(`
      insert into ${table}
      select team_id, date_bin('${interval}', created_at, 'epoch'), key_id, model, operation, ${sums}
      from usage_events group by 1, 2, 3, 4, 5 ${inOrder ? 'order by 2, 1' : ''}`);
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

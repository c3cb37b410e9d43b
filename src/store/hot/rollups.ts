/**
 * Rollups: sums of events by quarter of an hour and by UTC day, written in the transaction that inserts the events.
 * Invariant: both tables have the same total, and of calls in departments both of theirs have it too. What an event used
 * beside tokens is summed by meter, by quarter alone. A call with tags is summed once more for each of them, by model, and by
 * day without.
 */
import type { Fragment, TransactionSql } from '../database.ts';

/** The columns of events that are summed. Others are some hundred bytes each, of which every sum would get a copy. */
export function rolledUp(tx: TransactionSql): Fragment {
  return tx`
    team_id, created_at, key_id, model, operation, outcome, input_tokens, cached_input_tokens, cache_write_tokens,
    output_tokens, reasoning_tokens, cost_usd, quantities, departments, tags`;
}

/**
 * The part of a statement that adds the rows of the common table expression `fresh` (new events, with {@link rolledUp}) to the
 * rollups, as further expressions of it.
 */
export function addRollups(tx: TransactionSql): Fragment {
  // Every writer of the same rows uses the same order, so that none deadlocks.
  const sum = tx`count(*),
      count(*) filter (where outcome = 'voided'), count(*) filter (where outcome = 'unknown'),
      sum(input_tokens), sum(cached_input_tokens), sum(cache_write_tokens), sum(output_tokens),
      sum(reasoning_tokens), sum(cost_usd), coalesce(sum(cost_usd) filter (where outcome = 'unknown'), 0)`;
  const start = (interval: string) => tx`date_bin(${interval}::interval, created_at, 'epoch')`;
  const ofTags = (columns: Fragment) => tx`
    select team_id, t.key, ${columns}, model, ${sum}
    from fresh, jsonb_each_text(tags) t where tags is not null group by 1, 2, 3, 4, 5 order by 1, 2, 3, 4, 5`;
  const add = tx`
    calls = r.calls + excluded.calls, voided_calls = r.voided_calls + excluded.voided_calls,
    unknown_calls = r.unknown_calls + excluded.unknown_calls,
    input_tokens = r.input_tokens + excluded.input_tokens,
    cached_input_tokens = r.cached_input_tokens + excluded.cached_input_tokens,
    cache_write_tokens = r.cache_write_tokens + excluded.cache_write_tokens,
    output_tokens = r.output_tokens + excluded.output_tokens,
    reasoning_tokens = r.reasoning_tokens + excluded.reasoning_tokens,
    cost_usd = r.cost_usd + excluded.cost_usd, unknown_usd = r.unknown_usd + excluded.unknown_usd`;
  return tx`
    sums (team_id, quarter, key_id, model, operation, calls, voided, unknown, input, cached, cache_written, output, reasoning,
      cost, unknown_cost) as (
      select team_id, ${start('15 minutes')}, key_id, model, operation, ${sum} from fresh group by 1, 2, 3, 4, 5),
    quarters as (
      insert into usage_rollups as r select * from sums order by 1, 2, 3, 4, 5
      on conflict (team_id, bucket_start, key_id, model, operation) do update set ${add}),
    days as (
      insert into usage_days as r
      select team_id, date_bin('1 day', quarter, 'epoch'), key_id, model, operation, sum(calls), sum(voided), sum(unknown),
        sum(input), sum(cached), sum(cache_written), sum(output), sum(reasoning), sum(cost), sum(unknown_cost)
      from sums group by 1, 2, 3, 4, 5 order by 1, 2, 3, 4, 5
      on conflict (team_id, day, key_id, model, operation) do update set ${add}),
    grouped as (
      insert into usage_departments as r
      select team_id, date_bin('15 minutes', created_at, 'epoch'), departments, key_id, model, operation, ${sum}
      from fresh where departments is not null group by 1, 2, 3, 4, 5, 6 order by 1, 2, 3, 4, 5, 6
      on conflict (team_id, bucket_start, departments, key_id, model, operation) do update set ${add}),
    grouped_days as (
      insert into usage_department_days as r
      select team_id, ${start('1 day')}, departments, key_id, model, operation, ${sum}
      from fresh where departments is not null group by 1, 2, 3, 4, 5, 6 order by 1, 2, 3, 4, 5, 6
      on conflict (team_id, day, departments, key_id, model, operation) do update set ${add}),
    tag_quarters as (
      insert into usage_tags as r ${ofTags(tx`t.value, ${start('15 minutes')}`)}
      on conflict (team_id, name, value, bucket_start, model) do update set ${add}),
    tag_days as (
      insert into usage_tag_days as r ${ofTags(tx`${start('1 day')}, t.value`)}
      on conflict (team_id, name, day, value, model) do update set ${add}),
    value_days as (
      insert into usage_value_days as r
      select team_id, t.key, ${start('1 day')}, t.value, ${sum}
      from fresh, jsonb_each_text(tags) t where tags is not null group by 1, 2, 3, 4 order by 1, 2, 3, 4
      on conflict (team_id, name, day, value) do update set ${add}),
    quantities as (
      insert into usage_quantities as r
      select team_id, date_bin('15 minutes', created_at, 'epoch'), key_id, model, operation, q.key, sum(q.value::numeric)
      from fresh, jsonb_each_text(quantities) q where quantities is not null
      group by 1, 2, 3, 4, 5, 6 order by 1, 2, 3, 4, 5, 6
      on conflict (team_id, bucket_start, key_id, model, operation, meter) do update set
        amount = r.amount + excluded.amount)`;
}

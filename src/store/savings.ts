/**
 * Savings and the report on models: what only the calls themselves tell (streams, written-in limits, latencies), summed over
 * the latest calls of a range, at most so many, so that no report reads the whole ledger.
 */
import type { TeamId } from '../domain/ids.ts';
import type { Database, Fragment, Sql } from './database.ts';

/** How many calls a report looks at: the latest. */
export const LOOKED_AT_MAX = 10_000;
/** Among how many, the latest, those with a tag are searched for. */
const SEARCHED_MAX = 50_000;
/** OpenAI caches prompts from so many tokens on. */
const CACHED_PROMPT_LEAST = 1_024;

export interface CallsSelection {
  teamIds: readonly TeamId[] | undefined;
  from: Date;
  to: Date;
  /** Calls with this tag; undefined: all. */
  tag?: { name: string; value: string | null } | undefined;
}

/** Of some calls together. Money is decimal text. */
export interface SumsOfCalls {
  calls: number;
  spentUsd: string;
  input: number;
  cached: number;
  written: number;
  output: number;
}

/** Of the calls of one model that were looked at. */
export interface CallSums {
  model: string;
  calls: number;
  /** Prompts long enough for the cache, of which nothing came from it. */
  missed: SumsOfCalls;
  /** Not streamed, of operations that batches serve, at the standard tier. */
  batchable: SumsOfCalls;
  /** Ended at the output limit that was written in. */
  cut: SumsOfCalls;
}

/** Whose prompts the upstream caches. */
const CACHED = ['chat.completions', 'responses'];
const BATCHABLE = ['chat.completions', 'responses', 'completions', 'embeddings', 'moderations'];

/** Which settled calls could have been cheaper, as text of SQL: the list of calls is filtered by the same conditions. */
export const SAVING_CALLS = {
  cache_misses: `input_tokens >= ${CACHED_PROMPT_LEAST} and cached_input_tokens = 0 and operation in ('${CACHED.join("', '")}')`,
  batch: `not stream and operation in ('${BATCHABLE.join("', '")}') and coalesce(service_tier, 'default') = 'default'`,
  written_in_limits: 'output_limit is not null and output_tokens >= output_limit',
} as const;

/** The latest calls of a selection as the common table expression `looked`. */
function looked(sql: Sql, { teamIds, from, to, tag }: CallsSelection): Fragment {
  const ofTeams = teamIds ? sql`and team_id = any(${[...teamIds]}::text[]::uuid[])` : sql``;
  const ofTag = !tag
    ? sql``
    : tag.value === null
      ? sql`and tags -> ${tag.name}::text is not null`
      : sql`and tags ->> ${tag.name} = ${tag.value}`;
  return sql`looked as (
    select * from (
      select model, operation, stream, service_tier, input_tokens, cached_input_tokens, cache_write_tokens, output_tokens,
        output_limit, cost_usd, stage_us, tags
      from usage_events
      where created_at >= ${from.toISOString()} and created_at < ${to.toISOString()} and outcome = 'settled' ${ofTeams}
      order by created_at desc limit ${tag ? SEARCHED_MAX : LOOKED_AT_MAX}) e
    where true ${ofTag} limit ${LOOKED_AT_MAX})`;
}

export async function readCallSums(
  { readSql: sql }: Database,
  selection: CallsSelection,
): Promise<CallSums[]> {
  const sums = (kind: keyof typeof SAVING_CALLS) => {
    const when = sql`filter (where ${sql.unsafe(SAVING_CALLS[kind])})`;
    const count = (tokens: Fragment) => sql`coalesce(sum(${tokens}) ${when}, 0)`;
    return sql`jsonb_build_object('calls', count(*) ${when}, 'spentUsd', ${count(sql`cost_usd`)}::text,
      'input', ${count(sql`input_tokens`)}, 'cached', ${count(sql`cached_input_tokens`)},
      'written', ${count(sql`cache_write_tokens`)}, 'output', ${count(sql`output_tokens`)})`;
  };
  return await sql<CallSums[]>`
    with ${looked(sql, selection)}
    select model, count(*)::float8 as calls, ${sums('cache_misses')} as missed, ${sums('batch')} as batchable,
      ${sums('written_in_limits')} as cut
    from looked group by model order by model`;
}

/** How fast one model's calls were; null: nothing is known. */
export interface CallSpeed {
  model: string;
  calls: number;
  /** From the request's arrival to the end of the response. */
  medianMs: number | null;
  p95Ms: number | null;
  /** Of those that were streamed, from the end of the request to the response's first byte: the median. */
  firstByteMs: number | null;
  /** Output tokens over the time at the upstream. */
  tokensPerSecond: number | null;
}

/** Names that stages had in events of earlier releases. */
const EARLIER_STAGES = ['classify', 'meter'];

/** @param stages all names that a stage has in events: to name them takes a quarter of the time that it takes to find them */
export async function readSpeeds(
  { readSql: sql }: Database,
  selection: CallsSelection,
  stages: readonly string[],
): Promise<CallSpeed[]> {
  const whole = [...stages, ...EARLIER_STAGES].map(
    (stage) => sql` + coalesce((stage_us ->> ${stage}::text)::float8, 0)`,
  );
  return await sql<CallSpeed[]>`
    with ${looked(sql, selection)},
    timed as (
      select model, stream, output_tokens, (stage_us ->> 'forward')::float8 as forward_us,
        (stage_us ->> 'first_byte')::float8 / 1000 as first_ms,
        (0 ${whole}) / 1000 as whole_ms
      from looked)
    select model, count(*)::float8 as calls, percentile_cont(0.5) within group (order by whole_ms) as "medianMs",
      percentile_cont(0.95) within group (order by whole_ms) as "p95Ms",
      percentile_cont(0.5) within group (order by first_ms) filter (where stream) as "firstByteMs",
      sum(output_tokens) filter (where forward_us > 0) * 1e6 / nullif(sum(forward_us), 0) as "tokensPerSecond"
    from timed group by model order by model`;
}
